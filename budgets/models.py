"""Budgets, their counters and holds; alerts and their mails are in `outbox_models.py`.

The counters are moved by two SQL functions (migrations 0012 and 0014), inside the transaction that
records requests or decides an authorization; nothing else writes them but a recount.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, ExpressionWrapper, F, Func, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from accounts.models import (
    Account,
    ApiKey,
    Archivable,
    ArchivableQuerySet,
    Member,
    Project,
    Workspace,
)
from budgets.outbox_models import Alert, Delivery, Notice

__all__ = ["Alert", "Budget", "BudgetChange", "BudgetPeriod", "Delivery", "Hold", "Notice"]


def default_thresholds() -> list[int]:
    return [80, 100]


def only(scope: str) -> Q:
    """A budget of that scope, which names what it is over and nothing else."""
    subjects = ("workspace", "project", "member", "api_key")
    return Q(scope=scope, **{f"{name}__isnull": name != scope for name in subjects})


class BudgetQuerySet(ArchivableQuerySet):
    def with_figures(self, *, now: datetime) -> Self:
        """Each with its current period's counter and the limit that counts now (`now_...`), and how
        much of it is consumed, in one query."""
        at = Value(now, output_field=models.DateTimeField())
        today = Func(
            at,
            F("account__time_zone"),
            template="(%(expressions)s)::date",
            arg_joiner=" AT TIME ZONE ",
            output_field=models.DateField(),
        )
        start_on = Func(
            F("period"), today, function="budgets_period_start", output_field=models.DateField()
        )
        counter = BudgetPeriod.objects.filter(budget=OuterRef("pk"), start_on=OuterRef("now_start"))
        figures = {
            f"now_{name}": Coalesce(Subquery(counter.values(name)), Value(Decimal(0)))
            for name in ("spent", "estimated", "held")
        }
        return self.annotate(
            now_start=start_on,
            now_end=Func(
                F("period"),
                F("now_start"),
                function="budgets_period_end",
                output_field=models.DateField(null=True),
            ),
            now_limit=Func(
                F("limit"),
                F("raised_limit"),
                F("raised_until"),
                at,
                function="budgets_limit_at",
                output_field=models.DecimalField(max_digits=16, decimal_places=4, null=True),
            ),
            now_in_force=Func(
                F("in_force_from"),
                F("in_force_until"),
                today,
                function="budgets_in_force",
                output_field=models.BooleanField(),
            ),
            now_enforced=Coalesce(
                F("workspace__enforce_hard_limits"),
                F("project__workspace__enforce_hard_limits"),
                F("api_key__workspace__enforce_hard_limits"),
                Value(True),
            ),
            **figures,
        ).annotate(
            now_part=ExpressionWrapper(
                (F("now_spent") + F("now_estimated")) / NullIf(F("now_limit"), Value(Decimal(0))),
                output_field=models.DecimalField(max_digits=60, decimal_places=10, null=True),
            )
        )


class Budget(Archivable):
    """A limit over a scope and a period of the account's calendar.

    A null limit is none; 0 lets nothing pass. A soft budget warns, a hard one also refuses.
    Scope and period stay as they were made: another scope or period is another budget.
    """

    class Scope(models.TextChoices):
        ACCOUNT = "account"
        WORKSPACE = "workspace"
        PROJECT = "project"
        MEMBER = "member"
        API_KEY = "api_key", "API key"

    class Period(models.TextChoices):
        DAY = "day"
        WEEK = "week"
        MONTH = "month"
        QUARTER = "quarter"
        TOTAL = "total"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="budgets")
    name = models.CharField(max_length=200)
    scope = models.CharField(max_length=9, choices=Scope.choices)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, null=True, blank=True)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, blank=True)
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.PROTECT, null=True, blank=True, verbose_name="API key"
    )
    scope_id = models.GeneratedField(
        expression=Case(
            When(scope="workspace", then=F("workspace_id")),
            When(scope="project", then=F("project_id")),
            When(scope="member", then=F("member_id")),
            When(scope="api_key", then=F("api_key_id")),
            default=F("account_id"),
        ),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    limit = models.DecimalField(
        max_digits=16,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text="US dollars a period. Empty: no limit. 0: nothing passes.",
    )
    period = models.CharField(max_length=7, choices=Period.choices, default=Period.MONTH)
    hard = models.BooleanField(default=False, help_text="Refuse calls that would pass the limit.")
    thresholds = ArrayField(
        models.PositiveSmallIntegerField(
            validators=[MinValueValidator(1), MaxValueValidator(1000)]
        ),
        default=default_thresholds,
        blank=True,
        help_text="Percent of the limit at which recipients are told, such as 80,100.",
    )
    recipients = ArrayField(
        models.EmailField(), default=list, blank=True, help_text="E-mail addresses."
    )
    tell_managers = models.BooleanField(
        "tell the managers",
        default=False,
        help_text="Of the workspace that it is over or in; else the account's.",
    )
    tell_member = models.BooleanField(
        "tell the member concerned",
        default=False,
        help_text="Whom a member's or an API key's budget is about.",
    )
    # Beside the limit and not instead of it: the raise ends by the clock alone.
    raised_limit = models.DecimalField(
        "raised to",
        max_digits=16,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text="US dollars, in place of the limit until the raise ends.",
    )
    raised_until = models.DateTimeField("until", null=True, blank=True)
    raised_reason = models.CharField("reason", max_length=300, blank=True)
    in_force_from = models.DateField(
        null=True, blank=True, help_text="The first day on which it refuses and warns."
    )
    in_force_until = models.DateField(
        null=True, blank=True, help_text="The first day on which it does so no more."
    )
    counted_from = models.DateField(
        editable=False, help_text="The local day on which its first counted period began."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BudgetQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        ordering = ["account", "name"]
        indexes = [
            # The budgets above a request, in every recording and every decision.
            models.Index(fields=["account", "scope", "scope_id"], name="budgets_above_a_request"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(limit=None) | Q(limit__gte=0), name="limit_is_not_negative"
            ),
            models.CheckConstraint(
                condition=only("account")
                | only("workspace")
                | only("project")
                | only("member")
                | only("api_key"),
                name="budget_has_the_scope_that_it_says",
            ),
            models.CheckConstraint(
                condition=Q(raised_limit=None, raised_until=None)
                | Q(raised_limit__gte=0, raised_until__isnull=False),
                name="raise_has_a_limit_and_an_end",
            ),
            models.CheckConstraint(
                condition=Q(in_force_from=None)
                | Q(in_force_until=None)
                | Q(in_force_from__lt=F("in_force_until")),
                name="in_force_for_a_day_at_least",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def subject(self) -> Any:
        """What the budget is over: an account, workspace, project, member or API key."""
        return getattr(self, self.scope)

    def clean(self) -> None:
        if self.scope not in self.Scope.values:  # said at its own field
            return
        for scope in ("workspace", "project", "member", "api_key"):
            given = getattr(self, f"{scope}_id") is not None
            if self.scope == scope and not given:
                raise ValidationError({scope: f"Name the {scope.replace('_', ' ')}."})
            if self.scope != scope and given:
                raise ValidationError({scope: "Leave this empty in this scope."})
        if self.scope != "account" and owner_id(self.subject) != self.account_id:
            raise ValidationError({self.scope: "This belongs to another account."})
        self.thresholds = sorted(set(self.thresholds or ()))
        self.clean_raise()
        if self.in_force_from and self.in_force_until and self.in_force_from >= self.in_force_until:
            raise ValidationError({"in_force_until": "It must be in force for a day at least."})

    def clean_raise(self) -> None:
        """A raise is a higher limit with an end and a reason, or nothing of it."""
        if self.raised_limit is None and self.raised_until is None:
            self.raised_reason = ""
            return
        for name in ("raised_limit", "raised_until", "raised_reason"):
            if getattr(self, name) in (None, ""):
                raise ValidationError({name: "A raise has a limit, an end and a reason."})
        if self.limit is None:
            raise ValidationError({"raised_limit": "There is no limit that could be raised."})
        if self.raised_limit <= self.limit:  # type: ignore[operator]
            raise ValidationError({"raised_limit": "A raise is more than the limit."})


def owner_id(subject: Workspace | Project | Member | ApiKey) -> int:
    """The id of the account that a budget's subject belongs to."""
    if isinstance(subject, Project | ApiKey):
        return subject.workspace.account_id
    return subject.account_id


class BudgetPeriod(models.Model):
    """What a budget's scope spent in one period: local days `[start_on, end_on)`.

    `spent` equals the report's cost for the scope and those days. `estimated` is what unpriced
    requests count meanwhile, `held` what open holds set aside. All three count towards the limit.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="periods")
    start_on = models.DateField()
    end_on = models.DateField(null=True)
    spent = models.DecimalField(max_digits=30, decimal_places=10, default=0)
    estimated = models.DecimalField(max_digits=30, decimal_places=10, default=0)
    held = models.DecimalField(max_digits=30, decimal_places=10, default=0)

    class Meta:
        ordering = ["budget", "-start_on"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "start_on"], name="one_counter_a_period"),
            models.CheckConstraint(
                condition=Q(spent__gte=0, estimated__gte=0, held__gte=0),
                name="counters_are_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget} from {self.start_on}"


class Hold(models.Model):
    """Money set aside by an authorization until its request is logged or it expires."""

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        RELEASED = "released"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    # No index on either alone: planned while there were few holds, a decision would read by it all
    # holds of an account or workspace. No constraint: to check both took longer than to store it.
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    # What else it was asked for, so that a budget opened meanwhile finds the holds under it.
    project_id = models.IntegerField(null=True)
    member_id = models.IntegerField(null=True)
    api_key_id = models.IntegerField(null=True)
    request_id = models.CharField(max_length=200, db_collation="C")
    amount = models.DecimalField(max_digits=20, decimal_places=10)
    period_ids = ArrayField(models.BigIntegerField())
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            # The holds that a decision frees because they expired.
            models.Index(
                fields=["account", "expires_at"],
                condition=Q(state="open"),
                name="open_holds_by_expiry",
            ),
            # What was held for a request that is looked at. Not of open holds: those are found by
            # their constraint, and setting money aside pays for no entry more.
            models.Index(
                fields=["workspace", "request_id"],
                condition=~Q(state="open"),
                name="ended_holds_by_request",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "request_id"],
                condition=Q(state="open"),
                name="one_open_hold_per_request",
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="hold_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} for {self.request_id}"


class BudgetChange(models.Model):
    """What somebody changed about a budget, as its ledger tells it."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="changes")
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=200, help_text="A user, or an access token's name.")
    what = models.CharField(max_length=20)
    before = models.TextField(blank=True)
    after = models.TextField(blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-changed_at", "-id"]

    def __str__(self) -> str:
        return f"{self.budget}: {self.what} from {self.before} to {self.after}"
