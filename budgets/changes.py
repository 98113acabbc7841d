"""Changes of a budget: saved, kept for its ledger, and told where they make a threshold reached."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from budgets.ledger import make_alerts
from budgets.models import Budget, BudgetChange, BudgetPeriod

NO_LIMIT = "no limit"
LIMIT, RAISE = "limit", "raise"


@transaction.atomic
def save(budget: Budget, *, by: str, now: datetime) -> None:
    """Save a budget that was there before. Thresholds that its limit now meets are alerted."""
    before = Budget.objects.select_for_update().select_related("account").get(pk=budget.pk)
    budget.save()
    BudgetChange.objects.bulk_create(changes(before, budget, by=by, now=now))
    make_alerts(current_periods(budget, now=now), now=now)


def note_archived(budget: Budget, *, by: str, now: datetime) -> None:
    is_archived = budget.archived_at is not None
    BudgetChange.objects.create(
        budget=budget,
        changed_at=now,
        changed_by=by,
        what="archived",
        before="" if is_archived else "yes",
        after="yes" if is_archived else "no",
    )


def changes(before: Budget, after: Budget, *, by: str, now: datetime) -> list[BudgetChange]:
    reasons = {RAISE: after.raised_reason}
    old, new = described(before), described(after)
    return [
        BudgetChange(
            budget=after,
            changed_at=now,
            changed_by=by,
            what=what,
            before=old[what],
            after=new[what],
            reason=reasons.get(what, ""),
        )
        for what in new
        if old[what] != new[what]
    ]


def described(budget: Budget) -> dict[str, str]:
    """What of a budget is worth telling when it changes, in words."""
    people = [*budget.recipients]
    people += ["the managers"] if budget.tell_managers else []
    people += ["the member concerned"] if budget.tell_member else []
    return {
        "name": budget.name,
        LIMIT: dollars(budget.limit),
        RAISE: raise_of(budget),
        "hard": "hard" if budget.hard else "soft",
        "thresholds": ", ".join(f"{threshold} %" for threshold in budget.thresholds) or "none",
        "recipients": ", ".join(people) or "the account's owners",
        "in force": days_in_force(budget),
    }


def raise_of(budget: Budget) -> str:
    if budget.raised_until is None:
        return "none"
    until = timezone.localtime(budget.raised_until, budget.account.zone)
    return f"{dollars(budget.raised_limit)} until {until:%Y-%m-%d %H:%M}"


def days_in_force(budget: Budget) -> str:
    first, last = budget.in_force_from, budget.in_force_until
    parts = [f"from {first}" if first else "", f"until {last}" if last else ""]
    return " ".join(part for part in parts if part) or "always"


def dollars(limit: Decimal | None) -> str:
    """Every digit of a limit, as `$1,500.00`."""
    if limit is None:
        return NO_LIMIT
    return f"${with_cents(limit):,f}"


def with_cents(limit: Decimal) -> Decimal:
    """Without the zeros that follow its cents."""
    exponent = int(limit.normalize().as_tuple().exponent)
    return limit.quantize(Decimal(1).scaleb(min(exponent, -2)))


def current_periods(budget: Budget, *, now: datetime) -> list[int]:
    """The ids of the counters that the present local day counts in: one, if anyone looked yet."""
    today = now.astimezone(budget.account.zone).date()
    periods: Any = BudgetPeriod.objects.filter(budget=budget, start_on__lte=today)
    return list(periods.exclude(end_on__lte=today).values_list("pk", flat=True))
