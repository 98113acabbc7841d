"""The proof that the books balance: it holds on any traffic, and notices what does not add up."""

from datetime import date

import pytest

from budgets import ledger
from budgets.models import Budget
from tests.books import assert_books_balance
from tests.factories import NOW, fetch, make_account
from tests.usage import traffic
from usage.rollups.fold import fold
from usage.rollups.tables import HISTOGRAMS, ROLLUPS

pytestmark = pytest.mark.django_db


@pytest.fixture
def half_folded_traffic():
    """Two hundred requests in Kolkata, some in the roll-ups and some not yet, under two budgets."""
    account = make_account(time_zone="Asia/Kolkata")
    for period in ("day", "total"):
        budget = Budget(account=account, name=period, scope="account", period=period, limit=5)
        ledger.open_budget(budget, now=NOW)
    traffic.record(account, traffic.rows(200, days=[date(2026, 11, 20)], zone="Asia/Kolkata"))
    fold(rows_at_once=100)


def test_books_balance_in_an_empty_database():
    assert_books_balance()


def test_books_balance_while_half_is_folded(half_folded_traffic):
    assert fetch("SELECT count(*) AS n FROM usage_batch")[0]["n"] > 0
    assert_books_balance()


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM usage_requestkey WHERE request_id = %s", "keys"),
        ("DELETE FROM usage_requestlog WHERE request_id = %s", "keys"),
        ("UPDATE usage_requestlog SET cost = cost + 1e-10 WHERE request_id = %s", "usage_hour"),
        ("UPDATE usage_requestlog SET latency_ms = 77777 WHERE request_id = %s", "usage_day_key"),
        ("UPDATE usage_batch SET row_count = row_count + 1", "batches"),
        ("UPDATE budgets_budgetperiod SET spent = spent + 1e-10", "reports"),
        ("UPDATE budgets_budgetperiod SET estimated = estimated + 1e-10", "counters"),
        ("UPDATE budgets_budgetperiod SET held = 1", "counters"),
        ("DELETE FROM budgets_budgetperiod", "counters"),
        *((f"UPDATE {r.table} SET reasoning = reasoning + 1", r.table) for r in ROLLUPS),
        *((f"DELETE FROM {r.table}", r.table) for r in (*ROLLUPS, *HISTOGRAMS)),
        *((f"UPDATE {h.table} SET bucket = bucket + 1000", h.table) for h in HISTOGRAMS),
    ],
)
def test_whatever_does_not_add_up_is_noticed(half_folded_traffic, statement, place):
    folded = "SELECT request_id FROM usage_requestlog WHERE cost > 0 ORDER BY batch_id LIMIT 1"
    parameters = [fetch(folded)[0]["request_id"]] if "%s" in statement else []
    fetch(f"{statement} RETURNING 1", parameters)

    with pytest.raises(AssertionError, match=place):
        assert_books_balance()


def test_a_request_stored_on_two_days_is_noticed(half_folded_traffic):
    fetch("INSERT INTO usage_requestlog SELECT * FROM usage_requestlog LIMIT 1 RETURNING 1")

    with pytest.raises(AssertionError, match="keys"):
        assert_books_balance()
