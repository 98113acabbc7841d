"""The archive: which files it has, and how the runs of retention went."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0002_books_closed_until"),
    ]

    operations = [
        migrations.CreateModel(
            name="RetentionRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("mode", models.CharField(max_length=8)),
                ("rows_archived", models.PositiveBigIntegerField(default=0)),
                ("rows_removed", models.PositiveBigIntegerField(default=0)),
                ("partitions_dropped", models.PositiveIntegerField(default=0)),
                ("days_waiting", models.PositiveIntegerField(default=0)),
                ("error", models.TextField(blank=True)),
            ],
            options={
                "verbose_name": "retention run",
                "ordering": ["-started_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="ArchiveFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField(help_text="Of the account's calendar.")),
                (
                    "part",
                    models.PositiveSmallIntegerField(
                        help_text="Late requests of a day make further files."
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("verified", "verified, not removed yet"),
                            ("archived", "Archived"),
                            ("restored", "Restored"),
                            ("superseded", "Superseded"),
                            ("stale", "Stale"),
                        ],
                        default="verified",
                        max_length=10,
                    ),
                ),
                ("key", models.CharField(help_text="Its path in the archive.", max_length=300)),
                ("start_at", models.DateTimeField()),
                ("end_at", models.DateTimeField()),
                ("workspace_ids", models.JSONField()),
                ("rows", models.PositiveBigIntegerField()),
                ("checksum", models.DecimalField(decimal_places=0, max_digits=40)),
                ("totals", models.JSONField()),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("size", models.PositiveBigIntegerField(help_text="Bytes.")),
                ("written_at", models.DateTimeField()),
                ("removed_at", models.DateTimeField(null=True)),
                ("restored_at", models.DateTimeField(null=True)),
                (
                    "kept_until",
                    models.DateTimeField(help_text="When what was restored goes again.", null=True),
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
                "verbose_name": "archived day",
                "ordering": ["-day", "account", "part"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "day", "part"), name="part_of_a_day_archived_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "restored"), _negated=True),
                            ("kept_until__isnull", False),
                            _connector="OR",
                        ),
                        name="restored_day_says_until_when",
                    ),
                ],
            },
        ),
    ]
