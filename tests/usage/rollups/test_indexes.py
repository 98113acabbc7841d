"""Indexes that folding left half empty are made anew; the rows stay what they were."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from tests.factories import fetch
from usage.rollups import indexes
from usage.rollups.indexes import TIGHTEN_LOCK, tighten

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = """
INSERT INTO usage_day_provider_latency
    (workspace_id, day, provider_id, bucket, latency_count, first_token_count)
SELECT w, '2026-01-01', 1, bucket, 1, 0
FROM generate_series(1, 300) w, generate_series(1, 100) bucket
"""
INDEX = "usage_day_provider_latency_once"
SIZE = f"SELECT pg_relation_size('{INDEX}') AS bytes"
SUM = "SELECT count(*), sum(bucket) FROM usage_day_provider_latency"


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    """Somebody else's connection to the same database."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        yield other


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def size() -> int:
    return int(fetch(SIZE)[0]["bytes"])


def test_an_index_with_much_room_is_made_anew():
    execute(ROWS, "DELETE FROM usage_day_provider_latency WHERE bucket % 3 > 0")
    execute("VACUUM ANALYZE usage_day_provider_latency")
    before, rows = size(), fetch(SUM)

    assert INDEX in tighten(least_bytes=100_000)
    assert size() < before / 2
    assert fetch(SUM) == rows


def test_a_full_one_and_a_small_one_are_left_alone():
    execute(ROWS, "ANALYZE usage_day_provider_latency")

    assert INDEX not in tighten(least_bytes=100_000)
    execute("DELETE FROM usage_day_provider_latency", "VACUUM ANALYZE usage_day_provider_latency")
    assert INDEX not in tighten()


def test_what_a_broken_off_attempt_left_is_dropped():
    execute("CREATE INDEX usage_day_model_once_ccnew ON usage_day_model (workspace_id)")
    execute(
        "UPDATE pg_index SET indisvalid = false "
        "WHERE indexrelid = 'usage_day_model_once_ccnew'::regclass"
    )

    tighten()

    assert fetch("SELECT to_regclass('usage_day_model_once_ccnew') AS it") == [{"it": None}]


def test_somebodys_long_transaction_is_not_waited_for(monkeypatch, other):
    monkeypatch.setattr(indexes, "LONGEST_WAIT", "100ms")
    execute(ROWS, "DELETE FROM usage_day_provider_latency WHERE bucket % 3 > 0")
    execute("VACUUM ANALYZE usage_day_provider_latency")
    before = size()
    other.execute(SUM)

    assert INDEX not in tighten(least_bytes=100_000)

    other.rollback()
    tighten(least_bytes=100_000)
    assert size() < before / 2
    assert fetch("SELECT indexrelid FROM pg_index WHERE NOT indisvalid") == []
    assert fetch("SHOW lock_timeout") == [{"lock_timeout": "0"}]


def test_two_that_do_it_at_once_do_not_meet(other):
    execute(ROWS, "DELETE FROM usage_day_provider_latency WHERE bucket % 3 > 0")
    execute("VACUUM ANALYZE usage_day_provider_latency")
    other.execute("SELECT pg_advisory_lock(%s)", [TIGHTEN_LOCK])

    assert tighten(least_bytes=100_000) == []
