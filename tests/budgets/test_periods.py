"""Periods are whole local days of the account's calendar, cut by PostgreSQL alone."""

from datetime import UTC, date, datetime, timedelta

import pytest

from accounts.access import Reach
from accounts.models import Account
from budgets.ledger import period_of
from budgets.standing import standings

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


# Clocks change at midnight, before it, or by half an hour; months end; a day is left out.
EDGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 7, 20, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 12, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 12, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 12, 31, 12, tzinfo=UTC)),
    ("Pacific/Kiritimati", datetime(2026, 2, 28, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 9, 30, tzinfo=UTC)),
]


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter"])
@pytest.mark.parametrize(("zone", "moment"), EDGES)
def test_a_period_ends_at_the_moment_at_which_the_next_begins(
    account, make_budget, zone, moment, period
):
    Account.objects.filter(pk=account.pk).update(time_zone=zone)
    account.refresh_from_db()
    make_budget(period=period, now=moment)
    reach = Reach((account,), ())

    def at(now):
        (found,) = standings(reach, now=now)
        return found

    here = at(moment)
    assert here.start_on <= moment.astimezone(account.zone).date() < here.end_on
    assert at(here.resets_at - timedelta(microseconds=1)).start_on == here.start_on
    following = at(here.resets_at)
    local = here.resets_at.astimezone(account.zone)
    assert following.start_on == period_of(period, local.date())[0] >= here.end_on
