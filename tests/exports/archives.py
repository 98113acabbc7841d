"""An account whose requests are past their retention, and what is left of them afterwards."""

import contextlib
import resource
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Account
from exports import retention_run
from exports.archive_models import RetentionRun
from tests.factories import make_account, post, small_price_book
from tests.usage import traffic
from usage import partitions, retention
from usage.rollups.fold import fold_all

ZONE = "America/New_York"
DAY = date(2031, 5, 30)  # no day around the clock of whoever runs this
DAYS = [DAY, date(2031, 5, 31)]
RECORDED_AT = datetime(2031, 6, 1, 12, tzinfo=UTC)
THE_DAY_AFTER = datetime(2031, 6, 30, 12, tzinfo=UTC)  # May 30 is past its 30 days, May 31 not
LATER = datetime(2031, 7, 15, 12, tzinfo=UTC)


@pytest.fixture
def own_partitions(transactional_db: None, monkeypatch: Any) -> Iterator[None]:
    """Those of the days above, and the others left alone: other tests use them."""
    monkeypatch.setattr(retention, "drop_empty_partitions", lambda now: [])
    partitions.make_between(date(2031, 5, 29), date(2031, 6, 2))
    yield
    for name in partitions.day_partitions():
        if name.startswith("usage_requestlog_2031"):
            execute(f"DROP TABLE {name}")
    execute("DROP TABLE IF EXISTS usage_day_203105, usage_day_203106")


@pytest.fixture
def acme(own_partitions: None) -> Account:
    """Two days of requests in New York, in two workspaces of the same retention."""
    small_price_book()
    account = make_account(time_zone=ZONE)
    rows = traffic.rows(120, days=DAYS, zone=ZONE)
    for start in range(0, len(rows), 50):
        assert post(account, *rows[start : start + 50], now=RECORDED_AT).rejected == []
    fold_all()
    return account


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.ARCHIVE_URL = str(tmp_path)
    return tmp_path


@contextlib.contextmanager
def full_disk(after_bytes: int = 100) -> Iterator[None]:
    """No file of this process grows further: PostgreSQL's do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def execute(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def run(now: datetime = LATER) -> RetentionRun:
    done = retention_run.run(now=now)
    assert done is not None
    return done
