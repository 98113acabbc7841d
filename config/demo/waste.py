"""What the demo's company pays for without need, so that every kind of saving has one to show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from usage.ingest.schema import NativeRequest

if TYPE_CHECKING:
    from config.demo.traffic import Habit, Traffic

# Of all requests. A key is idle after 30 days: fewer days than these show none of it.
SUMMARIES_PART, FORGOTTEN_PART, TIMEOUTS_PART = 0.012, 0.004, 0.0015
PART = SUMMARIES_PART + FORGOTTEN_PART + 2 * TIMEOUTS_PART
LEAST_DAYS = 44
NIGHTS = 28
FORGOTTEN_SINCE_DAYS = 34
TIMED_OUT_MS = 60_000


def part_of(days: int) -> float:
    return PART if days >= LEAST_DAYS else 0.0


def summaries(maker: Traffic, habit: Habit) -> Iterator[NativeRequest]:
    """Each night documents are sent whole again for every question about them, never cached."""
    for night in range(NIGHTS):
        moment = maker.day_at(night, hour=2)
        for _ in range(round(maker.count * SUMMARIES_PART / NIGHTS)):
            moment += timedelta(seconds=maker.rng.uniform(20, 90))
            if moment < maker.now:
                yield maker.request(moment, habit)


def forgotten(maker: Traffic, habit: Habit) -> Iterator[NativeRequest]:
    """A bot of a past week whose key still works."""
    for _ in range(round(maker.count * FORGOTTEN_PART)):
        days_ago = maker.rng.randrange(FORGOTTEN_SINCE_DAYS, LEAST_DAYS - 3)
        start = maker.weekday_at(days_ago, hour=maker.rng.randrange(9, 17))
        yield maker.request(start + timedelta(hours=maker.rng.random()), habit)


def timeouts(maker: Traffic, habit: Habit) -> Iterator[NativeRequest]:
    """The provider charges for answers that came too late, and the job asks the same again."""
    for _ in range(round(maker.count * TIMEOUTS_PART)):
        start = maker.weekday_at(maker.rng.randrange(1, NIGHTS), hour=maker.rng.randrange(9, 18))
        moment = start + timedelta(hours=maker.rng.random())
        answered = answer(maker, moment, habit)
        yield msgspec.structs.replace(
            answered,
            request_id=f"{answered.request_id}_late",
            status=504,
            error_type="timeout",
            latency_ms=TIMED_OUT_MS,
        )
        again = timedelta(milliseconds=TIMED_OUT_MS + maker.rng.uniform(1_000, 9_000))
        yield msgspec.structs.replace(answered, occurred_at=moment + again)


def answer(maker: Traffic, moment: datetime, habit: Habit) -> NativeRequest:
    while (found := maker.request(moment, habit)).status >= 400:
        pass
    return found
