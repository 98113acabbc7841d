"""Counters move with every recording and always equal the report."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account, Project, Workspace
from budgets import ledger
from budgets.models import Alert, BudgetPeriod
from tests.budgets.conftest import NOON

pytestmark = pytest.mark.django_db


def counters():
    return list(
        BudgetPeriod.objects.order_by("budget__name", "start_on").values_list(
            "budget__name", "start_on", "spent", "estimated", "held"
        )
    )


def test_a_request_counts_in_every_budget_above_it(
    make_budget, spend, workspace: Workspace, project: Project
):
    make_budget(name="a account")
    make_budget(name="b workspace", scope="workspace", workspace=workspace)
    make_budget(name="c project", scope="project", project=project)
    spend(2, request_id="in the project", project="ledger")
    spend(1, request_id="beside it")
    month = date(2026, 11, 1)
    assert counters() == [
        ("a account", month, 0, 3, 0),
        ("b workspace", month, 0, 3, 0),
        ("c project", month, 0, 2, 0),
    ]


def test_a_request_sent_twice_counts_once(make_budget, spend, workspace: Workspace):
    make_budget()
    spend(2, request_id="one")
    spend(2, request_id="one", at=NOON + timedelta(hours=1))
    assert [row[3] for row in counters()] == [2]


def test_a_budget_made_in_mid_month_counts_what_was_spent_before(
    make_budget, spend, workspace: Workspace
):
    spend(2, request_id="before", at=NOON - timedelta(days=3))
    spend(7, request_id="last month", at=NOON - timedelta(days=30))
    make_budget()
    spend(1, request_id="after")
    assert [row[3] for row in counters()] == [3]


def test_a_new_budget_counts_what_was_recorded_for_its_next_period(
    make_budget, spend, workspace: Workspace
):
    tomorrow = NOON + timedelta(days=1)
    spend(2, request_id="a clock ahead", at=tomorrow)
    make_budget(period="day")
    spend(1, request_id="and another", at=tomorrow)
    assert [(row[1], row[3]) for row in counters()] == [
        (date(2026, 11, 18), 0),
        (date(2026, 11, 19), 3),
    ]


def test_a_late_request_counts_in_its_own_period(make_budget, spend, workspace: Workspace):
    make_budget(period="day", now=NOON - timedelta(days=2))
    spend(1, request_id="today")
    spend(2, request_id="late", at=NOON - timedelta(days=1))
    assert [(row[1], row[3]) for row in counters()] == [
        (date(2026, 11, 16), 0),
        (date(2026, 11, 17), 2),
        (date(2026, 11, 18), 1),
    ]


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Asia/Kolkata", datetime(2026, 11, 18, 18, 29, 59, tzinfo=UTC), date(2026, 11, 18)),
        ("Asia/Kolkata", datetime(2026, 11, 18, 18, 30, tzinfo=UTC), date(2026, 11, 19)),
        ("Europe/Berlin", datetime(2026, 10, 24, 22, 30, tzinfo=UTC), date(2026, 10, 25)),
        ("Europe/Berlin", datetime(2026, 10, 25, 22, 30, tzinfo=UTC), date(2026, 10, 25)),
        ("Europe/Berlin", datetime(2026, 10, 25, 23, 0, tzinfo=UTC), date(2026, 10, 26)),
        ("America/New_York", datetime(2026, 3, 8, 4, 59, tzinfo=UTC), date(2026, 3, 7)),
        ("America/New_York", datetime(2026, 3, 9, 3, 59, tzinfo=UTC), date(2026, 3, 8)),
        ("America/Havana", datetime(2026, 11, 1, 4, 30, tzinfo=UTC), date(2026, 11, 1)),
        ("Asia/Kathmandu", datetime(2026, 11, 18, 18, 14, 59, tzinfo=UTC), date(2026, 11, 18)),
    ],
)
def test_days_are_the_accounts_days(
    account: Account, make_budget, spend, workspace: Workspace, zone, moment, day
):
    Account.objects.filter(pk=account.pk).update(time_zone=zone)
    account.refresh_from_db()
    budget = make_budget(period="day", now=moment - timedelta(days=2))
    spend(1, request_id="one", at=moment)
    period = budget.periods.get(estimated__gt=0)
    assert (period.start_on, period.end_on) == (day, day + timedelta(days=1))
    spent = ledger.counted(budget, period.start_on, period.end_on, now=moment)
    assert spent == (period.spent, period.estimated)


def test_recounting_changes_nothing_that_is_right_and_mends_what_is_not(
    make_budget, spend, workspace: Workspace
):
    budget = make_budget()
    spend(3, request_id="one")
    before = counters()
    ledger.recount(budget, now=NOON)
    assert counters() == before
    BudgetPeriod.objects.update(spent=Decimal("99"), estimated=0, held=1)
    ledger.recount(budget, now=NOON)
    assert counters() == before
    assert budget.periods.get().held == 0


def test_the_command_tells_which_counters_it_set_right(
    account: Account, make_budget, spend, workspace: Workspace, capsys
):
    budget = make_budget()
    spend(3, request_id="one")
    (before,) = budget.periods.values("spent", "estimated", "held")
    BudgetPeriod.objects.update(spent=Decimal("99"), held=1)

    call_command("recount_budgets", account=account.slug)

    assert "spent: was 99.0000000000, is " in (out := capsys.readouterr().out)
    assert "held: was 1.0000000000, is 0" in out
    assert out.endswith("1 budget recounted, 1 counter set right.\n")
    assert [before] == list(budget.periods.values("spent", "estimated", "held"))


def test_an_account_that_there_is_not_is_said():
    with pytest.raises(CommandError, match="no account 'nobody'"):
        call_command("recount_budgets", account="nobody")


def test_a_jump_over_both_thresholds_makes_both_alerts_once(
    make_budget, spend, workspace: Workspace
):
    make_budget()
    spend(3, request_id="60 %")
    assert not Alert.objects.exists()
    spend(3, request_id="120 %")
    spend(1, request_id="140 %")
    assert list(Alert.objects.order_by("threshold").values_list("threshold", "consumed")) == [
        (80, 6),
        (100, 6),
    ]


def test_without_a_limit_there_is_nothing_to_alert(make_budget, spend, workspace: Workspace):
    make_budget(limit=None)
    spend(100, request_id="much")
    assert not Alert.objects.exists()


def test_the_next_period_begins_at_zero_and_alerts_again(make_budget, spend, workspace: Workspace):
    make_budget(period="day")
    spend(5, request_id="today")
    spend(5, request_id="tomorrow", at=NOON + timedelta(days=1))
    assert [row[3] for row in counters()] == [5, 5]
    assert Alert.objects.count() == 4
