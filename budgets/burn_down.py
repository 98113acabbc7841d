"""How fast a budget burns down: what is left day by day, and when it runs out at this rate.

A straight line, and said to be one: the average of the last whole days. Pure; whoever has a better
forecast replaces `daily_rate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

DAY = timedelta(1)
LOOKED_AT_DAYS = 14
FARTHEST_DAYS = 3 * 366
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Projection:
    """`per_day` US dollars, the average of `days_seen` whole days. None: too early to say.

    `runs_out_on` is the local day on which the limit is reached: None where it is not, before the
    period ends or within three years.
    """

    per_day: Decimal | None
    days_seen: int
    at_the_end: Decimal | None
    runs_out_on: date | None


def daily_rate(by_day: Mapping[date, Decimal], *, today: date) -> tuple[Decimal | None, int]:
    """The average of the last 14 whole days, or of those since the first that spent anything."""
    days = [today - number * DAY for number in range(LOOKED_AT_DAYS, 0, -1)]
    first = next((place for place, day in enumerate(days) if by_day.get(day)), None)
    if first is None:
        return None, 0
    seen = days[first:]
    return sum((by_day.get(day, NOTHING) for day in seen), NOTHING) / len(seen), len(seen)


def project(
    by_day: Mapping[date, Decimal],
    *,
    consumed: Decimal,
    limit: Decimal | None,
    today: date,
    end_on: date | None,
) -> Projection:
    """Where a period that has consumed so much by now is going, until before `end_on`."""
    per_day, days_seen = daily_rate(by_day, today=today)
    if per_day is None:
        return Projection(None, 0, None, None)
    last = end_on or today + FARTHEST_DAYS * DAY
    course = expected(by_day, consumed=consumed, per_day=per_day, today=today, end_on=last)
    at_the_end = course[max(course)] if end_on and course else None
    runs_out_on = None
    if limit is not None:
        runs_out_on = next((day for day, sum_ in course.items() if sum_ >= limit), None)
    return Projection(per_day, days_seen, at_the_end, runs_out_on)


def expected(
    by_day: Mapping[date, Decimal],
    *,
    consumed: Decimal,
    per_day: Decimal,
    today: date,
    end_on: date,
) -> dict[date, Decimal]:
    """What will be consumed by the end of each day: of today what an average day still brings."""
    sum_, course = consumed, {}
    rest_of_today = max(per_day - by_day.get(today, NOTHING), NOTHING)
    for number in range((end_on - today).days):
        sum_ += per_day if number else rest_of_today
        course[today + number * DAY] = sum_
    return course
