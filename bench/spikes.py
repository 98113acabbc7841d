"""How well spikes are found: labelled synthetic series, minute by minute, and how long it takes.

Each series is four weeks of history and four days that are watched. Half of them have something
wrong: a burst, a level shift or a slow leak. The others have what looks like it and is not:
weekends, holidays, new keys, silence and coming back from it, requests that come in fits.
"""

import argparse
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from bench import _harness as harness
from bench._watched import seconds_of_looks
from usage.insight.seasons import (
    HISTORY_HOURS,
    SENSITIVITY,
    SHORT_MINUTES,
    Baseline,
    Spent,
    baseline,
    excess_long,
    excess_now,
    rhythm_of,
)

HISTORY_DAYS, WATCHED_DAYS = 28, 4
LEAST = 1.0  # dollars
SPREADS = SENSITIVITY["normal"]
CALM_MINUTES = 60
MIDDLE_RUN, LONGEST_RUN_MINUTES = 10, 8
ENDED_AFTER_HOURS = 30  # a long window still sees what ended within it

OFFICE = (0, 0, 0, 0, 0, 0, 0.03, 0.1, 0.35, 0.8, 1, 1, 0.7, 0.8, 1, 1, 0.9, 0.7, 0.3, 0.2, 0.15,
          0.1, 0.05, 0.02)  # fmt: skip
ROUND = tuple(0.6 + 0.4 * math.sin((h - 8) / 24 * 2 * math.pi) for h in range(24))
NIGHT = (0.5, 1, 1, 0.8, 0.3) + (0.0,) * 19
SHAPES = {
    "office": (OFFICE, (1, 1, 1, 1, 0.9, 0.05, 0.04)),
    "round the clock": (ROUND, (1, 1, 1, 1, 1, 0.7, 0.65)),
    "nightly": (NIGHT, (1,) * 7),
    "every day": (OFFICE, (1,) * 7),
}
WRONG = ("burst", "shift", "leak")
RIGHT = ("plain", "holiday", "new key", "silence", "in fits")


@dataclass
class Series:
    """Hourly history, then minutes; `wrong` is [from, to) in minutes of what must be found."""

    kind: str
    history: list[Spent]
    minutes: list[Spent]
    wrong: tuple[int, int] | None = None


@dataclass
class Maker:
    """One series' habits: how much in which hour, and how uneven."""

    rng: random.Random
    first_weekday: int
    shape: str = field(init=False)
    rate: float = field(init=False)
    request: float = field(init=False)

    def __post_init__(self) -> None:
        self.shape = self.rng.choice(list(SHAPES))
        self.rate = self.rng.choice([4, 12, 40, 120])  # requests in a busy hour
        self.request = self.rng.choice([0.005, 0.02, 0.1, 0.4])

    def weight(self, hour: int) -> float:
        by_hour, by_weekday = SHAPES[self.shape]
        return by_hour[hour % 24] * by_weekday[(self.first_weekday + hour // 24) % 7]

    def level(self, hour: int, unevenness: Sequence[float]) -> float:
        fits = self.rng.gammavariate(12, 1 / 12)
        return self.weight(hour) * self.rate * unevenness[hour // 24] * fits

    def spend(self, requests: float) -> Spent:
        """About so many requests, each of another amount."""
        return self.paid(poisson(self.rng, requests))

    def paid(self, count: int) -> Spent:
        costs = (self.request * self.rng.lognormvariate(-0.32, 0.8) for _ in range(count))
        return Spent(sum(costs), count)

    def in_fits(self, rates: Sequence[float], *, minutes: int) -> list[Spent]:
        """As many requests, but a run of them at a time, within some minutes."""
        counts = [0] * len(rates)
        for at, rate in enumerate(rates):
            for _ in range(poisson(self.rng, rate / MIDDLE_RUN)):
                within = self.rng.randint(1, LONGEST_RUN_MINUTES)
                for _ in range(self.rng.randint(1, 2 * MIDDLE_RUN - 1)):
                    then = at + self.rng.randrange(within) // minutes
                    counts[min(then, len(rates) - 1)] += 1
        return [self.paid(count) for count in counts]


def poisson(rng: random.Random, mean: float) -> int:
    if mean <= 0:
        return 0
    if mean > 60:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def maker_for(kind: str, rng: random.Random) -> Maker:
    """What creeps must be worth finding: a day of it costs several times the least amount."""
    while True:
        maker = Maker(rng, rng.randrange(7))
        day = sum(SHAPES[maker.shape][0]) * maker.rate * maker.request
        if kind not in ("shift", "leak") or day >= 5 * LEAST:
            return maker


def make(kind: str, rng: random.Random) -> Series:
    maker = maker_for(kind, rng)
    days = HISTORY_DAYS + WATCHED_DAYS
    uneven = [rng.lognormvariate(0, 0.15) for _ in range(days)]
    if kind == "holiday":
        uneven[rng.randrange(HISTORY_DAYS - 8, days)] = 0.03
    if kind == "silence":
        first = rng.randrange(HISTORY_DAYS - 6, HISTORY_DAYS + 1)
        for day in range(first, first + 3):
            uneven[day] = 0.0
    before = [maker.level(hour, uneven) for hour in range(HISTORY_DAYS * 24)]
    if kind == "in fits":
        history = maker.in_fits(before, minutes=60)
    else:
        history = [maker.spend(rate) for rate in before]
    watched = [
        [maker.level(hour, uneven) / 60] * 60 for hour in range(HISTORY_DAYS * 24, days * 24)
    ]
    rates = [rate for hour in watched for rate in hour]
    if kind == "new key":
        known = rng.randrange(0, 6 * 24)
        history = history[len(history) - known :]
    wrong = spoil(kind, rates, maker)
    if kind == "in fits":
        return Series(kind, history, maker.in_fits(rates, minutes=1), wrong)
    return Series(kind, history, [maker.spend(rate) for rate in rates], wrong)


def spoil(kind: str, rates: list[float], maker: Maker) -> tuple[int, int] | None:
    """Put something wrong into the minutes' rates; where, or None."""
    rng, busy = maker.rng, maker.rate / 60
    if kind == "burst":
        start = rng.randrange(60, len(rates) - 180)
        length = rng.randrange(15, 120)
        # As somebody would mind: at least twice the least amount within five minutes.
        times = max(rng.uniform(6, 20), 2 * LEAST / (5 * busy * maker.request))
        for minute in range(start, start + length):
            rates[minute] += busy * times
        return start, start + length
    if kind == "shift":
        start = rng.randrange(0, len(rates) - 48 * 60)
        times = rng.uniform(2.5, 4)
        for minute in range(start, len(rates)):
            rates[minute] *= times
        return start, len(rates)
    if kind == "leak":
        most = rng.uniform(1.0, 2.0)
        for minute in range(len(rates)):
            rates[minute] *= 1 + most * minute / len(rates)
        return 0, len(rates)
    return None


class Sums:
    """What any run of minutes brought."""

    def __init__(self, minutes: Sequence[Spent]) -> None:
        self.amounts = [0.0, *accumulate(one.amount for one in minutes)]
        self.requests = [0, *accumulate(one.requests for one in minutes)]

    def between(self, start: int, end: int) -> Spent:
        start = max(start, 0)
        return Spent(
            self.amounts[end] - self.amounts[start], self.requests[end] - self.requests[start]
        )


def baseline_of(history: Sequence[Spent]) -> Baseline | None:
    amounts = [hour.amount for hour in history]
    requests = [hour.requests for hour in history]
    rhythm = rhythm_of(requests)
    return baseline(amounts, rhythm, request=sum(amounts) / sum(requests)) if rhythm else None


def watch(series: Series) -> Iterator[int]:
    """The minutes at which something is wrong, by the detector."""
    history, sums = list(series.history), Sums(series.minutes)
    for start in range(0, len(series.minutes), 60):
        found = baseline_of(history[-HISTORY_HOURS:])
        if found is not None:
            if excess_long(found, spreads=SPREADS, least=LEAST):
                yield start
            for minute in range(1, 61):
                now = start + minute
                windows = {w: sums.between(now - w, now) for w in SHORT_MINUTES}
                if excess_now(found, windows, minute=minute, spreads=SPREADS, least=LEAST):
                    yield now
        history.append(sums.between(start, start + 60))


def episodes(minutes: Iterator[int]) -> list[tuple[int, int]]:
    """Runs of alarms, calm for less than an hour between."""
    found: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if found and minute - found[-1][1] <= CALM_MINUTES:
            found[-1] = (found[-1][0], minute)
        else:
            found.append((minute, minute))
    return found


@dataclass
class Score:
    series: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    true: Counter[str] = field(default_factory=Counter)
    delays: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def count(self, series: Series, alarms: list[tuple[int, int]]) -> None:
        self.series[series.kind] += 1
        first, last = series.wrong or (0, 0)
        right = [
            alarm
            for alarm in alarms
            if series.wrong and alarm[1] >= first and alarm[0] <= last + ENDED_AFTER_HOURS * 60
        ]
        self.true[series.kind] += len(right)
        self.false[series.kind] += len(alarms) - len(right)
        if right:
            self.found[series.kind] += 1
            self.delays[series.kind].append(max(right[0][0] - first, 0))

    @property
    def precision(self) -> float:
        return self.true.total() / max(self.true.total() + self.false.total(), 1)

    @property
    def false_a_thousand_days(self) -> float:
        return self.false.total() * 1000 / (self.series.total() * WATCHED_DAYS)

    @property
    def recall(self) -> float:
        return sum(self.found[kind] for kind in WRONG) / max(
            sum(self.series[kind] for kind in WRONG), 1
        )

    def rows(self) -> Iterator[str]:
        for kind in (*WRONG, *RIGHT):
            found = f"{self.found[kind]}" if kind in WRONG else ""
            yield (
                f"| {kind} | {self.series[kind]} | {found} | {self.false[kind]} "
                f"| {self.delay(kind, 0.5)} | {self.delay(kind, 0.95)} |"
            )

    def delay(self, kind: str, part: float) -> str:
        delays = sorted(self.delays[kind])
        return f"{delays[int(len(delays) * part)]:,}" if delays else ""


def added_up(scores: Iterable[Score]) -> Score:
    every = Score()
    for one in scores:
        for name in ("series", "found", "false", "true"):
            getattr(every, name).update(getattr(one, name))
        for kind, delays in one.delays.items():
            every.delays[kind] += delays
    return every


def score(each: int, seed: int) -> Score:
    rng, found = random.Random(seed), Score()
    for kind in (*WRONG, *RIGHT):
        for _ in range(each):
            series = make(kind, rng)
            found.count(series, episodes(watch(series)))
    return found


def found_in(each: int, seeds: Sequence[int]) -> None:
    """Print what is found of all seeds together, and how much each of them differs."""
    scores = {seed: score(each, seed) for seed in seeds}
    every = added_up(scores.values())
    print("| kind | series | found | false alarms | delay, min, median | 95 % |")
    print("|---|---|---|---|---|---|")
    print("\n".join(every.rows()), end="\n\n")
    for name, found in (("all", every), *scores.items()):
        print(
            f"seed {name}: precision {found.precision:.3f}, recall {found.recall:.3f}, "
            f"95 % of bursts in {found.delay('burst', 0.95)} min, "
            f"{found.false_a_thousand_days:.1f} false alarms in 1,000 days of a series"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=50, help="Series of each kind and seed.")
    parser.add_argument("--series", type=int, default=5000, help="In the database, to look at.")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    given = parser.parse_args()
    if given.seeds:
        found_in(given.each, given.seeds)
    if given.series:
        with harness.database():
            looks = seconds_of_looks(given.series)
        print()
        harness.table(
            (f"{given.series:,} series in the database", "seconds", "of processors"),
            [(what, *(f"{one:.2f}" for one in seconds)) for what, seconds in looks.items()],
        )


if __name__ == "__main__":
    main()
