"""The periods of schedules, in the account's calendar. No clock and no database."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# So long after its end a period's last requests have arrived, as a rule; later ones make a
# correction.
GRACE = timedelta(minutes=5)


def start_of(moment: datetime, every: str, zone: ZoneInfo) -> datetime:
    """When the period that the moment is in began, in UTC."""
    if every == "hour":
        return hour_of(moment, zone)
    return midnight(first_day(moment.astimezone(zone).date(), every), zone)


def next_start(start: datetime, every: str, zone: ZoneInfo) -> datetime:
    """When the period that began then ends: hours are hours, also when the clock changes."""
    if every == "hour":
        return start + timedelta(hours=1)
    day = start.astimezone(zone).date()
    match every:
        case "day":
            return midnight(day + timedelta(1), zone)
        case "week":
            return midnight(day + timedelta(7), zone)
    return midnight((day.replace(day=1) + timedelta(32)).replace(day=1), zone)


def hour_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """Hours of zones that are half an hour off begin at half past."""
    local = moment.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return moment.astimezone(UTC) - into


def first_day(day: date, every: str) -> date:
    match every:
        case "week":
            return day - timedelta(day.weekday())
        case "month":
            return day.replace(day=1)
    return day


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def periods_over(
    since: datetime, every: str, zone: ZoneInfo, *, now: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """`[start, end)` of each period that ended after `since` and is over now, the oldest first."""
    start = start_of(since, every, zone)
    while (end := next_start(start, every, zone)) + GRACE <= now:
        if end > since:
            yield start, end
        start = end
