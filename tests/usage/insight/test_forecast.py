"""Forecasts: weekdays, levels and ranges, of days whose right answer is known."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from usage.insight.forecast import forecast

MONDAY = date(2026, 11, 2)
WEEK = [10, 10, 10, 10, 10, 1, 1]


def spent(days):
    return [Decimal(amount) for amount in days]


def until(daily, days, *, today=MONDAY, so_far="0"):
    found = forecast(spent(daily), today=today, days=days)
    return found.until(today + timedelta(days), spent=Decimal(so_far))


def test_weekends_are_foretold_as_weekends():
    assert until(WEEK * 4, 7).expected == pytest.approx(Decimal(52), abs=Decimal("1.5"))
    weekend = until(WEEK * 4 + WEEK[:5], 2, today=MONDAY + timedelta(5)).expected
    assert weekend < 4


def test_what_is_spent_already_counts_as_it_is():
    assert until(WEEK * 4, 7, so_far="1000").low > 1000


def test_alike_days_leave_a_narrow_range_and_unlike_ones_a_wide_one():
    even, uneven = until([10] * 42, 10), until([1, 19, 4, 16, 10, 3, 17] * 6, 10)

    assert even.low <= even.expected <= even.high
    assert even.high - even.low < Decimal(15)
    wild = until([2, 30, 5, 1, 25, 8, 40, 3, 9, 33] * 4, 10)
    assert wild.high - wild.low > even.high - even.low
    assert uneven.expected == pytest.approx(Decimal(100), rel=Decimal("0.1"))


def test_one_spike_says_little_of_the_days_to_come():
    calm = until([10] * 42, 10).expected
    spiky = until([10] * 38 + [300] + [10] * 3, 10).expected

    assert spiky < calm * 2  # the average of the last week would say five times


def test_below_three_days_nothing_is_said():
    assert forecast(spent([5, 5]), today=MONDAY, days=5) is None
    assert forecast(spent([0, 0, 0, 5, 5]), today=MONDAY, days=5) is None
    assert forecast(spent([0] * 40), today=MONDAY, days=5) is None
    assert forecast(spent([5, 5, 5]), today=MONDAY, days=5) is not None


def test_of_today_only_the_rest_is_to_come():
    half = forecast(spent([10] * 42), today=MONDAY, days=1, day_left=Decimal("0.5"))

    assert half.until(MONDAY + timedelta(1), spent=Decimal(0)).expected == pytest.approx(
        Decimal(5), abs=Decimal("0.1")
    )


def test_a_limit_runs_out_soon_as_expected_or_late():
    found = forecast(spent([10] * 42), today=MONDAY, days=60).run_out(left=Decimal(95))

    assert found.expected == MONDAY + timedelta(9)
    assert found.earliest <= found.expected <= found.latest


def test_what_is_used_up_ran_out_and_what_is_far_does_not():
    found = forecast(spent([10] * 42), today=MONDAY, days=5)

    assert found.run_out(left=Decimal(0)).expected == MONDAY
    assert found.run_out(left=Decimal(1000)).expected is None
