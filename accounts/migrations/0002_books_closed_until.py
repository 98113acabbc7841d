"""The day before which an account's costs are final."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="books_closed_until",
            field=models.DateField(
                blank=True,
                help_text="Costs of days before this one are final: they are not re-priced any more. Empty: nothing is closed.",
                null=True,
            ),
        ),
    ]
