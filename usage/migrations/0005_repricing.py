"""Re-pricings and what each of them changed, model by model."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q


def figure():
    return models.DecimalField(decimal_places=10, max_digits=30)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_books_closed_until"),
        ("usage", "0004_unpriced_and_discarded"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Repricing",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("start_on", models.DateField(help_text="The first day, of the account's calendar.")),
                ("end_on", models.DateField(help_text="The day after the last one.")),
                ("only_unpriced", models.BooleanField(help_text="Requests with a cost keep it.")),
                ("workspace_ids", django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), default=list, help_text="Only these; none: all of the account.", size=None)),
                ("model_ids", django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), default=list, help_text="Only these; none: all.", size=None)),
                ("reason", models.TextField(blank=True)),
                ("state", models.CharField(choices=[("previewing", "Previewing"), ("previewed", "Previewed"), ("applying", "Applying"), ("done", "Done"), ("failed", "Failed"), ("cancelled", "Cancelled")], default="previewing", max_length=10)),
                ("requested_at", models.DateTimeField()),
                ("applied_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("prices_digest", models.CharField(blank=True, help_text="Of the approved prices that it was previewed with.", max_length=32)),
                ("days_total", models.PositiveIntegerField(default=0)),
                ("days_done", models.PositiveIntegerField(default=0)),
                ("days_gone", models.PositiveIntegerField(default=0, help_text="Days that only totals are left of; they stay as they are.")),
                ("requests_gone", models.PositiveBigIntegerField(default=0)),
                ("reached_day", models.DateField(null=True)),
                ("reached_workspace", models.IntegerField(null=True)),
                ("worked_at", models.DateTimeField(null=True)),
                ("failures", models.PositiveSmallIntegerField(default=0, help_text="In a row.")),
                ("error", models.TextField(blank=True)),
                ("account", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.account")),
                ("requested_by", models.ForeignKey(help_text="Null: a command.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("applied_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "verbose_name": "re-pricing",
                "ordering": ["-requested_at", "-pk"],
                "indexes": [models.Index(condition=Q(state__in=["previewing", "applying"]), fields=["worked_at"], name="repricings_at_work")],
                "constraints": [
                    models.UniqueConstraint(condition=Q(state="applying"), fields=("account",), name="one_repricing_is_applied_at_a_time"),
                    models.CheckConstraint(condition=Q(start_on__lt=F("end_on")), name="repricing_ends_after_it_begins"),
                    models.CheckConstraint(condition=Q(applied_at=None) | ~Q(reason=""), name="repricing_has_a_reason"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RepricedModel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("applied", models.BooleanField(help_text="Done; otherwise, found by the preview.")),
                ("requests", models.PositiveBigIntegerField(help_text="Looked at.")),
                ("changed", models.PositiveBigIntegerField()),
                ("unpriced_before", models.PositiveBigIntegerField()),
                ("unpriced_after", models.PositiveBigIntegerField()),
                ("old_cost", figure()),
                ("new_cost", figure()),
                ("old_ceiling", figure()),
                ("new_ceiling", figure()),
                ("repricing", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="usage.repricing")),
                ("model", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="usage.llmmodel")),
            ],
            options={
                "verbose_name": "re-priced model",
                "ordering": ["model__name"],
                "constraints": [models.UniqueConstraint(fields=("repricing", "applied", "model"), name="repriced_model_once")],
            },
        ),
    ]  # fmt: skip
