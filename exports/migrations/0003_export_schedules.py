"""Destinations, schedules, and each file that was sent."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_books_closed_until"),
        ("exports", "0002_export_jobs"),
    ]

    operations = [
        migrations.CreateModel(
            name="Destination",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("folder", "Folder on the server"),
                            ("bucket", "S3-compatible bucket"),
                            ("mail", "E-mail"),
                        ],
                        max_length=6,
                    ),
                ),
                (
                    "folder",
                    models.CharField(
                        blank=True,
                        help_text="Below the account's own folder for exports.",
                        max_length=200,
                    ),
                ),
                ("bucket", models.CharField(blank=True, max_length=200)),
                (
                    "prefix",
                    models.CharField(blank=True, help_text="Such as finance/llm.", max_length=200),
                ),
                (
                    "endpoint",
                    models.CharField(
                        blank=True,
                        help_text="https://host of the storage; empty: Amazon S3.",
                        max_length=300,
                    ),
                ),
                ("region", models.CharField(blank=True, max_length=60)),
                ("access_key", models.CharField(blank=True, max_length=200)),
                ("encrypted_secret", models.TextField(blank=True, editable=False)),
                (
                    "recipients",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.EmailField(max_length=254),
                        blank=True,
                        default=list,
                        help_text="E-mail addresses.",
                        size=None,
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.account",
                    ),
                ),
            ],
            options={
                "ordering": ["account", "name"],
            },
        ),
        migrations.CreateModel(
            name="ExportSchedule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("dataset", models.CharField(max_length=20)),
                (
                    "extension",
                    models.CharField(default="csv", max_length=12, verbose_name="format"),
                ),
                ("parameters", models.JSONField(blank=True, default=dict)),
                (
                    "every",
                    models.CharField(
                        choices=[
                            ("hour", "Hourly"),
                            ("day", "Daily"),
                            ("week", "Weekly, from Monday"),
                            ("month", "Monthly"),
                        ],
                        default="month",
                        max_length=5,
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                (
                    "starts_at",
                    models.DateTimeField(
                        editable=False, help_text="Periods that end later than this are sent."
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.account",
                    ),
                ),
                (
                    "destination",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="exports.destination",
                    ),
                ),
            ],
            options={
                "ordering": ["account", "name"],
            },
        ),
        migrations.CreateModel(
            name="SentFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("start_at", models.DateTimeField()),
                ("end_at", models.DateTimeField()),
                (
                    "correction",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="0: the first file. Late requests make further ones."
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("sent", "Sent"), ("failed", "Failed")],
                        default="waiting",
                        max_length=7,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField()),
                ("error", models.TextField(blank=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("file_name", models.CharField(blank=True, max_length=300)),
                ("manifest", models.JSONField(null=True)),
                (
                    "counted",
                    models.JSONField(
                        help_text="What reports said of the period when it was sent.", null=True
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="files",
                        to="exports.exportschedule",
                    ),
                ),
            ],
            options={
                "verbose_name": "sent file",
                "ordering": ["-end_at", "schedule", "-correction"],
            },
        ),
        migrations.AddConstraint(
            model_name="destination",
            constraint=models.UniqueConstraint(
                fields=("account", "name"), name="destination_name_unique_in_account"
            ),
        ),
        migrations.AddConstraint(
            model_name="exportschedule",
            constraint=models.UniqueConstraint(
                fields=("account", "name"), name="schedule_name_unique_in_account"
            ),
        ),
        migrations.AddIndex(
            model_name="sentfile",
            index=models.Index(
                condition=models.Q(("state", "waiting")),
                fields=["next_attempt_at"],
                name="sent_files_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="sentfile",
            constraint=models.UniqueConstraint(
                fields=("schedule", "start_at", "correction"), name="period_sent_once"
            ),
        ),
    ]
