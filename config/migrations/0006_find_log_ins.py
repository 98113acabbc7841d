from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("config", "0005_second_factor")]

    operations = [
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("action__in", ["refused", "log_in"])),
                fields=["at"],
                name="audit_of_log_ins",
            ),
        ),
    ]
