"""Insight: what models can stand in for each other, and where money can be saved."""

from decimal import Decimal
from typing import Any, Self

from django.db import models
from django.db.models import Q

from accounts.models import Account, ApiKey, Project, User, Workspace
from usage.pricing.names import provider_key


class ModelCapability(models.Model):
    """What a model can do, by judgement: kept by people, never measured here.

    Models of one tier are offered in each other's place, and a model of the next tier down as a
    step to be tried. A model that is not listed is neither replaced nor offered.
    """

    class Tier(models.IntegerChoices):
        FRONTIER = 1, "1 · frontier: the hardest work"
        STRONG = 2, "2 · strong: coding, agents, long documents"
        CAPABLE = 3, "3 · capable: chat, extraction, summaries"
        SMALL = 4, "4 · small: classification, routing, short answers"

    provider = models.CharField(max_length=60, help_text="As in the price book, such as openai.")
    name = models.CharField(
        max_length=200, help_text="The model's name, without a date or a region."
    )
    tier = models.PositiveSmallIntegerField(choices=Tier.choices)
    context_window = models.PositiveIntegerField(
        null=True, blank=True, help_text="Tokens. Empty: as the price book says."
    )
    offered = models.BooleanField(
        default=True, help_text="Recommend it in the place of dearer models."
    )
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = "model capability"
        verbose_name_plural = "model capabilities"
        ordering = ["tier", "provider", "name"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "name"], name="capability_once_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.name}"

    def clean(self) -> None:
        """As it is looked up: in the price book's words, in small letters."""
        self.provider = provider_key(self.provider) or ""
        self.name = self.name.strip().lower()


class SavingQuerySet(models.QuerySet):
    def open(self) -> Self:
        return self.filter(state=Saving.State.OPEN)

    def decided(self) -> Self:
        """Those that somebody took up, whose effect is measured."""
        return self.filter(state__in=[Saving.State.ACCEPTED, Saving.State.DONE])


class Saving(models.Model):
    """A way to spend less, found in a workspace's traffic, and what became of it.

    While it is open its figures are found anew every night; from the decision on they stay as they
    were decided on. `waste` is what the traffic cost beyond need; null where it is not about money.
    """

    class Kind(models.TextChoices):
        SUBSTITUTION = "substitution", "another model"
        CACHING = "caching", "prompt caching"
        ERRORS = "errors", "errors that were paid for"
        IDLE_KEY = "idle_key", "idle API key"

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        DISMISSED = "dismissed"
        DONE = "done"

    class Confidence(models.TextChoices):
        HIGH = "high"
        MEDIUM = "medium"
        LOW = "low"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    key = models.CharField(max_length=500, help_text="What it is about, the same every night.")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="+")
    endpoint = models.ForeignKey(
        "usage.Endpoint", on_delete=models.PROTECT, null=True, related_name="+"
    )
    model = models.ForeignKey(
        "usage.LlmModel", on_delete=models.PROTECT, null=True, related_name="+"
    )
    provider = models.ForeignKey(
        "usage.Provider", on_delete=models.PROTECT, null=True, related_name="+"
    )
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, null=True, related_name="+")
    candidate_provider = models.CharField(max_length=200, blank=True)
    candidate = models.CharField(max_length=200, blank=True, help_text="The model to use instead.")

    since = models.DateTimeField(help_text="The traffic that was looked at: from here ...")
    until = models.DateTimeField(help_text="... to here.")
    paid = models.DecimalField(
        max_digits=30, decimal_places=10, null=True, help_text="What that traffic cost."
    )
    cost_now = models.DecimalField(
        max_digits=30, decimal_places=10, null=True, help_text="The same at today's prices."
    )
    cost_then = models.DecimalField(
        max_digits=30, decimal_places=10, null=True, help_text="The same, done as recommended."
    )
    monthly = models.DecimalField(
        max_digits=30, decimal_places=10, null=True, help_text="Saved in 30 such days."
    )
    confidence = models.CharField(max_length=6, choices=Confidence.choices)
    evidence = models.JSONField(default=dict)
    found_at = models.DateTimeField()

    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN)
    reason = models.TextField(blank=True)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    realised = models.DecimalField(
        max_digits=30,
        decimal_places=10,
        null=True,
        help_text="Saved since the decision, as far as measured.",
    )
    measured_until = models.DateTimeField(null=True)

    objects = SavingQuerySet.as_manager()

    class Meta:
        verbose_name = "saving"
        ordering = [models.F("monthly").desc(nulls_last=True), "pk"]
        constraints = [
            models.UniqueConstraint(fields=["account", "key"], name="saving_found_once"),
            models.CheckConstraint(
                condition=~Q(state="dismissed") | ~Q(reason=""), name="dismissal_has_a_reason"
            ),
            models.CheckConstraint(
                condition=Q(state="open", decided_at=None)
                | (~Q(state="open") & Q(decided_at__isnull=False)),
                name="decision_has_a_moment",
            ),
            models.CheckConstraint(
                condition=Q(since__lt=models.F("until")), name="saving_looks_at_a_span"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.key}"

    @property
    def yearly(self) -> Decimal | None:
        return None if self.monthly is None else self.monthly * 365 / 30

    @property
    def share(self) -> Decimal | None:
        """How much of the cost it saves, 0 to 1."""
        if not self.cost_now or self.cost_then is None:
            return None
        return (self.cost_now - self.cost_then) / self.cost_now

    @property
    def traffic(self) -> tuple[Any, ...]:
        """Whose traffic it would make cheaper; several savings of one traffic do not add up."""
        return (self.workspace_id, self.project_id, self.endpoint_id, self.model_id)
