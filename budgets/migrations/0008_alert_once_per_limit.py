"""A limit that was raised and is reached again is told again: an alert is one for its limit too."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("budgets", "0007_raises_and_dates")]

    operations = [
        migrations.RemoveConstraint(model_name="alert", name="alert_once_per_period"),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                fields=["period", "threshold", "limit"], name="alert_once_per_period_and_limit"
            ),
        ),
    ]
