from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("exports", "0003_export_schedules")]

    operations = [
        migrations.AlterModelOptions(name="export", options={"ordering": ["-requested_at", "-pk"]}),
        migrations.AddField(
            model_name="export",
            name="percent",
            field=models.PositiveSmallIntegerField(
                help_text="How much of the work is done, where that is known.", null=True
            ),
        ),
    ]
