"""Rebuilding days from the log: the same rows as folding made."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.books import assert_books_balance
from tests.factories import (
    fetch,
    histogram_rows,
    make_account,
    native,
    post,
    rollup_rows,
    sums_of,
    sums_of_log,
)
from tests.usage import traffic
from usage.rollups.fold import fold, fold_all
from usage.rollups.rebuild import NothingToRebuildFrom, rebuild_day
from usage.rollups.tables import ROLLUPS

FIRST, LAST = date(2026, 10, 31), date(2026, 11, 2)
ZONES = ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"]


def workspaces() -> list[int]:
    return [row["id"] for row in fetch("SELECT id FROM accounts_workspace ORDER BY id")]


def rebuild_all() -> int:
    """Every workspace's days; a microsecond before the first midnight is the day before."""
    pairs = [(one, FIRST + timedelta(n)) for n in range(-1, 3) for one in workspaces()]
    for workspace, day in pairs:
        rebuild_day(workspace, day)
    return len(pairs)


def traffic_in(zone: str) -> None:
    days = [FIRST, date(2026, 11, 1), LAST]
    traffic.record(make_account("acme", time_zone=zone), traffic.rows(200, days=days, zone=zone))


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ZONES)
def test_a_rebuilt_day_is_what_was_folded(zone):
    traffic_in(zone)
    fold_all()
    folded = rollup_rows(), histogram_rows()

    assert rebuild_all() == 8

    assert (rollup_rows(), histogram_rows()) == folded


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ZONES)
def test_what_is_not_folded_yet_is_left_to_the_fold(zone):
    traffic_in(zone)
    fold(rows_at_once=100)
    rebuild_all()

    fold_all()

    for rollup in ROLLUPS:
        assert sums_of(rollup.table) == sums_of_log()
    assert_books_balance()


def test_only_that_day_and_workspace_is_touched(account, outsiders_workspace):
    for owner in (account, outsiders_workspace.account):
        post(owner, native(workspace="research", occurred_at="2026-11-01T12:00:00Z"))
        post(owner, native(workspace="research", occurred_at="2026-11-02T12:00:00Z"))
    fold_all()
    for rollup in ROLLUPS:
        fetch(f"UPDATE {rollup.table} SET requests = 9 RETURNING 1")

    rebuild_day(outsiders_workspace.pk, date(2026, 11, 1))

    for rollup in ROLLUPS:
        rows = fetch(f"SELECT requests, workspace_id FROM {rollup.table}")
        theirs = sorted(r["requests"] for r in rows if r["workspace_id"] == outsiders_workspace.pk)
        others = [r["requests"] for r in rows if r["workspace_id"] != outsiders_workspace.pk]
        assert (theirs, others) == ([1, 9], [9, 9])


def test_after_new_prices_a_rebuilt_day_has_them(account):
    post(account, native(model="brand-new"))
    fold_all()
    fetch("UPDATE usage_requestlog SET cost = 0.25, ceiling_cost = NULL RETURNING 1")

    rebuild_day(workspaces()[0], date(2026, 11, 20))

    for rollup in ROLLUPS:
        sums = sums_of(rollup.table)
        assert (sums["cost"], sums["unpriced"], sums["ceiling_cost"]) == (Decimal("0.25"), 0, 0)


def test_a_day_that_never_had_requests_stays_empty(workspace):
    rebuild_day(workspace.pk, date(2026, 11, 20))

    assert all(rows == [] for rows in (rollup_rows() | histogram_rows()).values())


def test_sums_whose_requests_are_gone_are_not_erased(account):
    post(account, native(workspace="research", latency_ms=5, occurred_at="2026-11-01T12:00:00Z"))
    fold_all()
    before = rollup_rows(), histogram_rows()
    fetch("DELETE FROM usage_requestlog RETURNING 1")

    with pytest.raises(NothingToRebuildFrom):
        rebuild_day(workspaces()[0], date(2026, 11, 1))

    assert (rollup_rows(), histogram_rows()) == before
