"""What the days to come will cost: pure arithmetic over what the days before did.

Each weekday has a part of the week that is its own; the level is what a day comes to without it,
the last weeks counting most. The range is as wide as such forecasts have been wrong in the days
that are known, and wider the further it looks. Amounts are estimates: floats within, cents outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import sqrt
from statistics import median

DAY = timedelta(days=1)
WEEK = 7
LOOKED_BACK_DAYS = 8 * WEEK
LEAST_DAYS = 3
# A day's weight halves in so many days.
HALF_LIFE_DAYS = 6
# Each weekday's part is drawn towards an even week as if so many even weeks had been seen.
EVEN_WEEKS = 0.5
# Of a trend less than half goes on, never more than so much of a day a day.
TREND_GOES_ON = 0.4
GREATEST_TREND = 0.02
TREND_FADES = 0.93
# A day beyond so many times the usual counts for little more than that.
SPIKE_TIMES = 2.5
SPIKE_COMES_AGAIN = 0.2
# Four of five outcomes lie within.
SPREADS = 1.28
LEAST_ERROR, USUAL_ERROR = 0.05, 0.35
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected in all, and between what four of five outcomes will lie."""

    low: Decimal
    expected: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class RunOut:
    """The days on which a limit is reached; null: not in the days that were looked at."""

    earliest: date | None
    expected: date | None
    latest: date | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The days from `today` on: what each brings yet, how wrong a day may be as a part of it, and
    how wrong all of them together."""

    today: date
    days: tuple[float, ...]
    error: float
    level_error: float

    def until(self, end: date, *, spent: Decimal) -> Outlook:
        """The spend of a period at its end, of which that much is spent by now."""
        ahead = self.days[: max((end - self.today).days, 0)]
        more = sum(ahead)
        wide = SPREADS * self.spread(ahead)
        return Outlook(
            low=spent + cents(max(more - wide, 0.0)),
            expected=spent + cents(more),
            high=spent + cents(more + wide),
        )

    def spread(self, ahead: Sequence[float]) -> float:
        """Days err by themselves, and all of them together by the level's error."""
        single = sum((amount * self.error) ** 2 for amount in ahead)
        return sqrt(single + (sum(ahead) * self.level_error) ** 2)

    def run_out(self, *, left: Decimal) -> RunOut:
        """When so much more will be spent: soon, as expected, or late."""
        return RunOut(
            self.reaching(left, SPREADS), self.reaching(left, 0.0), self.reaching(left, -SPREADS)
        )

    def reaching(self, left: Decimal, spreads: float) -> date | None:
        if left <= 0:
            return self.today
        for number in range(1, len(self.days) + 1):
            ahead = self.days[:number]
            if sum(ahead) + spreads * self.spread(ahead) >= float(left):
                return self.today + (number - 1) * DAY
        return None


def forecast(
    daily: Sequence[Decimal],
    *,
    today: date,
    days: int,
    day_left: Decimal = Decimal(1),
) -> Forecast | None:
    """For `today` and the days after it, from whole days oldest first, the last of them yesterday.

    `day_left` is the part of today that is to come. None below three days with spend.
    """
    known = [float(amount) for amount in daily[-LOOKED_BACK_DAYS:]]
    while known and known[0] == 0:
        known.pop(0)
    if len(known) < LEAST_DAYS:
        return None
    weekdays: list[int] = [(today - (len(known) - i) * DAY).weekday() for i in range(len(known))]
    parts = weekday_parts(known, weekdays)
    known = without_spikes(known, weekdays, parts)
    level, trend = level_of(known, weekdays, parts)
    ahead = []
    for number in range(days):
        grown = 1 + trend * sum(TREND_FADES**i for i in range(number + 1))
        ahead.append(max(level * grown * parts[(today + number * DAY).weekday()], 0.0))
    if ahead:
        # What is left of today; a day that brought more than it should brings no less for that.
        ahead[0] *= float(day_left)
    error, level_error = errors(known, weekdays, parts)
    return Forecast(today, tuple(ahead), error, level_error)


def weekday_parts(known: Sequence[float], weekdays: Sequence[int]) -> list[float]:
    """What each weekday brings beside an average day; 1 for all while no whole week is known."""
    if len(known) < WEEK:
        return [1.0] * WEEK
    found: list[list[float]] = [[] for _ in range(WEEK)]
    for index in range(len(known)):
        around = known[max(0, index - 3) : index + 4]
        if len(around) == WEEK and sum(around) > 0:
            found[weekdays[index]].append(known[index] * WEEK / sum(around))
    whole = sum(known[-WEEK:])
    if not all(found):  # a single week: its own days
        last = dict(zip(weekdays[-WEEK:], known[-WEEK:], strict=True))
        found = [[last[day] * WEEK / whole] if whole else [1.0] for day in range(WEEK)]
    parts = [
        (median(values) * len(values) + EVEN_WEEKS) / (len(values) + EVEN_WEEKS) for values in found
    ]
    return [part * WEEK / sum(parts) for part in parts]


def without_spikes(
    known: Sequence[float], weekdays: Sequence[int], parts: Sequence[float]
) -> list[float]:
    """A day that brought several times what was due brings what was due, so often: it happens
    again now and then, but not every day."""
    cut = []
    for index, (amount, weekday) in enumerate(zip(known, weekdays, strict=True)):
        near = range(max(0, index - WEEK), min(len(known), index + WEEK + 1))
        usual = median(known[i] / parts[weekdays[i]] for i in near if parts[weekdays[i]])
        most = usual * parts[weekday] * SPIKE_TIMES
        cut.append(most + (amount - most) * SPIKE_COMES_AGAIN if amount > most > 0 else amount)
    return cut


def level_of(
    known: Sequence[float], weekdays: Sequence[int], parts: Sequence[float]
) -> tuple[float, float]:
    """What an average day brings by now, and by how much of it a day that grows."""
    level = weighted(known, weekdays, parts)
    if len(known) < 4 * WEEK:
        return level, 0.0
    recent, before = sum(known[-2 * WEEK :]), sum(known[-4 * WEEK : -2 * WEEK])
    if not recent or not before:
        return level, 0.0
    a_day = (recent / before - 1) / (2 * WEEK)
    return level, max(-GREATEST_TREND, min(GREATEST_TREND, a_day * TREND_GOES_ON))


def weighted(known: Sequence[float], weekdays: Sequence[int], parts: Sequence[float]) -> float:
    """The average day, recent ones weighing more: what was spent by what was due."""
    spent = due = 0.0
    for age, (amount, weekday) in enumerate(zip(reversed(known), reversed(weekdays), strict=True)):
        weight = 0.5 ** (age / HALF_LIFE_DAYS)
        spent += weight * amount
        due += weight * parts[weekday]
    return spent / due if due else 0.0


def errors(
    known: Sequence[float], weekdays: Sequence[int], parts: Sequence[float]
) -> tuple[float, float]:
    """How wrong a single day usually is, as a part of it, and how wrong the level: by trying."""
    if len(known) < 2 * WEEK:
        return USUAL_ERROR, USUAL_ERROR / 2
    days, levels = [], []
    for end in range(WEEK, len(known)):
        due = weighted(known[:end], weekdays[:end], parts)
        expected = due * parts[weekdays[end]]
        if expected > 0:
            days.append((known[end] - expected) / expected)
        ahead = range(end, min(end + 2 * WEEK, len(known)))
        if len(ahead) >= WEEK and due > 0:
            in_all = sum(due * parts[weekdays[i]] for i in ahead)
            levels.append((sum(known[i] for i in ahead) - in_all) / in_all)
    return max(typical(days), LEAST_ERROR), max(typical(levels), LEAST_ERROR)


def typical(found: Sequence[float]) -> float:
    """The root of the mean square, of errors up to once the amount."""
    if not found:
        return USUAL_ERROR
    return sqrt(sum(min(abs(value), 1.0) ** 2 for value in found) / len(found))


def cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(CENT)
