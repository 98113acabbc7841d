"""A budget's page: where it stands, how it burns down, and the ledger of why it did what it did."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets import alerts
from budgets.ledger import question_of
from budgets.models import Alert, Budget, BudgetPeriod, Delivery, Hold
from budgets.outlook import BudgetOutlook, consumed_of, outlook_from
from budgets.standing import Standing
from usage import formatting
from usage.insight.forecast import LOOKED_BACK_DAYS, RunOut
from usage.reports.run import ask

DAY = timedelta(1)
NOTHING = Decimal(0)
SHOWN_DAYS = 92  # of a period that never ends, as many as a quarter has
SHOWN_AHEAD = 30
SHOWN_HOLDS = 10
SHOWN_CHANGES = 20
SHOWN_PERIODS = 12


@dataclass(frozen=True, slots=True)
class SpentDay:
    """What a local day added, and what had been consumed of the limit by its end."""

    day: date
    requests: int
    spent: Decimal
    estimated: Decimal
    consumed_by_then: Decimal
    percent: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A threshold, whether it was told, and why or why not, in a sentence."""

    threshold: int
    is_told: bool
    sentence: str
    alert: Alert | None
    deliveries: Sequence[Delivery]


def context(budget: Budget, standing: Standing, *, now: datetime) -> dict[str, Any]:
    """What the page shows; `standing` is the budget's own."""
    local = now.astimezone(budget.account.zone)
    today, first = local.date(), standing.start_on
    if standing.end_on is None:
        first = max(first, today - (SHOWN_DAYS - 1) * DAY)
    looked_from = min(first, today - LOOKED_BACK_DAYS * DAY)
    report = ask(question_of(budget, looked_from, standing.end_on, granularity="day"), now=now)
    by_day = {row["day"]: row for row in report.rows}
    amounts = {day: consumed_of(row) for day, row in by_day.items()}
    outlook = outlook_from(amounts, standing, local=local)
    days = spent_days(by_day, standing, first)
    period = BudgetPeriod.objects.filter(budget=budget, start_on=standing.start_on).first()
    return {
        "standing": standing,
        "zone": budget.account.zone,
        "now": now,
        "outlook": in_words(standing, outlook),
        "chart": chart(standing, days, amounts, outlook, first=first, today=today),
        "days": list(reversed(days)),
        "verdicts": verdicts(budget, standing, period),
        "told_to": told_to(budget),
        **holds(budget, period, now=now),
        "changes": budget.changes.all()[:SHOWN_CHANGES],
        "earlier": earlier_periods(budget, standing),
    }


def spent_days(
    by_day: dict[date, dict[str, Any]], standing: Standing, first: date
) -> list[SpentDay]:
    """The period's days that have requests, in order. What came before `first` is in the sum."""
    rows = [row for day, row in sorted(by_day.items()) if day >= first]
    sum_ = standing.consumed - sum((consumed_of(row) for row in rows), NOTHING)
    days = []
    for row in rows:
        sum_ += consumed_of(row)
        percent = f"{sum_ * 100 / standing.limit:.1f} %" if standing.limit else formatting.UNKNOWN
        days.append(
            SpentDay(
                row["day"],
                row["requests"],
                row["cost"] or NOTHING,
                row["ceiling_cost"] or NOTHING,
                sum_,
                percent,
            )
        )
    return days


def in_words(standing: Standing, outlook: BudgetOutlook | None) -> str:
    """Where it is going, with the range in which four of five outcomes lie."""
    if outlook is None:
        return "Less than three whole days since the first spend: too early to say where it goes."
    run_out = outlook.run_out
    if standing.limit is not None and standing.consumed >= standing.limit:
        return f"The limit is used up. {at_the_end(standing, outlook)}".strip()
    if run_out and run_out.expected:
        return f"The limit is likely reached on {weekday(run_out.expected)}{earliest_to(run_out)}."
    reached = ""
    if run_out and run_out.earliest:
        reached = f" The limit may be reached from {weekday(run_out.earliest)} on."
    elif run_out and standing.end_on is None:
        reached = "The limit is not likely reached within a year."
    return f"{at_the_end(standing, outlook)}{reached}" or "It has no limit and no end."


def at_the_end(standing: Standing, outlook: BudgetOutlook) -> str:
    end = outlook.at_the_end
    if end is None:
        return ""
    low, expected, high = (formatting.money(sum_) for sum_ in (end.low, end.expected, end.high))
    part = f", {end.expected * 100 / standing.limit:.0f} % of the limit" if standing.limit else ""
    return f"The {standing.period} likely ends at {expected}{part}: from {low} to {high}."


def earliest_to(run_out: RunOut) -> str:
    late = f"by {weekday(run_out.latest)}" if run_out.latest else "perhaps not in these days at all"
    if run_out.earliest in (None, run_out.expected):
        return "" if run_out.latest == run_out.expected else f", {late}"
    return f": {weekday(run_out.earliest)} at the earliest, {late}"


def weekday(day: date) -> str:
    return f"{day:%a %Y-%m-%d}"


def chart(
    standing: Standing,
    days: list[SpentDay],
    amounts: dict[date, Decimal],
    outlook: BudgetOutlook | None,
    *,
    first: date,
    today: date,
) -> dict[str, Any] | None:
    """What is left of the limit day by day, then what likely will be. Numbers draw, texts are
    read."""
    if not standing.limit:
        return None
    limit = standing.limit
    end_on = standing.end_on or today + SHOWN_AHEAD * DAY
    shown = [first + number * DAY for number in range((end_on - first).days)]
    by_then = {one.day: one.consumed_by_then for one in days}
    left, sum_ = [], standing.consumed - sum((amounts.get(d, NOTHING) for d in shown), NOTHING)
    for day in shown:
        sum_ = by_then.get(day, sum_)
        left.append(float(limit - sum_) if day <= today else None)
    low, expected, high = courses(standing, outlook, shown, today=today)
    return {
        "labels": [f"{day:%b} {day.day}" for day in shown],
        "titles": [f"{day:%a} {day.day} {day:%b %Y}" for day in shown],
        "left": left,
        "expected": expected,
        "low": low,
        "high": high,
        "spent": [formatting.money(amounts.get(day, NOTHING)) for day in shown],
        "limit": float(limit),
    }


def courses(
    standing: Standing, outlook: BudgetOutlook | None, shown: list[date], *, today: date
) -> tuple[list[float | None], ...]:
    """What will be left by the end of each day: at the least, expected, at the most. From what is
    left now, so that all lines meet today."""
    limit = standing.limit or NOTHING
    now = float(limit - standing.consumed) if outlook else None
    found: list[tuple[float | None, ...]] = []
    for day in shown:
        if outlook and day > today:
            by_then = outlook.by_the_end_of(day)
            sums = (by_then.high, by_then.expected, by_then.low)
            found.append(tuple(float(limit - sum_) for sum_ in sums))
        else:
            found.append((now if day == today else None,) * 3)
    return tuple(list(course) for course in zip(*found, strict=True)) or ([], [], [])


def verdicts(budget: Budget, standing: Standing, period: BudgetPeriod | None) -> list[Verdict]:
    """Of each threshold, the newest telling first, and of those not told under this limit why."""
    found = list(
        Alert.objects.filter(period=period).prefetch_related("deliveries").order_by("-crossed_at")
        if period
        else []
    )
    told = [
        Verdict(
            alert.threshold,
            True,
            f"reached with {formatting.money(alert.consumed)} of {formatting.money(alert.limit)}. "
            + alerts.why_again(alert),
            alert,
            list(alert.deliveries.all()),
        )
        for alert in found
    ]
    done = {alert.threshold for alert in found if alert.limit == standing.limit}
    untold = [
        Verdict(threshold, False, why_not(standing, threshold), None, ())
        for threshold in sorted(budget.thresholds)
        if threshold not in done
    ]
    return untold + told


def why_not(standing: Standing, threshold: int) -> str:
    if standing.is_archived:
        return "not told: the budget is archived."
    if not standing.is_in_force:
        return "not told: the budget is not in force today."
    if standing.limit is None:
        return "not told: there is no limit that it could be a part of."
    if not standing.consumed:
        return "not told: nothing was spent yet."
    line = standing.limit * threshold / 100
    if standing.consumed >= line:
        return "reached, and told with the next request, or within seconds."
    to_go = formatting.money(line - standing.consumed)
    return (
        f"not reached: {to_go} to go until {formatting.money(line)}. What is held does not count."
    )


def told_to(budget: Budget) -> str:
    people = list(budget.recipients)
    people += ["the managers"] if budget.tell_managers else []
    people += ["the member concerned"] if budget.tell_member else []
    return ", ".join(people) or "the account's owners, because no one else is named"


def holds(budget: Budget, period: BudgetPeriod | None, *, now: datetime) -> dict[str, Any]:
    if period is None:
        return {"holds": [], "hold_count": 0}
    found = Hold.objects.filter(
        account=budget.account_id, state=Hold.State.OPEN, period_ids__contains=[period.pk]
    )
    shown = list(found.order_by("-amount")[:SHOWN_HOLDS])
    for hold in shown:
        hold.__dict__["is_over"] = hold.expires_at <= now
    return {"holds": shown, "hold_count": found.count()}


def earlier_periods(budget: Budget, standing: Standing) -> list[dict[str, Any]]:
    before = budget.periods.filter(start_on__lt=standing.start_on).exclude(end_on=None)
    found = before.prefetch_related("alerts")
    return [
        {
            "days": formatting.days(period.start_on, period.end_on or standing.start_on),
            "spent": period.spent,
            "estimated": period.estimated,
            "held": period.held,
            "told": ", ".join(f"{a.threshold} %" for a in reversed(period.alerts.all())),
        }
        for period in found[:SHOWN_PERIODS]
    ]
