"""Where a budget is going, as the API tells it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from budgets import ledger
from budgets.models import Budget
from tests.factories import bearer, make_account, make_workspace, native, post, small_price_book


@pytest.fixture
def account(db):
    small_price_book()
    return make_account("acme")


@pytest.fixture
def budget(account):
    """$100 in all; each of the last 20 days cost $2.50."""
    research = make_workspace(account, "research")
    now = timezone.now()
    for back in range(1, 21):
        at = (now - timedelta(days=back)).isoformat()
        row = native(occurred_at=at, workspace="research", input_tokens=10**6, output_tokens=0)
        post(account, row, now=now)
    return ledger.open_budget(
        Budget(
            account=account, name="R", scope="workspace", workspace=research, period="total",
            limit=Decimal(100),
        ),
        now=now,
    )  # fmt: skip


def told(client, account, budget):
    path = f"/api/v1/budgets/{budget.pk}/forecast/"
    return client.get(path, headers=bearer(account, "read"))


def test_it_says_when_the_limit_is_reached_with_a_range(client, account, budget):
    found = told(client, account, budget).json()

    assert found["at_the_end"] is None  # a budget in all has no end
    out = found["runs_out_on"]
    today = timezone.now().date()
    assert out["earliest"] <= out["expected"] <= out["latest"]
    assert (
        today + timedelta(15) < type(today).fromisoformat(out["expected"]) < today + timedelta(25)
    )


def test_while_too_little_is_known_it_says_so(client, account):
    budget = ledger.open_budget(
        Budget(account=account, name="A", scope="account", limit=Decimal(5)), now=timezone.now()
    )

    assert told(client, account, budget).json() == {"at_the_end": None, "runs_out_on": None}


def test_another_accounts_budget_is_not_there(client, account, budget):
    assert told(client, make_account("globex"), budget).status_code == 404
