"""Periods are whole local days of the account's calendar, cut by PostgreSQL alone."""

from datetime import date

import pytest

from budgets.ledger import period_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("period", "day", "start_on", "end_on"),
    [
        ("day", date(2026, 2, 28), date(2026, 2, 28), date(2026, 3, 1)),
        ("week", date(2026, 11, 22), date(2026, 11, 16), date(2026, 11, 23)),
        ("week", date(2026, 11, 23), date(2026, 11, 23), date(2026, 11, 30)),
        ("month", date(2024, 2, 29), date(2024, 2, 1), date(2024, 3, 1)),
        ("month", date(2026, 12, 31), date(2026, 12, 1), date(2027, 1, 1)),
        ("quarter", date(2026, 11, 22), date(2026, 10, 1), date(2027, 1, 1)),
        ("quarter", date(2026, 3, 31), date(2026, 1, 1), date(2026, 4, 1)),
        ("total", date(2026, 11, 22), date(2000, 1, 1), None),
    ],
)
def test_a_period_is_start_up_to_but_not_including_end(period, day, start_on, end_on):
    assert period_of(period, day) == (start_on, end_on)
