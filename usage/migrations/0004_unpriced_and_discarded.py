"""What reviewing prices needs: drafts that were discarded, names beside a model's pattern, and the
requests that wait for a price, found without reading the others."""

import django.contrib.postgres.fields
from django.db import migrations, models

# The queue of unpriced models and re-pricing look for the requests without a cost, by model. All
# others are not in the index, so that recording a priced request costs nothing more.
UNPRICED = """
CREATE INDEX usage_requestlog_unpriced ON usage_requestlog (workspace_id, model_id, occurred_at)
    WHERE cost IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0003_rollups")]

    operations = [
        migrations.AddField(
            model_name="pricedmodel",
            name="further_names",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=200),
                blank=True,
                default=list,
                help_text="Names that it answers to beside its pattern. No import changes them.",
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="price",
            name="status",
            field=models.CharField(
                choices=[
                    ("draft", "Draft"),
                    ("approved", "Approved"),
                    ("discarded", "Discarded"),
                ],
                default="draft",
                max_length=10,
            ),
        ),
        migrations.RunSQL(UNPRICED, "DROP INDEX usage_requestlog_unpriced"),
    ]
