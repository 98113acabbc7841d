"""What models can do, and the ways to spend less that were found."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_books_closed_until"),
        ("usage", "0009_provider_histograms"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ModelCapability",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "provider",
                    models.CharField(
                        help_text="As in the price book, such as openai.", max_length=60
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The model's name, without a date or a region.", max_length=200
                    ),
                ),
                (
                    "tier",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (1, "1 · frontier: the hardest work"),
                            (2, "2 · strong: coding, agents, long documents"),
                            (3, "3 · capable: chat, extraction, summaries"),
                            (4, "4 · small: classification, routing, short answers"),
                        ]
                    ),
                ),
                (
                    "context_window",
                    models.PositiveIntegerField(
                        blank=True, help_text="Tokens. Empty: as the price book says.", null=True
                    ),
                ),
                (
                    "offered",
                    models.BooleanField(
                        default=True, help_text="Recommend it in the place of dearer models."
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "verbose_name": "model capability",
                "verbose_name_plural": "model capabilities",
                "ordering": ["tier", "provider", "name"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("provider", "name"), name="capability_once_per_model"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Saving",
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
                            ("substitution", "another model"),
                            ("caching", "prompt caching"),
                            ("errors", "errors that were paid for"),
                            ("idle_key", "idle API key"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="What it is about, the same every night.", max_length=500
                    ),
                ),
                ("candidate_provider", models.CharField(blank=True, max_length=200)),
                (
                    "candidate",
                    models.CharField(
                        blank=True, help_text="The model to use instead.", max_length=200
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(help_text="The traffic that was looked at: from here ..."),
                ),
                ("until", models.DateTimeField(help_text="... to here.")),
                (
                    "paid",
                    models.DecimalField(
                        decimal_places=10,
                        help_text="What that traffic cost.",
                        max_digits=30,
                        null=True,
                    ),
                ),
                (
                    "cost_now",
                    models.DecimalField(
                        decimal_places=10,
                        help_text="The same at today's prices.",
                        max_digits=30,
                        null=True,
                    ),
                ),
                (
                    "cost_then",
                    models.DecimalField(
                        decimal_places=10,
                        help_text="The same, done as recommended.",
                        max_digits=30,
                        null=True,
                    ),
                ),
                (
                    "monthly",
                    models.DecimalField(
                        decimal_places=10,
                        help_text="Saved in 30 such days.",
                        max_digits=30,
                        null=True,
                    ),
                ),
                (
                    "confidence",
                    models.CharField(
                        choices=[("high", "High"), ("medium", "Medium"), ("low", "Low")],
                        max_length=6,
                    ),
                ),
                ("evidence", models.JSONField(default=dict)),
                ("found_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("accepted", "Accepted"),
                            ("dismissed", "Dismissed"),
                            ("done", "Done"),
                        ],
                        default="open",
                        max_length=9,
                    ),
                ),
                ("reason", models.TextField(blank=True)),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "realised",
                    models.DecimalField(
                        decimal_places=10,
                        help_text="Saved since the decision, as far as measured.",
                        max_digits=30,
                        null=True,
                    ),
                ),
                ("measured_until", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.account",
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.apikey",
                    ),
                ),
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
                    "endpoint",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="usage.endpoint",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="usage.llmmodel",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.project",
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="usage.provider",
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
                "verbose_name": "saving",
                "ordering": [models.F("monthly").desc(nulls_last=True), "pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("account", "key"), name="saving_found_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "dismissed"), _negated=True),
                            models.Q(("reason", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="dismissal_has_a_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at", None), ("state", "open")),
                            models.Q(
                                models.Q(("state", "open"), _negated=True),
                                ("decided_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="decision_has_a_moment",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("since__lt", models.F("until"))),
                        name="saving_looks_at_a_span",
                    ),
                ],
            },
        ),
    ]
