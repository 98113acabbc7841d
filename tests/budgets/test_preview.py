"""What a cap would have refused: exact where the requests are there, and said to be rough else."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import Project, Workspace
from budgets.models import Budget
from budgets.preview import preview
from tests.budgets.conftest import NOON
from usage.rollups.fold import fold_all

pytestmark = pytest.mark.django_db

OCTOBER = datetime(2026, 10, 20, 12, tzinfo=UTC)


@pytest.fixture
def october(spend, workspace: Workspace, project: Project):
    """$1 a day from the 10th on, and on the 20th in Berlin three requests of $5."""
    for day in range(10, 16):
        spend(1, request_id=f"day {day}", at=OCTOBER.replace(day=day))
    for hour in range(3):
        spend(5, request_id=f"hour {hour}", at=OCTOBER + timedelta(hours=hour), project="ledger")


def look(account, **values) -> object:
    return preview(Budget(account=account, **{"scope": "account"} | values), now=NOON)


def test_from_the_first_that_would_not_have_fit_all_is_refused(account, october):
    found = look(account, limit=Decimal("11.5"))
    (month,) = found.periods
    assert (month.start_on, month.end_on) == (date(2026, 10, 1), date(2026, 11, 1))
    assert (found.requests, found.consumed) == (9, 21)
    assert (found.refused_requests, found.refused) == (2, 10)
    assert month.first_at == OCTOBER + timedelta(hours=1)
    assert not found.is_rough


def test_a_limit_that_just_suffices_refuses_nothing(account, october):
    found = look(account, limit=Decimal(21))
    assert (found.hit, found.refused) == ([], 0)


def test_nothing_may_be_spent_means_everything_is_refused(account, october):
    found = look(account, limit=Decimal(0))
    assert (found.refused_requests, found.refused) == (9, 21)


def test_only_what_is_under_the_scope_counts(account, project, october):
    found = look(account, scope="project", project=project, limit=Decimal(6))
    assert (found.requests, found.refused_requests, found.refused) == (3, 2, 10)


def test_by_the_day_each_of_the_last_thirty_is_looked_at(account, october):
    found = look(account, period="day", limit=Decimal(7))
    assert len(found.periods) == 30
    assert [(one.start_on, one.refused_requests) for one in found.hit] == [(date(2026, 10, 20), 2)]


def test_when_the_requests_are_gone_their_number_is_a_share_and_the_money_exact(account, october):
    fold_all()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_requestlog")
    found = look(account, limit=Decimal(16))
    assert (found.refused_requests, found.refused, found.is_rough) == (1, 5, True)


def test_where_nothing_was_before_the_present_period_is_looked_at(account, spend, workspace):
    spend(5, request_id="today")
    found = look(account, limit=Decimal(4))
    assert (found.is_present, found.refused_requests) == (True, 1)
