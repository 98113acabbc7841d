"""Partitions: made ahead, made later, and no row lost on the way."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import psycopg
import pytest
from django.db import OperationalError, connection

from tests.factories import count, fetch, log, make_account, native, post
from usage import partitions, tasks
from usage.rollups.fold import fold_all

FAR = datetime(2031, 5, 30, 12, tzinfo=UTC)  # no day around the clock of whoever runs this


def where_rows_are() -> dict[str, int]:
    rows = fetch(
        "SELECT tableoid::regclass::text AS name, count(*) AS n FROM usage_requestlog GROUP BY 1"
    )
    return {row["name"]: row["n"] for row in rows}


def test_partitions_around_now_are_there_from_the_start(db):
    today = datetime.now(UTC).date()
    names = partitions.existing_partitions()

    for day in (today - timedelta(90), today, today + timedelta(partitions.DAYS_AHEAD - 1)):
        assert f"usage_requestlog_{day:%Y%m%d}" in names
        assert f"usage_day_{day:%Y%m}" in names


def test_making_them_again_makes_nothing(db):
    made = partitions.make_around(FAR)

    assert made == partitions.DAYS_BEHIND + partitions.DAYS_AHEAD + 1 + 5
    assert partitions.make_around(FAR) == 0


def test_the_task_makes_what_is_missing(db):
    tasks.make_partitions()

    assert partitions.make_around(datetime.now(UTC)) == 0


def test_a_stray_is_caught_and_moves_when_its_day_is_made(account):
    for hours in (-12.001, -12, 0, 11.999, 12):
        when = FAR + timedelta(hours=hours)
        post(account, native(occurred_at=when.isoformat()), now=FAR + timedelta(days=1))
    before = log()
    assert where_rows_are() == {"usage_requestlog_default": 5}

    partitions.make_between(FAR.date(), FAR.date())

    assert where_rows_are() == {"usage_requestlog_20310530": 3, "usage_requestlog_default": 2}
    assert log() == before


def test_a_stray_that_moved_is_still_known(account):
    row = native(occurred_at=FAR.isoformat())
    post(account, row, now=FAR)
    partitions.make_between(FAR.date(), FAR.date())

    assert post(account, row, now=FAR).duplicates == 1


def test_a_stray_is_folded_before_or_after_it_moves(account):
    post(account, native(occurred_at=FAR.isoformat()), now=FAR)
    assert fold_all() == 1
    post(account, native(occurred_at=FAR.isoformat()), now=FAR)
    partitions.make_between(FAR.date(), FAR.date())
    assert fold_all() == 1

    assert fetch("SELECT tableoid::regclass::text AS name, requests FROM usage_day") == [
        {"name": "usage_day_203105", "requests": 2}
    ]


def test_a_late_request_lands_in_its_own_day(account):
    today = datetime.now(UTC)
    late = today - timedelta(days=40)

    post(account, native(occurred_at=late.isoformat()), now=today)

    assert where_rows_are() == {f"usage_requestlog_{late:%Y%m%d}": 1}


def test_a_request_older_than_every_partition_is_stored(account):
    post(account, native(occurred_at="2015-01-01T00:00:00Z"))

    assert where_rows_are() == {"usage_requestlog_default": 1}


def test_a_new_day_tells_the_planner_how_large_batches_are(db):
    partitions.make_between(FAR.date(), FAR.date())

    (option,) = fetch(
        "SELECT attoptions FROM pg_attribute WHERE attname = 'batch_id' "
        "AND attrelid = 'usage_requestlog_20310530'::regclass"
    )

    assert option["attoptions"] == ["n_distinct=-0.01"]


@pytest.mark.parametrize(
    ("month", "following"),
    [(date(2026, 1, 31), date(2026, 2, 1)), (date(2026, 12, 1), date(2027, 1, 1))],
)
def test_months_follow_each_other(month, following):
    assert partitions.next_month(month) == following


def test_days_and_months_of_a_stretch():
    first, last = date(2026, 1, 31), date(2026, 3, 1)

    assert len(list(partitions.days(first, last))) == 30
    assert list(partitions.months(first, last)) == [date(2026, n, 1) for n in (1, 2, 3)]
    assert list(partitions.days(last, first)) == []


@pytest.mark.django_db(transaction=True)
def test_processes_that_make_the_same_days_at_once_share_the_work():
    acme = make_account()
    post(acme, native(occurred_at=FAR.isoformat()), now=FAR)
    start = Barrier(3, timeout=30)

    def process(_: int) -> int:
        try:
            start.wait()
            return partitions.make_between(FAR.date(), FAR.date() + timedelta(2))
        finally:
            connection.close()

    try:
        with ThreadPoolExecutor(3) as pool:
            made = sum(pool.map(process, range(3)))

        assert made == 3 + 2
        assert count("usage_requestlog_20310530") == 1
    finally:
        drop_far_partitions()


def drop_far_partitions() -> None:
    for name in partitions.existing_partitions():
        if "_2031" in name:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE {name}")


@pytest.mark.django_db(transaction=True)
def test_a_long_report_is_waited_for_in_short_turns(monkeypatch):
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "20ms")
    with psycopg.connect(**connection.get_connection_params()) as report:
        report.execute("SELECT FROM usage_requestlog_default")
        monkeypatch.setattr(partitions.time, "sleep", lambda _: report.commit())

        assert partitions.make_between(FAR.date(), FAR.date()) == 2
    drop_far_partitions()


@pytest.mark.django_db(transaction=True)
def test_a_report_without_end_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(partitions, "PAUSE_SECONDS", 0)
    with psycopg.connect(**connection.get_connection_params()) as report:
        report.execute("SELECT FROM usage_requestlog_default")

        with pytest.raises(OperationalError, match="lock timeout"):
            partitions.make_between(FAR.date(), FAR.date())
    assert partitions.name_of(FAR.date()) not in partitions.existing_partitions()
