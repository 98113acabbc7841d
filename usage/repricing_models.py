"""Re-pricings: what was asked, by whom, how far it is, what it changed. Never edited by hand."""

from decimal import Decimal
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models import Account, User


class RepricingQuerySet(models.QuerySet):
    def at_work(self) -> Self:
        """Those that the worker goes on with, the one that has waited longest first."""
        found = self.filter(state__in=Repricing.AT_WORK)
        return found.order_by(F("worked_at").asc(nulls_first=True), "pk")


class Repricing(models.Model):
    """Requests billed anew with the prices that are approved now, over local days `[start, end)`.

    It is previewed first, which changes nothing, and applied when somebody says why. The row and
    its lines stay as the record of who changed what, when and by how much.
    """

    class State(models.TextChoices):
        PREVIEWING = "previewing"
        PREVIEWED = "previewed"
        APPLYING = "applying"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    AT_WORK = (State.PREVIEWING, State.APPLYING)

    id = models.AutoField(primary_key=True)  # four bytes: it is part of an advisory lock
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    start_on = models.DateField(help_text="The first day, of the account's calendar.")
    end_on = models.DateField(help_text="The day after the last one.")
    only_unpriced = models.BooleanField(help_text="Requests with a cost keep it.")
    workspace_ids = ArrayField(
        models.IntegerField(), default=list, help_text="Only these; none: all of the account."
    )
    model_ids = ArrayField(models.IntegerField(), default=list, help_text="Only these; none: all.")
    reason = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PREVIEWING)
    requested_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="+", help_text="Null: a command."
    )
    requested_at = models.DateTimeField()
    applied_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    applied_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    prices_digest = models.CharField(
        max_length=32, blank=True, help_text="Of the approved prices that it was previewed with."
    )
    # How far the preview or, once it is applied, the applying has come.
    days_total = models.PositiveIntegerField(default=0)
    days_done = models.PositiveIntegerField(default=0)
    days_gone = models.PositiveIntegerField(
        default=0, help_text="Days that only totals are left of; they stay as they are."
    )
    requests_gone = models.PositiveBigIntegerField(default=0)
    reached_day = models.DateField(null=True)
    reached_workspace = models.IntegerField(null=True)
    worked_at = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0, help_text="In a row.")
    error = models.TextField(blank=True)

    objects = RepricingQuerySet.as_manager()

    class Meta:
        verbose_name = "re-pricing"
        ordering = ["-requested_at", "-pk"]
        indexes = [
            # What the worker goes on with, asked every second.
            models.Index(
                fields=["worked_at"],
                condition=Q(state__in=["previewing", "applying"]),
                name="repricings_at_work",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(state="applying"),
                name="one_repricing_is_applied_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(start_on__lt=F("end_on")), name="repricing_ends_after_it_begins"
            ),
            models.CheckConstraint(
                condition=Q(applied_at=None) | ~Q(reason=""), name="repricing_has_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"Re-pricing {self.pk} of {self.account}"

    @property
    def is_applied(self) -> bool:
        """Whether its figures are of what was changed, not of what would be."""
        return self.applied_at is not None

    @property
    def is_at_work(self) -> bool:
        return self.state in self.AT_WORK

    @property
    def reached(self) -> tuple[Any, Any] | None:
        """The last workspace and day that is done; none yet: None."""
        return (self.reached_day, self.reached_workspace) if self.reached_day else None


class RepricedModelQuerySet(models.QuerySet):
    def totals(self) -> dict[str, Any]:
        """The sum of each figure; nothing where there are no lines."""
        sums = self.aggregate(
            **{f"total_{name}": models.Sum(name) for name in RepricedModel.FIGURES}
        )
        return {name: sums[f"total_{name}"] or 0 for name in RepricedModel.FIGURES}


class RepricedModel(models.Model):
    """What a re-pricing would do, or did, to the requests of one model."""

    FIGURES = (
        "requests",
        "changed",
        "unpriced_before",
        "unpriced_after",
        "old_cost",
        "new_cost",
        "old_ceiling",
        "new_ceiling",
    )

    repricing = models.ForeignKey(Repricing, on_delete=models.CASCADE, related_name="lines")
    applied = models.BooleanField(help_text="Done; otherwise, found by the preview.")
    model = models.ForeignKey("usage.LlmModel", on_delete=models.PROTECT, related_name="+")
    requests = models.PositiveBigIntegerField(help_text="Looked at.")
    changed = models.PositiveBigIntegerField()
    unpriced_before = models.PositiveBigIntegerField()
    unpriced_after = models.PositiveBigIntegerField()
    old_cost = models.DecimalField(max_digits=30, decimal_places=10)
    new_cost = models.DecimalField(max_digits=30, decimal_places=10)
    old_ceiling = models.DecimalField(max_digits=30, decimal_places=10)
    new_ceiling = models.DecimalField(max_digits=30, decimal_places=10)

    objects = RepricedModelQuerySet.as_manager()

    class Meta:
        verbose_name = "re-priced model"
        ordering = ["model__name"]
        constraints = [
            models.UniqueConstraint(
                fields=["repricing", "applied", "model"], name="repriced_model_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} in {self.repricing}"

    @property
    def difference(self) -> Decimal:
        return self.new_cost - self.old_cost
