"""Spikes: hours of each series, episodes, and how sensitive a workspace wants them."""

from decimal import Decimal

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_books_closed_until"),
        ("usage", "0013_saved_views"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SeriesHour",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "workspace_id",
                        "hour",
                        "kind",
                        "subject_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("subject_id", models.IntegerField()),
                ("requests", models.IntegerField()),
                ("tokens", models.BigIntegerField()),
                ("cost", models.DecimalField(decimal_places=10, max_digits=30)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("api_key", "API key"),
                            ("member", "Member"),
                            ("project", "Project"),
                            ("model", "Model"),
                            ("workspace", "Workspace"),
                        ],
                        max_length=9,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.workspace",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Anomaly",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("api_key", "API key"),
                            ("member", "Member"),
                            ("project", "Project"),
                            ("model", "Model"),
                            ("workspace", "Workspace"),
                        ],
                        max_length=9,
                    ),
                ),
                ("subject_id", models.IntegerField()),
                ("subject_name", models.CharField(max_length=200)),
                (
                    "measure",
                    models.CharField(
                        choices=[("spend", "Spend"), ("tokens", "Tokens")], max_length=6
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("detected_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(help_text="Null: it goes on.", null=True)),
                (
                    "window_minutes",
                    models.PositiveIntegerField(help_text="In which it was noticed."),
                ),
                (
                    "noticed",
                    models.DecimalField(
                        decimal_places=10, help_text="What that window brought.", max_digits=30
                    ),
                ),
                ("noticed_expected", models.DecimalField(decimal_places=10, max_digits=30)),
                (
                    "noticed_upper",
                    models.DecimalField(
                        decimal_places=10, help_text="From here on it is too much.", max_digits=30
                    ),
                ),
                ("actual", models.DecimalField(decimal_places=10, max_digits=30)),
                ("expected", models.DecimalField(decimal_places=10, max_digits=30)),
                (
                    "excess_cost",
                    models.DecimalField(
                        decimal_places=10, help_text="Dollars beyond the expected.", max_digits=30
                    ),
                ),
                ("drivers", models.JSONField(default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("acknowledged", "Acknowledged"),
                            ("expected", "Expected"),
                            ("resolved", "Resolved"),
                        ],
                        default="open",
                        max_length=12,
                    ),
                ),
                ("note", models.TextField(blank=True)),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "anomalies",
                "ordering": ["-started_at", "-pk"],
                "indexes": [
                    models.Index(fields=["workspace", "-started_at"], name="anomalies_by_workspace")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("workspace", "kind", "subject_id", "measure"),
                        name="one_lasting_anomaly_of_a_series",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ended_at", None),
                            ("ended_at__gte", models.F("started_at")),
                            _connector="OR",
                        ),
                        name="anomaly_ends_after_it_begins",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SpikeWatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "sensitivity",
                    models.CharField(
                        choices=[
                            ("off", "Off"),
                            ("low", "Low"),
                            ("normal", "Normal"),
                            ("high", "High"),
                        ],
                        default="normal",
                        max_length=6,
                    ),
                ),
                (
                    "least_dollars",
                    models.DecimalField(
                        decimal_places=4,
                        default=Decimal("1"),
                        help_text="Spend beyond the expected below which nobody is told.",
                        max_digits=16,
                        validators=[django.core.validators.MinValueValidator(Decimal("0.0001"))],
                    ),
                ),
                (
                    "least_tokens",
                    models.PositiveBigIntegerField(
                        default=1000000,
                        help_text="The same in tokens, for what has no price.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "recipients",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.EmailField(max_length=254),
                        blank=True,
                        default=list,
                        help_text="E-mail addresses. Empty: the account's owners.",
                        size=None,
                    ),
                ),
                (
                    "workspace",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "verbose_name": "spike setting",
                "ordering": ["workspace"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("least_dollars__gt", 0), ("least_tokens__gt", 0)),
                        name="least_amounts_are_positive",
                    )
                ],
            },
        ),
    ]
