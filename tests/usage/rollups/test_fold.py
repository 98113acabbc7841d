"""Folding: every batch once, by whoever, whatever dies in between."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from importlib import import_module
from io import StringIO
from threading import Barrier

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from tests.books import assert_books_balance
from tests.factories import (
    NOW,
    count,
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
from usage import tasks
from usage.rollups.fold import ROLLUP_LOCK, fold, fold_all, into_every_rollup
from usage.rollups.tables import MEASURES, ROLLUPS

DAYS = [date(2026, 10, 31), date(2026, 11, 14), date(2026, 11, 15)]


def assert_the_books_agree() -> None:
    for rollup in ROLLUPS:
        assert sums_of(rollup.table) == sums_of_log(), rollup.table
    assert_books_balance()


def test_every_roll_up_sums_up_to_the_log(account):
    traffic.record(account, traffic.rows(300, days=DAYS))

    assert fold_all() == 300

    assert count("usage_batch") == 0
    assert_the_books_agree()


def test_one_request_in_every_roll_up(account):
    post(
        account,
        native(
            member="jane",
            project="x",
            latency_ms=50,
            time_to_first_token_ms=5,
            cost="0.5",
            status=500,
        ),
    )

    fold_all()

    expected = dict.fromkeys(MEASURES, 0) | {
        "requests": 1,
        "errors": 1,
        "unpriced": 1,
        "input": 1000,
        "output": 100,
        "latency_ms": 50,
        "latency_count": 1,
        "latency_output": 100,
        "first_token_ms": 5,
        "first_token_count": 1,
        "ceiling_cost": sums_of_log()["ceiling_cost"],
        "reported_cost": sums_of_log()["reported_cost"],
        "reported_count": 1,
    }
    for rows in rollup_rows().values():
        (row,) = rows
        assert {name: row[name] for name in MEASURES} == expected


def test_one_request_in_every_histogram(account):
    post(account, native(latency_ms=50, time_to_first_token_ms=5), native(latency_ms=51), native())

    fold_all()

    for rows in histogram_rows().values():
        counted = [(r["bucket"], r["latency_count"], r["first_token_count"]) for r in rows]
        # 1.1 ** 16 = 4.59, 1.1 ** 17 = 5.05; 1.1 ** 41 = 49.8, 1.1 ** 42 = 54.8
        assert counted == [(17, 0, 1), (42, 2, 0)]


def test_what_was_folded_before_there_were_histograms_is_counted_by_the_migration(account):
    traffic.record(account, traffic.rows(150, days=DAYS))
    fold(rows_at_once=80)
    counted = histogram_rows()
    fetch("DELETE FROM usage_day_latency RETURNING 1")

    with connection.cursor() as cursor:
        cursor.execute(import_module("usage.migrations.0007_latency_histograms").FILL)

    assert histogram_rows() == counted
    assert_books_balance()


def test_folding_again_changes_nothing(account):
    traffic.record(account, traffic.rows(100, days=DAYS))
    fold_all()
    before = rollup_rows(), histogram_rows()

    assert fold() == fold_all() == 0

    assert (rollup_rows(), histogram_rows()) == before


def test_in_any_steps_the_sums_are_the_same(account):
    traffic.record(account, traffic.rows(200, days=DAYS))
    with transaction.atomic():
        fold_all()
        at_once = rollup_rows(), histogram_rows()
        transaction.set_rollback(True)

    steps = 0
    while fold(rows_at_once=1):
        steps += 1

    assert steps >= 5
    assert (rollup_rows(), histogram_rows()) == at_once


def test_what_is_folded_can_be_taken_out_again(account):
    traffic.record(account, traffic.rows(200, days=DAYS))
    fold_all()

    with connection.cursor() as cursor:
        cursor.execute(into_every_rollup("true", times=-1))

    assert all(not any(sums_of(rollup.table).values()) for rollup in ROLLUPS)
    for rows in histogram_rows().values():
        assert {(r["latency_count"], r["first_token_count"]) for r in rows} == {(0, 0)}


def test_a_step_takes_the_oldest_batches(account):
    for n in range(4):
        post(account, *(native(project=f"p{n}") for _ in range(10)))

    assert fold(rows_at_once=15) == 20

    assert fetch("SELECT min(batch_id) AS least, count(*) AS n FROM usage_batch") == fetch(
        "SELECT min(batch_id) AS least, 2 AS n FROM usage_requestlog "
        "WHERE project_id = (SELECT id FROM accounts_project WHERE tag = 'p2')"
    )


def test_a_fold_that_is_rolled_back_leaves_everything(account):
    traffic.record(account, traffic.rows(100, days=DAYS))
    ledger = fetch("SELECT * FROM usage_batch ORDER BY 1")

    with transaction.atomic():
        assert fold() == 100
        transaction.set_rollback(True)

    assert fetch("SELECT * FROM usage_batch ORDER BY 1") == ledger
    assert all(rows == [] for rows in (rollup_rows() | histogram_rows()).values())
    assert fold_all() == 100
    assert_the_books_agree()


def test_a_late_request_is_added_to_its_own_day(account):
    post(account, native(occurred_at="2026-11-15T12:00:00Z"))
    fold_all()
    post(
        account,
        native(occurred_at="2026-11-15T13:00:00Z"),
        native(occurred_at="2026-06-01T00:00:00Z"),
    )
    fold_all()

    rows = fetch("SELECT day, requests FROM usage_day_model ORDER BY day")

    assert [tuple(row.values()) for row in rows] == [
        (date(2026, 6, 1), 1),
        (date(2026, 11, 15), 2),
    ]


def test_a_month_without_a_partition_is_folded(account):
    post(account, native(occurred_at="2015-06-01T00:00:00Z"))

    fold_all()

    assert fetch("SELECT tableoid::regclass::text AS name FROM usage_day") == [
        {"name": "usage_day_default"}
    ]


def test_sums_grow_beyond_32_bits(account):
    post(account, *(native(input_tokens=2_000_000_000, output_tokens=0) for _ in range(5)))

    fold(rows_at_once=1)

    assert {sums_of(rollup.table)["input"] for rollup in ROLLUPS} == {10_000_000_000}


def test_days_and_hours_are_the_accounts(db):
    kolkata = make_account("acme", time_zone="Asia/Kolkata")
    post(kolkata, native(occurred_at="2026-11-19T18:45:00Z"))  # 00:15 of the 20th

    fold_all()

    assert fetch("SELECT day FROM usage_day_model") == [{"day": date(2026, 11, 20)}]
    (row,) = fetch("SELECT hour AT TIME ZONE 'Asia/Kolkata' AS local FROM usage_hour")
    assert (row["local"].day, row["local"].hour, row["local"].minute) == (20, 0, 0)


def test_the_task_and_the_command_fold_everything(account):
    post(account, native())
    tasks.fold()
    assert count("usage_batch") == 0

    post(account, native(), native())
    out = StringIO()
    call_command("fold_usage", stdout=out)
    assert out.getvalue() == "2 requests folded.\n"


def test_a_fold_takes_the_same_queries_for_any_number_of_batches(
    account, django_assert_num_queries
):
    post(account, native())
    with django_assert_num_queries(5):
        fold()
    for _ in range(20):
        post(account, native())

    with django_assert_num_queries(5):
        assert fold() == 20


@pytest.mark.django_db(transaction=True)
def test_who_finds_another_folding_leaves_at_once():
    post(make_account(), native())
    held, done = Barrier(2, timeout=30), Barrier(2, timeout=30)

    def hold_the_lock() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
                held.wait()
                done.wait()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold_the_lock)
        held.wait()
        assert fold() == 0
        done.wait()
        holding.result()
    assert fold() == 1


@pytest.mark.django_db(transaction=True)
def test_writers_and_folders_at_once_count_every_request_once():
    acme = make_account()
    traffic.record(acme, [native()])
    start = Barrier(4, timeout=30)

    def work(place: int) -> None:
        try:
            start.wait()
            for n in range(15):
                if place < 2:
                    day = NOW - timedelta(days=n % 3)
                    post(acme, *(native(occurred_at=day.isoformat()) for _ in range(7)))
                else:
                    fold(rows_at_once=10)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    fold_all()

    assert count("usage_requestlog") == 1 + 2 * 15 * 7
    assert_the_books_agree()
