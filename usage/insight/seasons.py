"""What a series usually spends, and whether what it spends now is more: pure arithmetic.

A series is somebody's spend or tokens, hour by hour. Its baseline is what the same hour of the week
brought in the weeks before; until there are three weeks, what the days before brought, taken the
cautious way. Medians, so that one odd day neither raises nor lowers it. Watched are windows of 5,
15 and 60 minutes for bursts, and of 6 and 24 hours for shifts and slow leaks.

Amounts are floats here: these are estimates; what was spent is added up exactly elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

DAY, WEEK = 24, 168
WEEKS = 4
HISTORY_HOURS = WEEKS * WEEK + 2
KNOWN_AFTER_HOURS = 24
SURE_WEEKS = 3

SHORT_MINUTES = (5, 15, 60)
LONG_HOURS = (6, 24)

# How many spreads above the expected are too much.
SENSITIVITY = {"low": 7.0, "normal": 5.5, "high": 3.5}

# A day is like another but for so much, whatever its samples say; more while there are few.
LIKE_HOURS = 0.25
LIKE_LONG = {6: 0.22, 24: 0.15}
FEW_DAYS_WIDER = 1.6
# Requests are not alike: the variance of a sum of n is about this many times n squares of one.
UNLIKE_REQUESTS = 3.0
# So many requests more are chance wherever hardly any are expected: no bell curve holds there.
CHANCE_REQUESTS = 1.2
# Within an hour work comes in fits: the shorter the window, the wider for its length.
FITS_EXPONENT = 0.6
# An hour in which somebody is usually away may bring as much of a usual hour.
AWAY_PART = 0.35


@dataclass(frozen=True, slots=True)
class Range:
    """What is expected, and how far off it usually is."""

    expected: float
    spread: float

    def upper(self, spreads: float) -> float:
        return self.expected + spreads * self.spread


@dataclass(frozen=True, slots=True)
class Baseline:
    """Of one series for one hour; `previous` is the hour before, `long` what ended before it."""

    this: Range
    previous: Range
    usual: float
    request: float
    long: Mapping[int, tuple[Range, float]]


@dataclass(frozen=True, slots=True)
class Excess:
    """More than expected: over how many minutes, how much, and how much would have been normal."""

    minutes: int
    actual: float
    expected: float
    upper: float

    @property
    def amount(self) -> float:
        return self.actual - self.expected

    @property
    def times(self) -> float:
        """How far beyond its limit, to tell which window says the most."""
        return self.actual / self.upper if self.upper else self.actual


def baseline(history: Sequence[float], *, request: float) -> Baseline | None:
    """The baseline for the hour after `history`, hours oldest first since the series began.

    `request` is what one request usually adds. None while less than a day is known.
    """
    if len(history) < KNOWN_AFTER_HOURS:
        return None
    active = [value for value in history if value > 0]
    if not active:
        return None
    usual = median(active)
    return Baseline(
        this=hour(history, 0, usual),
        previous=hour(history, 1, usual),
        usual=usual,
        request=request,
        long={
            hours: (long_range(history, hours), sum(history[-hours:]))
            for hours in LONG_HOURS
            if len(history) >= hours + WEEK
        },
    )


def hour(history: Sequence[float], back: int, usual: float) -> Range:
    """Of the hour so many before the coming one, from the same hour and those beside it."""
    found = samples(history, lambda at: beside(history, at + back))
    few = 1.0 if found.is_sure else FEW_DAYS_WIDER
    spread = max(found.deviation, LIKE_HOURS * found.level, AWAY_PART * LIKE_HOURS * usual)
    return Range(found.level, spread * few)


def long_range(history: Sequence[float], hours: int) -> Range:
    found = samples(
        history, lambda at: [sum(history[-at - hours : -at])] if len(history) >= at + hours else []
    )
    few = 1.0 if found.is_sure else FEW_DAYS_WIDER
    return Range(found.level, max(found.deviation, LIKE_LONG[hours] * found.level) * few)


def beside(history: Sequence[float], at: int) -> list[float]:
    """The values of an hour and those before and after it; only what is known."""
    length = len(history)
    return [history[-i] for i in (at + 1, at, at - 1) if 0 < i <= length]


@dataclass(frozen=True, slots=True)
class Samples:
    level: float
    deviation: float
    is_sure: bool


def samples(history: Sequence[float], at: Callable[[int], list[float]]) -> Samples:
    """The level and its deviation: of the same hour of the week, or of the day while it is young.

    Until three weeks are known, the highest of what the days before and the week before say.
    """
    weekly = [value for week in range(1, WEEKS + 1) for value in at(week * WEEK)]
    if len(history) >= SURE_WEEKS * WEEK:
        level = median(weekly)
        return Samples(level, deviation(weekly, level), True)
    days = min(len(history) // DAY, 2 * 7)
    daily = [max(found) for day in range(1, days + 1) if (found := at(day * DAY))]
    level = max(daily[:6] + weekly, default=0.0)
    return Samples(level, deviation(daily, median(daily)) if daily else 0.0, False)


def deviation(values: Sequence[float], middle: float) -> float:
    """The median distance from the middle, as a standard deviation."""
    return 1.4826 * median(abs(value - middle) for value in values) if values else 0.0


def excess_now(
    found: Baseline,
    actual: Mapping[int, float],
    *,
    minute: int,
    spreads: float,
    least: float,
) -> list[Excess]:
    """Which of the last 5, 15 and 60 minutes brought too much, `minute` minutes into the hour.

    None of them where all is as usual, or the excess is less than `least`.
    """
    found_all = []
    for minutes in SHORT_MINUTES:
        amount = actual.get(minutes, 0.0)
        if amount < least:
            continue
        limits = short_range(found, minutes, minute)
        excess = Excess(minutes, amount, limits.expected, limits.upper(spreads))
        if amount > excess.upper and excess.amount >= least:
            found_all.append(excess)
    return found_all


def short_range(found: Baseline, minutes: int, minute: int) -> Range:
    """Of a window that ends so many minutes into the hour: a part of it may lie before."""
    inside = min(minute, minutes) / 60
    before = minutes / 60 - inside
    expected = found.this.expected * inside + found.previous.expected * before
    fits = (minutes / 60) ** FITS_EXPONENT
    spread = max(found.this.spread if inside else 0.0, found.previous.spread if before else 0.0)
    least = max(expected, found.usual * AWAY_PART * minutes / 60)
    noise = sqrt((spread * fits) ** 2 + UNLIKE_REQUESTS * least * found.request)
    return Range(expected, noise + CHANCE_REQUESTS * found.request)


def excess_long(found: Baseline, *, spreads: float, least: float) -> list[Excess]:
    """Which of the 6 and 24 hours before this one brought too much."""
    found_all = []
    for hours, (limits, actual) in found.long.items():
        noise = UNLIKE_REQUESTS * max(limits.expected, found.usual) * found.request
        wide = Range(limits.expected, sqrt(limits.spread**2 + noise))
        excess = Excess(hours * 60, actual, wide.expected, wide.upper(spreads))
        if actual > excess.upper and excess.amount >= least:
            found_all.append(excess)
    return found_all
