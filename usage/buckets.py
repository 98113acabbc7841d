"""Buckets of time: when each of a period begins, and what it is called on axes and in tables.

Buckets begin as reports name them: with a day, or for hours with a moment in UTC. Pure.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from usage.periods import DAY


def buckets_of(start: date, end: date, grain: str, zone: ZoneInfo) -> Iterator[date | datetime]:
    """When each bucket of `[start, end)` begins, as reports name it: a day, or hours in UTC."""
    if grain == "hour":
        # Stepped in UTC: a day on which clocks change has 23 or 25 hours.
        moment = datetime.combine(start, time.min, tzinfo=zone).astimezone(UTC)
        last = datetime.combine(end, time.min, tzinfo=zone).astimezone(UTC)
        while moment < last:
            yield moment
            moment += timedelta(hours=1)
        return
    day = start
    if grain == "week":
        day -= start.weekday() * DAY
    elif grain == "month":
        day = start.replace(day=1)
    while day < end:
        yield day
        day = after(day, grain)


def after(day: date, grain: str) -> date:
    if grain == "month":
        return (day.replace(day=1) + 31 * DAY).replace(day=1)
    return day + (7 * DAY if grain == "week" else DAY)


def label(bucket: Any, grain: str, zone: ZoneInfo) -> str:
    if grain == "hour":
        return f"{bucket.astimezone(zone):%H:%M}"
    return f"{bucket:%b %Y}" if grain == "month" else f"{bucket:%b} {bucket.day}"


def title(bucket: Any, grain: str, zone: ZoneInfo) -> str:
    if grain == "hour":
        local = bucket.astimezone(zone)
        return f"{local:%a} {local.day} {local:%b}, {local:%H:%M} – {local:%H}:59"
    if grain == "month":
        return f"{bucket:%B %Y}"
    return f"{'Week of ' if grain == 'week' else ''}{bucket:%a} {bucket.day} {bucket:%b %Y}"
