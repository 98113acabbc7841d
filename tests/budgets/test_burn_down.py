"""The straight line of a budget: how much a day, where it ends, when it runs out."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from budgets.burn_down import Projection, daily_rate, project

TODAY = date(2026, 11, 18)
END = date(2026, 12, 1)


def days(*amounts: int) -> dict[date, Decimal]:
    """Of the days before today, the last one last."""
    first = TODAY - timedelta(len(amounts))
    return {first + timedelta(n): Decimal(amount) for n, amount in enumerate(amounts)}


def test_the_rate_is_the_average_of_the_last_fourteen_whole_days():
    assert daily_rate(days(900, *[1] * 7, *[3] * 7), today=TODAY) == (2, 14)


def test_days_before_the_first_spend_do_not_thin_it_out():
    assert daily_rate(days(0, 0, 4, 0, 2), today=TODAY) == (2, 3)


def test_without_a_whole_day_it_is_too_early_to_say():
    projection = project(
        {TODAY: Decimal(50)}, consumed=Decimal(50), limit=Decimal(60), today=TODAY, end_on=END
    )
    assert projection == Projection(None, 0, None, None)


@pytest.mark.parametrize(
    ("limit", "runs_out_on"),
    [(22, date(2026, 11, 18)), (24, date(2026, 11, 19)), (46, date(2026, 11, 30)), (47, None)],
)
def test_it_runs_out_on_the_day_whose_spend_reaches_the_limit(limit, runs_out_on):
    spent = days(*[2] * 10) | {TODAY: Decimal(1)}
    found = project(spent, consumed=Decimal(21), limit=Decimal(limit), today=TODAY, end_on=END)
    assert (found.at_the_end, found.runs_out_on) == (46, runs_out_on)


def test_today_brings_no_less_than_it_has_brought_already():
    spent = days(*[2] * 10) | {TODAY: Decimal(30)}
    found = project(spent, consumed=Decimal(50), limit=None, today=TODAY, end_on=END)
    assert found.at_the_end == 50 + 12 * 2


def test_what_never_ends_is_looked_at_three_years_ahead():
    near = project(days(1), consumed=Decimal(1), limit=Decimal(101), today=TODAY, end_on=None)
    far = project(days(1), consumed=Decimal(1), limit=Decimal(10**6), today=TODAY, end_on=None)
    assert (near.runs_out_on, near.at_the_end) == (TODAY + timedelta(99), None)
    assert far.runs_out_on is None
