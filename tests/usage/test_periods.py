from datetime import date

import pytest

from usage import periods
from usage.periods import BadPeriod

TODAY = date(2026, 3, 30)


def chosen(**parameters):
    period = periods.chosen(parameters, today=TODAY)
    return period.start, period.end, period.before_start, period.before_end


def test_without_a_choice_it_is_seven_days_and_the_seven_before_them():
    assert chosen() == chosen(range="7d")


def test_thirty_days_end_with_today_and_follow_thirty_others():
    assert chosen(range="30d") == (
        date(2026, 3, 1),
        date(2026, 3, 31),
        date(2026, 1, 30),
        date(2026, 3, 1),
    )


def test_this_month_is_compared_with_the_same_days_of_the_last():
    """March has 30 days by now and February has 28 in all."""
    assert chosen(range="month") == (
        date(2026, 3, 1),
        date(2026, 3, 31),
        date(2026, 2, 1),
        date(2026, 3, 1),
    )


def test_last_month_is_compared_with_the_one_before_it():
    assert chosen(range="last_month") == (
        date(2026, 2, 1),
        date(2026, 3, 1),
        date(2026, 1, 1),
        date(2026, 2, 1),
    )


def test_own_dates_are_compared_with_as_many_days_before():
    assert chosen(**{"from": "2026-03-10", "to": "2026-03-12"}) == (
        date(2026, 3, 10),
        date(2026, 3, 12),
        date(2026, 3, 8),
        date(2026, 3, 10),
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"range": "ever"},
        {"from": "yesterday"},
        {"from": "2026-03-10", "to": "2026-03-10"},
        {"from": "0001-01-01", "to": "9999-12-31"},
        {"from": "0001-01-01", "to": "0001-01-03"},
    ],
)
def test_what_is_no_period_is_refused(parameters):
    with pytest.raises(BadPeriod):
        periods.chosen(parameters, today=TODAY)


@pytest.mark.parametrize(
    ("days", "granularity"), [(1, "hour"), (2, "day"), (124, "day"), (125, "week"), (741, "month")]
)
def test_longer_periods_are_cut_coarser(days, granularity):
    first = TODAY - days * periods.DAY
    period = periods.chosen({"from": f"{first}", "to": f"{TODAY}"}, today=TODAY)

    assert period.granularity == granularity


@pytest.mark.parametrize(
    ("start", "end", "label"),
    [
        (date(2026, 3, 30), date(2026, 3, 31), "Mar 30, 2026"),
        (date(2026, 3, 1), date(2026, 4, 1), "Mar 1 – 31, 2026"),
        (date(2026, 2, 1), date(2026, 4, 1), "Feb 1 – Mar 31, 2026"),
        (date(2025, 12, 31), date(2026, 1, 2), "Dec 31, 2025 – Jan 1, 2026"),
    ],
)
def test_labels_name_the_last_day_and_not_the_one_after(start, end, label):
    assert periods.days_label(start, end) == label
