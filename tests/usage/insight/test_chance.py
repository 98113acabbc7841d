"""How many requests chance brings: arithmetic, without a database."""

from math import exp, factorial

import pytest

from usage.insight.chance import CLUMP_UNKNOWN, clump_of, most_by_chance


@pytest.mark.parametrize("expected", [0.05, 0.4, 3, 20])
def test_more_than_the_most_is_as_unlikely_as_said(expected):
    most = int(most_by_chance(expected, clump=1, spreads=5.5))
    likely = sum(exp(-expected) * expected**n / factorial(n) for n in range(most + 1))

    assert 0 <= 1 - likely < 10**-5.5


def test_more_may_come_where_they_come_together_or_somebody_minds_less():
    usual = most_by_chance(1, clump=1, spreads=5.5)

    assert most_by_chance(1, clump=5, spreads=5.5) > usual > most_by_chance(1, clump=1, spreads=3.5)
    assert most_by_chance(0, clump=1, spreads=5.5) == 0


def test_clumps_are_seen_in_how_uneven_like_hours_are():
    assert clump_of([4] * 168 * 4) == 1
    assert clump_of([40 if hour % 10 == 0 else 0 for hour in range(168 * 4)]) > 10
    assert clump_of([4] * 30) == CLUMP_UNKNOWN


def test_an_earlier_spike_of_some_hours_is_no_clump():
    quiet = [4] * 168 * 4
    quiet[100:103] = [400] * 3

    assert clump_of(quiet) == 1
