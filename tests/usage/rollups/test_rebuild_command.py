"""`rebuild_usage`: any span, the same rows as folding made, as often and beside whom one likes."""

from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import Workspace
from tests.books import assert_books_balance
from tests.budgets.test_repriced import Background
from tests.factories import fetch, make_account, native, post, rollup_rows
from tests.usage import traffic
from usage.management.commands import rebuild_usage
from usage.rollups import whole
from usage.rollups.fold import fold, fold_all
from usage.rollups.rebuild import NothingToRebuildFrom
from usage.rollups.tables import HISTOGRAMS, ROLLUPS

quickly = pytest.mark.django_db
SPAN = ["--account", "acme", "--from", "2026-10-30", "--to", "2026-11-03"]
DAYS = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)]
TABLES = [rollup.table for rollup in (*ROLLUPS, *HISTOGRAMS)]


def rebuild(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("rebuild_usage", *SPAN, *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def all_rows() -> dict[str, Any]:
    counts = {h.table: fetch(f"SELECT * FROM {h.table} ORDER BY {', '.join(h.key)}")
              for h in HISTOGRAMS}  # fmt: skip
    return rollup_rows() | counts


@pytest.fixture
def traffic_in_kolkata(db):
    account = make_account("acme", time_zone="Asia/Kolkata")
    traffic.record(account, traffic.rows(200, days=DAYS, zone="Asia/Kolkata"))
    return account


@quickly
@pytest.mark.parametrize("table", TABLES)
def test_what_was_lost_comes_back_as_it_was_folded(traffic_in_kolkata, table):
    fold_all()
    folded = all_rows()
    fetch(f"DELETE FROM {table} RETURNING 1")

    assert rebuild()[0] == "8 days of workspaces rebuilt.\n"

    assert all_rows() == folded
    rebuild()
    assert all_rows() == folded


@quickly
def test_what_is_not_folded_yet_is_left_to_the_fold(traffic_in_kolkata):
    fold(rows_at_once=100)
    rebuild()
    assert_books_balance()
    fold_all()
    assert_books_balance()


@quickly
def test_only_the_named_workspace_and_days_are_touched(traffic_in_kolkata):
    fold_all()
    fetch("UPDATE usage_day_key SET output = output + 1 RETURNING 1")
    research = Workspace.objects.get(slug="research").pk

    out, _ = rebuild("--workspace", "research", "--to", "2026-11-01")

    assert out == "2 days of workspaces rebuilt.\n"
    right = """
        SELECT k.workspace_id, k.day
        FROM (SELECT workspace_id, day, sum(output) AS n FROM usage_day_key GROUP BY 1, 2) k
        JOIN (SELECT workspace_id, day, sum(output) AS n FROM usage_day_model GROUP BY 1, 2) m
            ON m.workspace_id = k.workspace_id AND m.day = k.day AND m.n = k.n
        ORDER BY k.day"""
    assert [(row["workspace_id"], row["day"]) for row in fetch(right)] == [
        (research, date(2026, 10, 30)),
        (research, date(2026, 10, 31)),
    ]


@quickly
def test_a_day_that_is_partly_gone_is_left_alone_unless_the_log_is_trusted(traffic_in_kolkata):
    fold_all()
    before = all_rows()
    noon = "SELECT request_id FROM usage_requestlog WHERE occurred_at > '2026-11-01T12:00Z' LIMIT 1"
    fetch(f"DELETE FROM usage_requestlog WHERE request_id IN ({noon}) RETURNING 1")

    out, err = rebuild()

    assert "1 left alone: not all of their requests are kept." in out
    assert "the roll-ups count" in err
    assert all_rows() == before
    assert "left alone" not in rebuild("--trust-log")[0]
    assert sum(row["requests"] for row in all_rows()["usage_day"]) == 199


@quickly
def test_a_day_that_is_counted_twice_in_one_table_is_left_alone_with_the_figures(account):
    post(account, native(workspace="research", occurred_at="2026-11-01T12:00:00Z"))
    fold_all()
    workspace = Workspace.objects.get(slug="research")
    fetch("UPDATE usage_day_model SET requests = 2 RETURNING 1")

    with pytest.raises(NothingToRebuildFrom, match="the roll-ups count 2 requests, the log has 1"):
        whole.rebuild_whole_day(workspace.pk, date(2026, 11, 1))

    assert fetch("SELECT requests FROM usage_day_model") == [{"requests": 2}]


@quickly
def test_whoever_interrupts_it_is_told_where_to_go_on(traffic_in_kolkata, monkeypatch):
    fold_all()
    fetch("DELETE FROM usage_day_member RETURNING 1")
    done: list[Any] = []

    def interrupted(*unit: Any) -> None:
        done.append(unit)
        if len(done) > 3:
            raise KeyboardInterrupt
        whole.rebuild_whole_day(*unit)

    monkeypatch.setattr(rebuild_usage, "rebuild_whole_day", interrupted)
    with pytest.raises(CommandError, match="3 of 8 are done and stay done") as stopped:
        rebuild()
    monkeypatch.undo()

    assert "--from 2026-10-31" in str(stopped.value)
    rebuild("--from", "2026-10-31")
    assert_books_balance()


@quickly
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--account", "nobody"], "There is no account 'nobody'."),
        (["--workspace", "nowhere"], "acme has no workspace 'nowhere'."),
        (["--to", "2026-10-30"], "The span ends before it begins."),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    make_account("acme")
    with pytest.raises(CommandError, match=message):
        rebuild(*arguments)


@pytest.mark.django_db(transaction=True)
def test_books_balance_while_others_record_and_fold_beside_it():
    acme = make_account("acme")
    traffic.record(acme, traffic.rows(100, days=DAYS))
    seeds = iter(range(100_000))

    def record() -> None:
        post(acme, *traffic.rows(10, days=DAYS, seed=next(seeds)))

    with Background(record, lambda: fold(rows_at_once=30), assert_books_balance) as others:
        for _ in range(3):
            rebuild()
    connection.close()
    assert_books_balance()
    assert min(others.times) > 0
