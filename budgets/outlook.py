"""Where a budget is going: its spend at the period's end and the day it runs out, with a range."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets.ledger import question_of
from budgets.models import Budget
from budgets.standing import Standing
from usage.insight.forecast import LOOKED_BACK_DAYS, Forecast, Outlook, RunOut, forecast
from usage.reports.run import ask, plain

DAY = timedelta(1)
FARTHEST_DAYS = 366
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class BudgetOutlook:
    """`at_the_end` is null for a budget without an end, `run_out` for one without a limit."""

    forecast: Forecast
    consumed: Decimal
    at_the_end: Outlook | None
    run_out: RunOut | None

    def by_the_end_of(self, day: date) -> Outlook:
        """What will be consumed by then."""
        return self.forecast.until(day + DAY, spent=self.consumed)


def outlook_of(budget: Budget, standing: Standing, *, now: datetime) -> BudgetOutlook | None:
    """None while too little is known: before the third whole day since it first spent."""
    today = now.astimezone(budget.account.zone).date()
    start = today - LOOKED_BACK_DAYS * DAY
    report = ask(question_of(budget, start, today, granularity="day"), now=now)
    by_day = {row["day"]: consumed_of(row) for row in report.rows}
    return outlook_from(by_day, standing, local=now.astimezone(budget.account.zone))


def outlook_from(
    by_day: Mapping[date, Decimal], standing: Standing, *, local: datetime
) -> BudgetOutlook | None:
    """As `outlook_of`, from what counted on each of the last `LOOKED_BACK_DAYS` local days."""
    today, end = local.date(), standing.end_on
    found = forecast(
        [by_day.get(today - back * DAY, Decimal(0)) for back in range(LOOKED_BACK_DAYS, 0, -1)],
        today=today,
        days=min((end - today).days, FARTHEST_DAYS) if end else FARTHEST_DAYS,
        day_left=1 - Decimal(local.hour * 3600 + local.minute * 60) / DAY_SECONDS,
    )
    if found is None:
        return None
    consumed, limit = standing.consumed, standing.limit
    return BudgetOutlook(
        found,
        consumed,
        at_the_end=found.until(end, spent=consumed) if end else None,
        run_out=found.run_out(left=limit - consumed) if limit is not None else None,
    )


def consumed_of(row: Mapping[str, Any]) -> Decimal:
    """What counts towards a budget: costs, and ceilings of what has no price."""
    return (row["cost"] or Decimal(0)) + (row["ceiling_cost"] or Decimal(0))


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
