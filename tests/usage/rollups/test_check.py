"""The product's own check of usage: it is silent while books balance, and names what does not."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.models import Account, Workspace
from tests.factories import NOW, fetch, make_account, native, post
from tests.usage import traffic
from usage.rollups.check import TABLES, Difference, check_workspace, strict_from
from usage.rollups.fold import fold, fold_all

pytestmark = pytest.mark.django_db

DAY = date(2026, 11, 20)


@pytest.fixture
def account(db: None) -> Account:
    """Two hundred requests in Kolkata, some in the roll-ups and some not yet."""
    account = make_account(time_zone="Asia/Kolkata")
    days = [DAY, DAY - timedelta(1)]
    traffic.record(account, traffic.rows(200, days=days, zone="Asia/Kolkata"))
    fold(rows_at_once=100)
    return account


def differences(now=NOW) -> list[Difference]:
    workspaces = Workspace.objects.select_related("account").order_by("pk")
    return [found for workspace in workspaces for found in check_workspace(workspace, now=now)[1]]


def tamper(statement: str) -> None:
    assert fetch(f"{statement} RETURNING 1")


def test_nothing_differs_while_half_is_folded(account):
    assert fetch("SELECT count(*) AS n FROM usage_batch")[0]["n"] > 0
    assert differences() == []


def test_it_says_how_much_was_compared(account):
    workspace = Workspace.objects.get(slug="research")
    rows = fetch(
        "SELECT count(*) AS n FROM usage_requestlog WHERE workspace_id = %s", [workspace.pk]
    )

    compared, _ = check_workspace(workspace, now=NOW)

    assert compared.requests + compared.unfolded == rows[0]["n"]
    assert (compared.unfolded > 0, compared.days, compared.days_gone) == (True, 3, 0)


@pytest.mark.parametrize("table", TABLES)
def test_one_unit_too_many_in_any_measure_of_any_table_is_named(account, table):
    one_more = ", ".join(f"{measure} = {measure} + {unit(measure)}" for measure in TABLES[table])
    tamper(f"UPDATE {table} SET {one_more} WHERE (tableoid, ctid) IN "
           f"(SELECT tableoid, ctid FROM {table} LIMIT 1)")  # fmt: skip

    found = differences()

    assert [(d.place, d.measure, d.rows) for d in found] == [(table, m, 1) for m in TABLES[table]]
    assert all(d.found - d.expected == unit(d.measure) for d in found)


def unit(measure: str) -> Decimal:
    return Decimal("1e-10") if measure.endswith(("cost", "difference")) else Decimal(1)


@pytest.mark.parametrize("table", TABLES)
def test_rows_that_are_lost_are_noticed(account, table):
    tamper(f"DELETE FROM {table}")

    found = differences()

    assert {difference.place for difference in found} == {table}
    assert {difference.found for difference in found} == {0}


def test_what_is_only_shared_out_wrongly_is_noticed(account):
    """A cent of one model's moved to another: the day's sum is as right as before."""
    rows = fetch("SELECT ctid FROM usage_day_model WHERE day = %s ORDER BY workspace_id, 1", [DAY])
    tamper(f"UPDATE usage_day_model SET cost = cost - 0.01 WHERE ctid = '{rows[0]['ctid']}'")
    tamper(f"UPDATE usage_day_model SET cost = cost + 0.01 WHERE ctid = '{rows[1]['ctid']}'")

    (found,) = differences()

    assert (found.place, found.measure, found.day, found.rows) == (
        *("usage_day_model", "cost", DAY),
        2,
    )
    assert found.expected == found.found


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM usage_requestkey WHERE request_id = {id}", "usage_requestkey"),
        ("DELETE FROM usage_requestlog WHERE request_id = {id}", "usage_requestkey"),
        ("INSERT INTO usage_requestlog SELECT * FROM usage_requestlog WHERE request_id = {id}",
         "usage_requestkey"),
        ("UPDATE usage_batch SET row_count = row_count + 1", "usage_batch"),
        ("UPDATE usage_batch SET least_at = least_at - interval '1 s'", "usage_batch"),
        ("UPDATE usage_batch SET greatest_at = greatest_at - interval '1 s'", "usage_batch"),
        ("UPDATE usage_requestlog SET cost = cost + 1e-10 WHERE request_id = {id}", "usage_hour"),
        ("UPDATE usage_requestlog SET latency_ms = 77777 WHERE request_id = {id}",
         "usage_day_latency"),
    ],
)  # fmt: skip
def test_a_log_or_a_ledger_that_was_touched_is_noticed(account, statement, place):
    oldest = "(SELECT request_id FROM usage_requestlog WHERE cost > 0 ORDER BY batch_id LIMIT 1)"
    tamper(statement.replace("{id}", oldest))

    assert place in {difference.place for difference in differences()}


def test_days_whose_requests_are_gone_are_not_reported(account):
    fold_all()
    later = NOW + timedelta(days=40)
    fetch("DELETE FROM usage_requestlog WHERE occurred_at < %s RETURNING 1", [NOW])
    fetch("DELETE FROM usage_requestkey WHERE occurred_at < %s RETURNING 1", [NOW])

    assert differences(now=later) == []
    assert check_workspace(Workspace.objects.get(slug="support"), now=later)[0].days_gone == 3


@pytest.mark.parametrize("table", ["usage_day", "usage_day_project"])
def test_of_days_that_are_gone_the_roll_ups_are_compared_with_each_other(account, table):
    fold_all()
    fetch("DELETE FROM usage_requestlog RETURNING 1")
    fetch("DELETE FROM usage_requestkey RETURNING 1")
    tamper(f"UPDATE {table} SET output = output + 1")

    found = differences(now=NOW + timedelta(days=40))

    assert {(difference.place, difference.measure) for difference in found} == {(table, "output")}


def test_requests_that_vanish_within_the_retention_are_reported(account):
    """Not by retention: it takes the oldest, and not those of one day in the middle."""
    workspace = Workspace.objects.get(slug="research")
    post(account, native(workspace="research", occurred_at=(NOW - timedelta(20)).isoformat()))
    fold_all()
    fetch("DELETE FROM usage_requestlog WHERE occurred_at > %s RETURNING 1", [NOW - timedelta(5)])
    fetch("DELETE FROM usage_requestkey WHERE occurred_at > %s RETURNING 1", [NOW - timedelta(5)])

    found = differences()

    assert strict_from(workspace, now=NOW) == date(2026, 11, 3)
    assert "usage_day_model" in {difference.place for difference in found}


def test_a_workspace_takes_the_same_queries_for_any_number_of_rows(
    account, django_assert_num_queries
):
    workspace = Workspace.objects.select_related("account").get(slug="support")
    with django_assert_num_queries(4):
        check_workspace(workspace, now=NOW)
