"""A budget's page: where it stands, how it burns down, and the ledger of why it did what it did."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets import alerts, burn_down
from budgets.ledger import question_of
from budgets.models import Alert, Budget, BudgetPeriod, Delivery, Hold
from budgets.standing import Standing
from usage import formatting
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
    today = now.astimezone(budget.account.zone).date()
    first = standing.start_on
    if standing.end_on is None:
        first = max(first, today - (SHOWN_DAYS - 1) * DAY)
    looked_from = min(first, today - burn_down.LOOKED_AT_DAYS * DAY)
    report = ask(question_of(budget, looked_from, standing.end_on, granularity="day"), now=now)
    by_day = {row["day"]: row for row in report.rows}
    amounts = {day: consumed_of(row) for day, row in by_day.items()}
    projection = burn_down.project(
        amounts,
        consumed=standing.consumed,
        limit=standing.limit,
        today=today,
        end_on=standing.end_on,
    )
    days = spent_days(by_day, standing, first)
    period = BudgetPeriod.objects.filter(budget=budget, start_on=standing.start_on).first()
    return {
        "standing": standing,
        "zone": budget.account.zone,
        "now": now,
        "projection": projection,
        "outlook": outlook(standing, projection),
        "chart": chart(standing, days, amounts, projection, first=first, today=today),
        "days": list(reversed(days)),
        "verdicts": verdicts(budget, standing, period),
        "told_to": told_to(budget),
        **holds(budget, period, now=now),
        "changes": budget.changes.all()[:SHOWN_CHANGES],
        "earlier": earlier_periods(budget, standing),
    }


def consumed_of(row: dict[str, Any]) -> Decimal:
    return (row["cost"] or NOTHING) + (row["ceiling_cost"] or NOTHING)


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


def outlook(standing: Standing, projection: burn_down.Projection) -> str:
    """What comes of it at this rate, in a sentence that says what it is based on."""
    if projection.per_day is None:
        return "No whole day with spend yet: it is too early to say where this is going."
    days = f"{projection.days_seen} day{'' if projection.days_seen == 1 else 's'}"
    rate = f"At {formatting.money(projection.per_day)} a day, the average of the last {days},"
    if standing.limit is not None and standing.consumed >= standing.limit:
        return f"{rate} it would go on; the limit is used up already."
    if projection.runs_out_on:
        return f"{rate} the limit is reached on {projection.runs_out_on:%a %Y-%m-%d}."
    if projection.at_the_end is not None:
        end = formatting.money(projection.at_the_end)
        return f"{rate} the {standing.period} ends at {end}{percent_of(standing, projection)}."
    return f"{rate} the limit is not reached within three years."


def percent_of(standing: Standing, projection: burn_down.Projection) -> str:
    if not standing.limit or projection.at_the_end is None:
        return ""
    return f", {projection.at_the_end * 100 / standing.limit:.0f} % of the limit"


def chart(
    standing: Standing,
    days: list[SpentDay],
    amounts: dict[date, Decimal],
    projection: burn_down.Projection,
    *,
    first: date,
    today: date,
) -> dict[str, Any] | None:
    """What is left of the limit day by day, then at this rate. Numbers draw, texts are read."""
    if not standing.limit:
        return None
    limit = standing.limit
    end_on = standing.end_on or today + SHOWN_AHEAD * DAY
    shown = [first + number * DAY for number in range((end_on - first).days)]
    by_then = {one.day: one.consumed_by_then for one in days}
    ahead = burn_down.expected(
        amounts,
        consumed=standing.consumed,
        per_day=projection.per_day or NOTHING,
        today=today,
        end_on=end_on,
    )
    left, sum_ = [], standing.consumed - sum((amounts.get(d, NOTHING) for d in shown), NOTHING)
    for day in shown:
        sum_ = by_then.get(day, sum_)
        left.append(float(limit - sum_) if day <= today else None)
    is_known = projection.per_day is not None
    # From what is left now, so that both lines meet today.
    ahead[today] = standing.consumed
    projected = [float(limit - ahead[day]) if is_known and day in ahead else None for day in shown]
    return {
        "labels": [f"{day:%b} {day.day}" for day in shown],
        "titles": [f"{day:%a} {day.day} {day:%b %Y}" for day in shown],
        "left": left,
        "projected": projected,
        "spent": [formatting.money(amounts.get(day, NOTHING)) for day in shown],
        "limit": float(limit),
    }


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
