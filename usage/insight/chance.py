"""How many requests chance may bring where so many are expected: pure arithmetic of counts.

An amount of a few requests says little, because requests differ in size; their number says more. It
finds a burst of a series that makes a few large requests an hour while it is still small.
"""

from collections.abc import Sequence
from math import log, sqrt

DAY, WEEK = 24, 168
# The odds against chance are ten to the power of so many spreads.
ODDS = log(10)
# Of all hours this part is left out: an earlier spike of a few hours leaves no trace.
LEFT_OUT = 0.005
# How far apart like hours lie by themselves, as a part of them: that says nothing of clumps.
UNEVEN = 0.35
CLUMP_UNKNOWN = 3.0
TRIES = 4


def most_by_chance(expected: float, *, clump: float, spreads: float) -> float:
    """The most requests of a window that chance explains, by Chernoff's bound on Poisson's tail.

    `clump` is how many requests come together. Solves n ln(n / expected) - n + expected = odds.
    """
    if expected <= 0:
        return 0.0
    odds = spreads * ODDS * clump
    most = expected + sqrt(2 * expected * odds) + odds / 3  # somewhat beyond
    for _ in range(TRIES):
        slope = log(most / expected)
        most -= (most * slope - most + expected - odds) / slope
    return most


def clump_of(requests: Sequence[int]) -> float:
    """How many requests come together, from how uneven like hours are: 1 where each comes alone.

    Like hours are those of the same place in the week, or in the day while weeks are few.
    """
    if len(requests) < 2 * DAY:
        return CLUMP_UNKNOWN
    cycle = WEEK if len(requests) >= 2 * WEEK else DAY
    number = len(requests) // cycle
    whole = requests[-number * cycle :]
    off: list[float] = []
    usual = 0.0
    for like in zip(*(whole[i * cycle :][:cycle] for i in range(number)), strict=True):
        if any(like):
            middle = sorted(like)[number // 2]
            usual += middle * middle
            off += [(count - middle) ** 2 for count in like]
    if not off:
        return CLUMP_UNKNOWN
    off.sort()
    kept = off[: len(off) - int(len(whole) * LEFT_OUT)]
    free = number / (number - 1)
    return max((sum(kept) * free - UNEVEN**2 * usual * number) / sum(whole), 1.0)
