"""Availability: checks, minutes, states and their changes, and who hears of them."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_books_closed_until"),
        ("usage", "0014_spikes"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProviderChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("is_up", models.BooleanField()),
                ("changed_at", models.DateTimeField()),
                ("reason", models.CharField(max_length=300)),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="usage.provider",
                    ),
                ),
            ],
            options={
                "ordering": ["-changed_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="ProviderCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "url",
                    models.CharField(
                        help_text="Its list of models or status page, such as https://api.openai.com/v1/models. No key is sent.",
                        max_length=500,
                    ),
                ),
                (
                    "expected_status",
                    models.PositiveSmallIntegerField(
                        default=200,
                        help_text="Without a key, 401 tells as well as 200 that it answers.",
                        validators=[
                            django.core.validators.MinValueValidator(100),
                            django.core.validators.MaxValueValidator(599),
                        ],
                    ),
                ),
                (
                    "timeout_seconds",
                    models.PositiveSmallIntegerField(
                        default=10,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(20),
                        ],
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "provider",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="usage.provider",
                    ),
                ),
            ],
            options={
                "ordering": ["provider"],
            },
        ),
        migrations.CreateModel(
            name="ProviderMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "provider_id",
                        "minute",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("requests", models.IntegerField(default=0)),
                ("failed", models.IntegerField(default=0, help_text="5xx and time-outs.")),
                ("limited", models.IntegerField(default=0, help_text="429: too many requests.")),
                (
                    "claimed_at",
                    models.DateTimeField(help_text="When its check was begun.", null=True),
                ),
                ("check_ok", models.BooleanField(null=True)),
                ("check_status", models.PositiveSmallIntegerField(null=True)),
                ("check_ms", models.IntegerField(null=True)),
                ("check_error", models.CharField(blank=True, default="", max_length=200)),
                (
                    "is_ok",
                    models.BooleanField(help_text="Null: too little is known to say.", null=True),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="usage.provider",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProviderState",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("is_up", models.BooleanField(default=True)),
                ("since", models.DateTimeField()),
                (
                    "provider",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="usage.provider",
                    ),
                ),
            ],
            options={
                "ordering": ["provider"],
            },
        ),
        migrations.CreateModel(
            name="OutageWatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "recipients",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.EmailField(max_length=254),
                        help_text="E-mail addresses.",
                        size=None,
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.account",
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: any provider.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="usage.provider",
                    ),
                ),
            ],
            options={
                "verbose_name": "outage mail",
                "ordering": ["account", "provider"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "provider"),
                        name="one_outage_watch_per_provider",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
    ]
