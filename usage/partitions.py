"""Partitions of the request log (UTC days) and of the daily roll-up (months), made ahead."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

DAYS_BEHIND = 95  # the longest retention and some
DAYS_AHEAD = 10

LOG = "usage_requestlog"
STRAYS = f"{LOG}_default"

# Web, worker and migrations may start at once and find the same days missing.
PARTITION_LOCK = 7_100_003

# Whoever records or reports waits for us at most so long, and for whom we wait, at a time: a lock
# that is waited for lets nobody else in.
LOCK_TIMEOUT = "800ms"
TRIES = 10
PAUSE_SECONDS = 1.0

# One batch in a hundred rows or so: with PostgreSQL's own guess the planner would rather scan a
# whole day than look up the few batches that are not folded yet.
HONEST_ESTIMATE = "ALTER TABLE {name} ALTER COLUMN batch_id SET (n_distinct = -0.01)"


def log_exists() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('usage_requestlog') IS NOT NULL")
        return cursor.fetchone()[0]


def make_around(now: datetime) -> int:
    """Make what is missing from `DAYS_BEHIND` days ago to `DAYS_AHEAD` days ahead; how many.

    Days before the newest one that is there are left alone: those that are missing were dropped.
    """
    today = now.astimezone(UTC).date()
    first = today - timedelta(DAYS_BEHIND)
    if there := day_partitions():
        first = max(first, day_of(there[-1]) + timedelta(1))
    return make_between(first, today + timedelta(DAYS_AHEAD))


def make_between(first: date, last: date) -> int:
    """Make the missing partitions for the days `[first, last]`; how many were made.

    Rows that the default partition caught meanwhile are moved, in the same transaction.
    """
    existing = existing_partitions()
    made = 0
    for day in days(first, last):
        name = name_of(day)
        if name not in existing:
            made += _patiently(LOG, name, "occurred_at", day, day + timedelta(1))
    for month in months(first, last):
        name = f"usage_day_{month:%Y%m}"
        if name not in existing:
            made += _patiently("usage_day", name, "day", month, next_month(month))
    return made


def existing_partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN "
            "('usage_requestlog'::regclass, 'usage_day'::regclass)"
        )
        return {name for (name,) in cursor.fetchall()}


def name_of(day: date) -> str:
    return f"{LOG}_{day:%Y%m%d}"


def day_of(name: str) -> date:
    return date.fromisoformat(name.removeprefix(f"{LOG}_"))


def day_partitions() -> list[str]:
    """Those of the log that are a day's, the oldest first."""
    return sorted(
        name for name in existing_partitions() if name.removeprefix(f"{LOG}_").isdecimal()
    )


def days(first: date, last: date) -> Iterator[date]:
    for offset in range((last - first).days + 1):
        yield first + timedelta(offset)


def months(first: date, last: date) -> Iterator[date]:
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = next_month(month)


def next_month(month: date) -> date:
    return (month.replace(day=1) + timedelta(32)).replace(day=1)


def _patiently(parent: str, name: str, column: str, start: date, end: date) -> bool:
    """`_make`, again and again while a long report reads the default partition.

    Raises OperationalError where it does so for too long.
    """
    for _ in range(TRIES - 1):
        try:
            return _make(parent, name, column, start, end)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
        time.sleep(PAUSE_SECONDS)
    return _make(parent, name, column, start, end)


def _make(parent: str, name: str, column: str, start: date, end: date) -> bool:
    """Make the partition; False where another process just did."""
    bounds = [start.isoformat(), end.isoformat()]
    if parent == "usage_requestlog":  # UTC days, whatever the session's zone
        bounds = [f"{bound} 00:00+00" for bound in bounds]
    within = f"{column} >= '{bounds[0]}' AND {column} < '{bounds[1]}'"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        if cursor.fetchone()[0]:
            return False
        cursor.execute(f"CREATE TABLE {name} (LIKE {parent} INCLUDING ALL)")
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        # Nobody may write a stray into the default partition between the move and the attachment.
        cursor.execute(f"LOCK TABLE {parent}_default IN ACCESS EXCLUSIVE MODE")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {parent}_default WHERE {within} RETURNING *) "
            f"INSERT INTO {name} SELECT * FROM moved"
        )
        cursor.execute(
            f"ALTER TABLE {parent} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
        )
        if parent == "usage_requestlog":
            cursor.execute(HONEST_ESTIMATE.format(name=name))
    return True
