"""Where a budget is going: its spend at the period's end and the day it runs out, with a range."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets.ledger import question_of
from budgets.models import Budget
from budgets.standing import Standing
from usage.insight.forecast import LOOKED_BACK_DAYS, Outlook, RunOut, forecast
from usage.reports.run import ask, plain

FARTHEST_DAYS = 366
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class BudgetOutlook:
    """`at_the_end` is null for a budget without an end, `run_out` for one without a limit."""

    at_the_end: Outlook | None
    run_out: RunOut | None


def outlook_of(budget: Budget, standing: Standing, *, now: datetime) -> BudgetOutlook | None:
    """None while too little is known: below three whole days with spend."""
    local = now.astimezone(budget.account.zone)
    today, end = local.date(), standing.end_on
    days = min((end - today).days, FARTHEST_DAYS) if end else FARTHEST_DAYS
    by_day = spent_by_day(budget, today, now=now)
    found = forecast(
        [
            by_day.get(today - timedelta(back), Decimal(0))
            for back in range(LOOKED_BACK_DAYS, 0, -1)
        ],
        today=today,
        days=days,
        day_left=1 - Decimal(local.hour * 3600 + local.minute * 60) / DAY_SECONDS,
    )
    if found is None:
        return None
    consumed, limit = standing.consumed, standing.limit
    return BudgetOutlook(
        at_the_end=found.until(end, spent=consumed) if end else None,
        run_out=found.run_out(left=limit - consumed) if limit is not None else None,
    )


def spent_by_day(budget: Budget, today: date, *, now: datetime) -> dict[date, Decimal]:
    """What counts towards the budget: costs, and ceilings of what has no price."""
    start = today - timedelta(LOOKED_BACK_DAYS)
    question = question_of(budget, start, today, granularity="day")
    return {
        row["day"]: (row["cost"] or Decimal(0)) + (row["ceiling_cost"] or Decimal(0))
        for row in ask(question, now=now).rows
    }


def as_json(found: BudgetOutlook | None) -> dict[str, Any]:
    """As the API gives it; all null while too little is known."""
    end = found.at_the_end if found else None
    out = found.run_out if found else None
    return {
        "at_the_end": end
        and {"low": plain(end.low), "expected": plain(end.expected), "high": plain(end.high)},
        "runs_out_on": out
        and {
            "earliest": plain(out.earliest),
            "expected": plain(out.expected),
            "latest": plain(out.latest),
        },
    }
