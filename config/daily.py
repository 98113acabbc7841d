"""The figures of each day, from which the dashboard draws its small lines and looks ahead.

One report covers the period, the days before it and the month; what is wanted of it is added up
here, because these measures add up.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from config.view import View
from usage.buckets import cut
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
# Fewer whole days say too little of the days to come.
LEAST_DAYS_TO_PROJECT = 3

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """The month's spend so far, and at its end should the days to come be like the last ones."""

    spent: Decimal
    expected: Decimal | None
    per_day: Decimal | None
    month: date
    days_left: int


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
    """By the average of the last seven whole days, or as many as there are, at least three."""
    today = today_in(view.reach, now=view.now)
    first = today.replace(day=1)
    spent = {row["day"]: row["cost"] or Decimal(0) for row in rows if row["requests"]}
    so_far = sum((cost for day, cost in spent.items() if first <= day <= today), Decimal(0))
    days_left = monthrange(today.year, today.month)[1] - today.day
    since = max(min(spent, default=today), today - WEEK)
    whole_days = (today - since).days
    if whole_days < LEAST_DAYS_TO_PROJECT:
        return Projection(so_far, None, None, first, days_left)
    recent = sum((cost for day, cost in spent.items() if since <= day < today), Decimal(0))
    per_day = recent / whole_days
    # Today is a day like the others, of which a part is spent already.
    rest_of_today = max(Decimal(0), per_day - spent.get(today, Decimal(0)))
    return Projection(
        so_far, so_far + rest_of_today + per_day * days_left, per_day, first, days_left
    )
