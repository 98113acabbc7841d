"""Recording while others record: every request once, and nobody waits in a circle."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import Account
from tests.factories import NOW, count, fetch, log, make_account, native, post
from usage.ingest.receive import read
from usage.ingest.record import Recorded, record
from usage.ingest.resolve import Row, resolver
from usage.ingest.sources import NATIVE
from usage.models import QuarantinedRow

commits = pytest.mark.django_db(transaction=True)


def rows_of(account: Account, *requests: Any) -> list[Row]:
    raw = [json.dumps(request).encode() for request in requests]
    rows, _ = read(raw, decode=NATIVE.decode, resolve=resolver(account, None, now=NOW))
    return rows


def in_threads(number: int, act: Any) -> list[Any]:
    """What `act(0)`, `act(1)`, ... return, all begun at once."""
    start = Barrier(number, timeout=30)

    def run(place: int) -> Any:
        try:
            start.wait()
            return act(place)
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


@commits
def test_writers_that_send_the_same_rows_in_other_orders_store_each_once():
    acme = make_account()
    rounds = [rows_of(acme, *(native() for _ in range(1000))) for _ in range(5)]
    together = Barrier(3, timeout=30)

    def write(seed: int) -> int:
        order, accepted = random.Random(seed), 0
        for rows in rounds:
            shuffled = order.sample(rows, len(rows))
            together.wait()
            accepted += record(shuffled, account_id=acme.pk, received_at=NOW).accepted
        return accepted

    assert sum(in_threads(3, write)) == 5000
    assert count("usage_requestlog") == count("usage_requestkey") == 5000


@commits
def test_writers_that_send_the_same_bad_rows_in_other_orders_do_not_wait_in_a_circle():
    acme = make_account()
    bad = [{"request_id": f"bad-{n}"} for n in range(60)]

    def write(seed: int) -> int:
        return len(post(acme, *random.Random(seed).sample(bad, len(bad))).rejected)

    assert in_threads(3, write) == [60, 60, 60]
    assert fetch("SELECT DISTINCT times_sent FROM usage_quarantinedrow") == [{"times_sent": 3}]


@commits
def test_who_waits_for_a_writer_that_gives_up_stores_the_row_itself():
    acme = make_account()
    post(acme, native(request_id="first"))
    row = native(request_id="contested")
    taken = Barrier(2, timeout=30)

    def write(place: int) -> int:
        if place == 1:
            taken.wait()
            return post(acme, row).accepted
        with transaction.atomic():
            post(acme, row)
            taken.wait()
            transaction.set_rollback(True)
        return 0

    assert in_threads(2, write) == [0, 1]
    assert [stored["request_id"] for stored in log()] == ["contested", "first"]


@commits
def test_after_a_failed_call_the_same_call_succeeds(monkeypatch):
    acme = make_account()

    def refuse(rows: Any, *, account_id: int) -> None:
        raise DatabaseError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("usage.ingest.record.on_recorded", [refuse])
        with pytest.raises(DatabaseError):
            post(acme, native(request_id="a"), {"request_id": "bad"})
    assert count("usage_requestlog") == count("usage_quarantinedrow") == 0

    answer = post(acme, native(request_id="a"), {"request_id": "bad"})

    assert (answer.accepted, len(answer.rejected)) == (1, 1)


def test_a_batch_has_one_entry_a_workspace_in_the_ledger(account: Account):
    early, late = NOW - timedelta(days=3), NOW
    post(
        account,
        native(workspace="a", occurred_at=late.isoformat()),
        native(workspace="a", occurred_at=early.isoformat()),
        native(workspace="b"),
    )

    ledger = fetch(
        "SELECT w.slug, least_at, greatest_at, row_count FROM usage_batch b "
        "JOIN accounts_workspace w ON w.id = b.workspace_id ORDER BY w.slug"
    )

    assert [tuple(row.values()) for row in ledger] == [("a", early, late, 2), ("b", NOW, NOW, 1)]


def test_a_call_that_brings_nothing_new_leaves_no_entry(account: Account):
    row = native()
    post(account, row)

    post(account, row)

    assert count("usage_batch") == 1


def test_every_entry_counts_its_own_rows(account: Account):
    for n in range(3):
        post(account, *(native() for _ in range(n + 1)))

    assert fetch(
        "SELECT count(*) AS rows, b.row_count FROM usage_requestlog l JOIN usage_batch b "
        "USING (workspace_id, batch_id) GROUP BY b.batch_id, b.row_count ORDER BY 1"
    ) == [{"rows": n, "row_count": n} for n in (1, 2, 3)]


def test_recording_nothing_asks_nothing(account: Account, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert record([], account_id=account.pk, received_at=NOW) == Recorded(0, 0)


def test_the_log_itself_refuses_negative_quantities(account: Account):
    post(account, native())

    with pytest.raises(DatabaseError, match="quantities_are_not_negative"), transaction.atomic():
        fetch("UPDATE usage_requestlog SET output = -1 RETURNING 1")


def test_the_log_itself_refuses_a_cost_with_a_ceiling(account: Account):
    post(account, native())

    with pytest.raises(DatabaseError, match="unknown_cost_has_a_ceiling"), transaction.atomic():
        fetch("UPDATE usage_requestlog SET cost = 1, ceiling_cost = 1 RETURNING 1")


def test_a_provider_that_grows_too_long_in_lower_case_costs_only_its_own_row(account):
    answer = post(account, native(provider="\u0130" * 150), native())

    assert (answer.accepted, len(answer.rejected)) == (1, 1)
    assert answer.rejected[0].error.field == "provider"


def test_a_rejected_row_keeps_no_secret_key(account):
    post(account, native(api_key="sk-proj-0123456789abcdefghij", bogus=1))

    assert "sk-proj" not in QuarantinedRow.objects.get().body
