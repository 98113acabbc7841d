"""How far off month ends are foretold: on synthetic companies, beside a straight line.

The straight line is what was spent so far, by the day. Each company is half a year of days with
habits of its own; each day of its last month is asked what the month will come to.
"""

import argparse
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from statistics import mean, median

from usage.insight.forecast import forecast

FIRST = date(2026, 3, 2)
DAYS = 150
MONTH = date(2026, 7, 1)
NEXT = date(2026, 8, 1)
WEEKS = {
    "office": (1, 1.05, 1.1, 1.05, 0.85, 0.1, 0.08),
    "every day": (1, 1, 1, 1, 1, 0.9, 0.9),
    "batches": (0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 4),
}
CHANGES = ("steady", "growing", "shrinking", "step", "holiday", "young", "spiky")


@dataclass
class Errors:
    ours: list[float] = field(default_factory=list)
    line: list[float] = field(default_factory=list)
    within: int = 0


def company(rng: random.Random, change: str) -> list[float]:
    """Each day's spend, from FIRST to the end of the month."""
    week = WEEKS[rng.choice(list(WEEKS))]
    size, noise = 10 ** rng.uniform(0, 3), rng.uniform(0.1, 0.35)
    growth = {"growing": rng.uniform(0.003, 0.012), "shrinking": -rng.uniform(0.003, 0.01)}
    start = rng.randrange(95, 115) if change == "young" else 0
    step = rng.randrange(100, 140)
    times = rng.choice([0.5, 0.7, 1.5, 2.0])
    days = []
    for number in range((NEXT - FIRST).days):
        day = FIRST + timedelta(number)
        level = size * (1 + growth.get(change, 0)) ** number
        if change == "step" and number >= step:
            level *= times
        if change == "holiday" and day.month == 7 and 10 <= day.day < 14:
            level *= 0.05
        if change == "spiky" and rng.random() < 0.04:
            level *= rng.uniform(3, 8)
        spent = level * week[day.weekday()] * rng.lognormvariate(-(noise**2) / 2, noise)
        days.append(spent if number >= start else 0.0)
    return days


def months(days: list[float]) -> Iterator[tuple[int, float, float, bool]]:
    """(day of the month, our error, the line's, whether our range held), as parts of the truth."""
    first = (MONTH - FIRST).days
    truth = sum(days[first:])
    for day in range(3, 29):
        known = days[: first + day - 1]  # what is before this day
        today = MONTH + timedelta(day - 1)
        so_far = sum(known[first:])
        found = forecast(
            [Decimal(amount) for amount in known], today=today, days=(NEXT - today).days
        )
        if found is None or not truth:
            continue
        outlook = found.until(NEXT, spent=Decimal(so_far))
        line = so_far / (day - 1) * (NEXT - MONTH).days
        held = float(outlook.low) <= truth <= float(outlook.high)
        yield day, abs(float(outlook.expected) - truth) / truth, abs(line - truth) / truth, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=40, help="Companies of each kind.")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    by_change = {change: Errors() for change in CHANGES}
    by_day: dict[int, Errors] = {}
    for change in CHANGES:
        for _ in range(given.each):
            for day, ours, line, held in months(company(rng, change)):
                for errors in (by_change[change], by_day.setdefault(day, Errors())):
                    errors.ours.append(ours)
                    errors.line.append(line)
                    errors.within += held
    print(
        "| companies | off by, mean | straight line | off by, median | straight line | in range |"
    )
    print("|---|---|---|---|---|---|")
    every = Errors()
    for change, errors in by_change.items():
        print(row(change, errors))
        every.ours += errors.ours
        every.line += errors.line
        every.within += errors.within
    print(row("all", every))
    for day in (5, 10, 15, 20, 25):
        print(row(f"all, on day {day}", by_day[day]))
    ratio = mean(every.ours) / mean(every.line)
    print(
        f"\nThe straight line is {1 / ratio:.1f} times as far off." if math.isfinite(ratio) else ""
    )


def row(name: str, errors: Errors) -> str:
    figures = [mean(errors.ours), mean(errors.line), median(errors.ours), median(errors.line)]
    figures.append(errors.within / len(errors.ours))
    return f"| {name} | " + " | ".join(f"{figure:.1%}" for figure in figures) + " |"


if __name__ == "__main__":
    main()
