"""What a series usually spends, and whether what it spends now is more: pure arithmetic.

A series is somebody's spend or tokens, hour by hour. Its baseline is what the same hour of the week
brought in the weeks before; until there are three weeks, what the days before brought, taken the
cautious way. Medians, so that one odd day neither raises nor lowers it. Watched are windows of 5,
10, 15 and 60 minutes for bursts, by amount and by number of requests, and of 6 and 24 hours for
shifts and slow leaks.

Amounts are floats here: these are estimates; what was spent is added up exactly elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from usage.insight.chance import clump_of, most_by_chance

DAY, WEEK = 24, 168
WEEKS = 4
HISTORY_HOURS = WEEKS * WEEK + 2
KNOWN_AFTER_HOURS = 24
SURE_WEEKS = 3

SHORT_MINUTES = (5, 10, 15, 60)
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
# An hour may bring so many spreads more requests than expected, before chance is asked.
BUSIER_SPREADS = 1.0
# Beyond so many minutes hours differ by more than chance.
COUNTED_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Range:
    """What is expected, and how far off it usually is."""

    expected: float
    spread: float

    def upper(self, spreads: float) -> float:
        return self.expected + spreads * self.spread


@dataclass(frozen=True, slots=True)
class Hours:
    """What is expected of an hour and of the one before; `usual` is an active hour's middle."""

    this: Range
    previous: Range
    usual: float

    def window(self, minutes: int, minute: int) -> Range:
        """Of so many minutes that end so far into the hour: a part of them may lie before."""
        inside = min(minute, minutes) / 60
        before = minutes / 60 - inside
        expected = self.this.expected * inside + self.previous.expected * before
        fits = (minutes / 60) ** FITS_EXPONENT
        spread = max(self.this.spread if inside else 0.0, self.previous.spread if before else 0.0)
        return Range(expected, spread * fits)

    def at_least(self, minutes: int) -> float:
        """What may come of such a window at any time."""
        return self.usual * AWAY_PART * minutes / 60


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How many requests an hour brings, and how many of them come together."""

    hours: Hours
    clump: float

    def most(self, minutes: int, minute: int, *, spreads: float) -> float:
        """The most requests of a window that are nothing unusual."""
        found = self.hours.window(minutes, minute)
        busy = max(found.upper(BUSIER_SPREADS), self.hours.at_least(minutes))
        return most_by_chance(busy, clump=self.clump, spreads=spreads)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Of one series for one hour; `long` is what ended before it, `request` what one costs."""

    hours: Hours
    rhythm: Rhythm
    request: float
    long: Mapping[int, tuple[Range, float]]

    @property
    def clump(self) -> float:
        """What comes together: chance brings all of it or nothing."""
        return self.request * self.rhythm.clump


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


def rhythm_of(requests: Sequence[int]) -> Rhythm | None:
    """For the hour after these, oldest first. None while less than a day is known."""
    hours = hours_of(requests)
    if hours is None:
        return None
    clump = clump_of(requests)
    this, previous = (without_chance(found, clump) for found in (hours.this, hours.previous))
    return Rhythm(Hours(this, previous, hours.usual), clump)


def without_chance(found: Range, clump: float) -> Range:
    """How far hours lie apart beyond what chance does to such numbers."""
    own = sqrt(max(found.spread**2 - clump * found.expected, 0.0))
    return Range(found.expected, max(own, LIKE_HOURS * found.expected))


def baseline(history: Sequence[float], rhythm: Rhythm, *, request: float) -> Baseline | None:
    """The baseline for the hour after `history`, hours oldest first since the series began.

    `request` is what one request usually adds. None while less than a day is known.
    """
    hours = hours_of(history)
    if hours is None:
        return None
    return Baseline(
        hours=hours,
        rhythm=rhythm,
        request=request,
        long={
            span: (long_range(history, span), sum(history[-span:]))
            for span in LONG_HOURS
            if len(history) >= span + WEEK
        },
    )


def hours_of(history: Sequence[float]) -> Hours | None:
    if len(history) < KNOWN_AFTER_HOURS:
        return None
    active = [value for value in history if value > 0]
    if not active:
        return None
    usual = median(active)
    return Hours(hour(history, 0, usual), hour(history, 1, usual), usual)


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


@dataclass(frozen=True, slots=True)
class Spent:
    """What a window brought: dollars or tokens, and in how many requests."""

    amount: float
    requests: int


def excess_now(
    found: Baseline,
    windows: Mapping[int, Spent],
    *,
    minute: int,
    spreads: float,
    least: float,
) -> list[Excess]:
    """Which of the last minutes brought too much, `minute` minutes into the hour.

    None of them where all is as usual, or the excess is less than `least`.
    """
    found_all = []
    for minutes, spent in windows.items():
        if spent.amount < least:
            continue
        limits = short_range(found, minutes, minute)
        upper = limits.upper(spreads)
        if minutes <= COUNTED_MINUTES:
            most = found.rhythm.most(minutes, minute, spreads=spreads)
            if spent.requests > most:  # so much would have been usual of requests of this size
                upper = max(spent.amount * most / spent.requests, limits.expected)
        excess = Excess(minutes, spent.amount, limits.expected, upper)
        if spent.amount > upper and excess.amount >= least:
            found_all.append(excess)
    return found_all


def short_range(found: Baseline, minutes: int, minute: int) -> Range:
    """Of a window's amount: as wide as its hours, and as chance with requests of that size."""
    window = found.hours.window(minutes, minute)
    least = max(window.expected, found.hours.at_least(minutes))
    noise = sqrt(window.spread**2 + UNLIKE_REQUESTS * least * found.clump)
    return Range(window.expected, noise + CHANCE_REQUESTS * found.clump)


def excess_long(found: Baseline, *, spreads: float, least: float) -> list[Excess]:
    """Which of the 6 and 24 hours before this one brought too much."""
    found_all = []
    for hours, (limits, actual) in found.long.items():
        noise = UNLIKE_REQUESTS * max(limits.expected, found.hours.usual) * found.clump
        wide = Range(limits.expected, sqrt(limits.spread**2 + noise))
        excess = Excess(hours * 60, actual, wide.expected, wide.upper(spreads))
        if actual > excess.upper and excess.amount >= least:
            found_all.append(excess)
    return found_all
