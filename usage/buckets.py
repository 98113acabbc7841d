"""Buckets of time: when each of a period begins, and what it is called on axes and in tables.

Buckets begin as reports name them: with a day, or for hours with a moment in UTC. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from usage.periods import DAY

# Buckets that are moments; the others are days.
STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
QUARTER = timedelta(minutes=15)  # zones change on quarters of an hour


@dataclass(frozen=True, slots=True)
class Bucket:
    """The time `[begins, ends)` within a period, and the `key` by which reports name it.

    Days, or for hours moments. A week that the period cuts into begins with the period.
    """

    key: date | datetime
    begins: date | datetime
    ends: date | datetime


def cut(start: date, end: date, grain: str, zone: ZoneInfo) -> list[Bucket]:
    """The buckets of the local days `[start, end)`, in order."""
    return list(hours(start, end, zone) if grain == "hour" else days(start, end, grain))


def days(start: date, end: date, grain: str) -> Iterator[Bucket]:
    day = start
    if grain == "week":
        day -= start.weekday() * DAY
    elif grain == "month":
        day = start.replace(day=1)
    while day < end:
        next_day = after(day, grain)
        yield Bucket(day, max(day, start), min(next_day, end))
        day = next_day


def after(day: date, grain: str) -> date:
    if grain == "month":
        return (day.replace(day=1) + 31 * DAY).replace(day=1)
    return day + (7 * DAY if grain == "week" else DAY)


def hours(start: date, end: date, zone: ZoneInfo) -> Iterator[Bucket]:
    """Stepped in UTC: a day on which clocks change has 23 or 25 hours, or, where they change by
    half an hour, an hour of half its length.
    """
    moment, last = midnight(start, zone), midnight(end, zone)
    key, begins = hour_of(moment, zone), moment
    while moment < last:
        moment += QUARTER
        if moment >= last or hour_of(moment, zone) != key:
            yield Bucket(key, begins, min(moment, last))
            key, begins = hour_of(moment, zone), moment


def hour_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """When the hour of the moment began by the clock that it has itself, as PostgreSQL cuts it."""
    return moment - timedelta(minutes=moment.astimezone(zone).minute)


def within(
    start: date | datetime, end: date | datetime, grain: str, zone: ZoneInfo
) -> Iterator[date | datetime]:
    """When each bucket of `[start, end)` begins, of days or of moments, as reports name it."""
    if grain == "minute":
        moment, last = moment_of(start, zone).replace(second=0, microsecond=0), moment_of(end, zone)
        while moment < last:
            yield moment
            moment += STEPS[grain]
        return
    first, after_last = moment_of(start, zone), moment_of(end, zone)
    for bucket in cut(day_of(start, zone), day_of(end, zone) + DAY, grain, zone):
        if moment_of(bucket.ends, zone) > first and moment_of(bucket.begins, zone) < after_last:
            yield bucket.key


def moment_of(edge: date | datetime, zone: ZoneInfo) -> datetime:
    return edge.astimezone(UTC) if isinstance(edge, datetime) else midnight(edge, zone)


def day_of(edge: date | datetime, zone: ZoneInfo) -> date:
    return edge.astimezone(zone).date() if isinstance(edge, datetime) else edge


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def label(bucket: Any, grain: str, zone: ZoneInfo) -> str:
    if grain in STEPS:
        return f"{bucket.astimezone(zone):%H:%M}"
    return f"{bucket:%b %Y}" if grain == "month" else f"{bucket:%b} {bucket.day}"


def title(bucket: Any, grain: str, zone: ZoneInfo) -> str:
    if grain in STEPS:
        local = bucket.astimezone(zone)
        until = f" – {local:%H}:59" if grain == "hour" else ""
        return f"{local:%a} {local.day} {local:%b}, {local:%H:%M}{until}"
    if grain == "month":
        return f"{bucket:%B %Y}"
    return f"{'Week of ' if grain == 'week' else ''}{bucket:%a} {bucket.day} {bucket:%b %Y}"
