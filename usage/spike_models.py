"""Spikes: hours of each series, what was found in them, and how sensitive a workspace wants it."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import User, Workspace


class SeriesKind(models.TextChoices):
    """Whose spend a series is, the most telling first."""

    API_KEY = "api_key", "API key"
    MEMBER = "member"
    PROJECT = "project"
    MODEL = "model"
    WORKSPACE = "workspace"


class SeriesHour(models.Model):
    """What one series spent in one hour (of UTC): a memory of some weeks, made from the log."""

    pk = models.CompositePrimaryKey("workspace_id", "hour", "kind", "subject_id")
    hour = models.DateTimeField()
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, related_name="+"
    )
    subject_id = models.IntegerField()
    requests = models.IntegerField()
    tokens = models.BigIntegerField()
    cost = models.DecimalField(max_digits=30, decimal_places=10)
    kind = models.CharField(max_length=9, choices=SeriesKind.choices)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id} at {self.hour}"


class SpikeWatch(models.Model):
    """How spikes of a workspace are watched. Without a row: as these defaults say."""

    class Sensitivity(models.TextChoices):
        OFF = "off"
        LOW = "low"
        NORMAL = "normal"
        HIGH = "high"

    workspace = models.OneToOneField(Workspace, on_delete=models.CASCADE, related_name="+")
    sensitivity = models.CharField(
        max_length=6, choices=Sensitivity.choices, default=Sensitivity.NORMAL
    )
    least_dollars = models.DecimalField(
        max_digits=16,
        decimal_places=4,
        default=Decimal(1),
        validators=[MinValueValidator(Decimal("0.0001"))],
        help_text="Spend beyond the expected below which nobody is told.",
    )
    least_tokens = models.PositiveBigIntegerField(
        default=1_000_000,
        validators=[MinValueValidator(1)],
        help_text="The same in tokens, for what has no price.",
    )
    recipients = ArrayField(
        models.EmailField(),
        default=list,
        blank=True,
        help_text="E-mail addresses. Empty: the account's owners.",
    )

    class Meta:
        verbose_name = "spike setting"
        ordering = ["workspace"]
        constraints = [
            models.CheckConstraint(
                condition=Q(least_dollars__gt=0, least_tokens__gt=0),
                name="least_amounts_are_positive",
            )
        ]

    def __str__(self) -> str:
        return f"{self.workspace}: {self.sensitivity}"


class AnomalyQuerySet(models.QuerySet):
    def lasting(self) -> Self:
        return self.filter(ended_at=None)

    def since(self, moment: datetime) -> Self:
        """Those that last, or ended later than that."""
        return self.filter(Q(ended_at=None) | Q(ended_at__gt=moment))

    def open(self) -> Self:
        return self.filter(state=Anomaly.State.OPEN)


class Anomaly(models.Model):
    """An episode in which a series spent more than expected, from its first minute to its last.

    `actual` and `expected` are of the whole episode, in dollars or tokens, as `measure` says.
    """

    class Measure(models.TextChoices):
        SPEND = "spend"
        TOKENS = "tokens"

    class State(models.TextChoices):
        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        EXPECTED = "expected"
        RESOLVED = "resolved"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=9, choices=SeriesKind.choices)
    subject_id = models.IntegerField()
    subject_name = models.CharField(max_length=200)
    measure = models.CharField(max_length=6, choices=Measure.choices)
    started_at = models.DateTimeField()
    detected_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="Null: it goes on.")
    window_minutes = models.PositiveIntegerField(help_text="In which it was noticed.")
    noticed = models.DecimalField(
        max_digits=30, decimal_places=10, help_text="What that window brought."
    )
    noticed_expected = models.DecimalField(max_digits=30, decimal_places=10)
    noticed_upper = models.DecimalField(
        max_digits=30, decimal_places=10, help_text="From here on it is too much."
    )
    actual = models.DecimalField(max_digits=30, decimal_places=10)
    expected = models.DecimalField(max_digits=30, decimal_places=10)
    excess_cost = models.DecimalField(
        max_digits=30, decimal_places=10, help_text="Dollars beyond the expected."
    )
    drivers = models.JSONField(default=dict)
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    note = models.TextField(blank=True)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    objects = AnomalyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "anomalies"
        ordering = ["-started_at", "-pk"]
        indexes = [
            # The page's and the API's list of some workspaces, newest first.
            models.Index(fields=["workspace", "-started_at"], name="anomalies_by_workspace"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "kind", "subject_id", "measure"],
                condition=Q(ended_at=None),
                name="one_lasting_anomaly_of_a_series",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=models.F("started_at")),
                name="anomaly_ends_after_it_begins",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject_name}"

    @property
    def series(self) -> tuple[Any, ...]:
        return (self.workspace_id, self.kind, self.subject_id, self.measure)
