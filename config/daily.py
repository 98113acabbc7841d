"""The figures of each day, from which the dashboard draws its small lines and looks ahead.

One report covers the period, the days before it and the month; what is wanted of it is added up
here, because these measures add up.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from config.view import View
from usage.buckets import cut
from usage.insight.forecast import Outlook, forecast
from usage.reports.question import Question, today_in
from usage.reports.run import Report

METRICS = (
    "cost",
    "requests",
    "errors",
    "total_tokens",
    "input_tokens",
    "cache_read_tokens",
)
WEEK = timedelta(7)
LOOKED_BACK = timedelta(28)
MINUTES_OF_DAY = 24 * 60

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """The month's spend so far, and at its end: null while too little is known."""

    spent: Decimal
    at_the_end: Outlook | None
    month: date


def question(view: View) -> Question:
    today = today_in(view.reach, now=view.now)
    firsts = (view.period.before_start, today.replace(day=1), today - LOOKED_BACK)
    # A week more, to tell whether the period before began with the first requests ever.
    first = date.fromordinal(max(1, min(firsts).toordinal() - WEEK.days))
    last = max(view.period.end, today + timedelta(1))
    return Question(view.reach, first, last, granularity="day", metrics=METRICS)


def speeds_question(view: View) -> Question:
    """Durations apart, of the days that are drawn only: of each there are many counts."""
    return view.question(metrics=("latency_ms_p95",), granularity="day")


def with_speeds(days: Report, speeds: Report | None) -> list[Row]:
    by_day = {row["day"]: row for row in speeds.rows} if speeds else {}
    return [row | by_day.get(row["day"], {}) for row in days.rows]


def began_before(report: Report, day: date) -> bool:
    """Whether there were requests in the week up to that day."""
    return any(row["requests"] and row["day"] <= day for row in report.rows)


def lines(view: View, rows: list[Row], grain: str) -> dict[str, list[Decimal | None]]:
    """Metric -> its figure in each bucket of the period, to be drawn as a small line."""
    by_bucket = added_up(view, rows, grain)
    return {name: [figure(row) for row in by_bucket] for name, figure in LINES.items()}


def added_up(view: View, rows: Iterable[Row], grain: str) -> list[Row]:
    """The rows of each bucket until now as one; of a bucket without requests an empty one."""
    until = view.now if grain == "hour" else today_in(view.reach, now=view.now)
    buckets = [
        bucket
        for bucket in cut(view.period.start, view.period.end, grain, view.zone)
        if bucket.begins <= until  # type: ignore[operator]
    ]
    known = {row["hour" if grain == "hour" else "day"]: row for row in rows}
    if grain in ("hour", "day"):
        return [known.get(bucket.key, {}) for bucket in buckets]
    return [
        summed([known[day] for day in days_between(bucket.begins, bucket.ends) if day in known])
        for bucket in buckets
    ]


def days_between(start: Any, end: Any) -> Iterable[date]:
    return (start + timedelta(n) for n in range((end - start).days))


def summed(rows: list[Row]) -> Row:
    """Percentiles are left out: they do not add up."""
    return {name: sum(row[name] or 0 for row in rows) for name in METRICS}


def of(name: str) -> Callable[[Row], Decimal | None]:
    return lambda row: Decimal(row.get(name) or 0)


def ratio(part: str, whole: str) -> Callable[[Row], Decimal | None]:
    return lambda row: Decimal(row[part]) / row[whole] if row.get(whole) else None


LINES: dict[str, Callable[[Row], Decimal | None]] = {
    "cost": of("cost"),
    "requests": of("requests"),
    "total_tokens": of("total_tokens"),
    "error_rate": ratio("errors", "requests"),
    "cache_hit_rate": ratio("cache_read_tokens", "input_tokens"),
    "latency_ms_p95": lambda row: row.get("latency_ms_p95"),
}


def projection(view: View, rows: Iterable[Row]) -> Projection:
    """By the same forecast as budgets', over the days of the report."""
    today = today_in(view.reach, now=view.now)
    first = today.replace(day=1)
    end = first + timedelta(monthrange(today.year, today.month)[1])
    spent = {row["day"]: row["cost"] or Decimal(0) for row in rows if row["requests"]}
    so_far = sum((cost for day, cost in spent.items() if first <= day <= today), Decimal(0))
    known = days_between(min(spent, default=today), today)
    found = forecast(
        [spent.get(day, Decimal(0)) for day in known],
        today=today,
        days=(end - today).days,
        day_left=part_left(view.now.astimezone(view.zone)),
    )
    return Projection(so_far, found.until(end, spent=so_far) if found else None, first)


def part_left(local: datetime) -> Decimal:
    """Of the local day."""
    return 1 - Decimal(local.hour * 60 + local.minute) / MINUTES_OF_DAY
