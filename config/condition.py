"""How the platform is: what waits, what failed, when the worker's parts last ran, what is free.

One statement over small tables, asked by `/metrics`, `/readyz` and the operations page.
"""

import shutil
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.models import Heartbeat
from usage import partitions

# Past these, whoever balances load should know.
LONGEST_LAG = timedelta(minutes=10)
LEAST_FREE_BYTES = 256 * 1024 * 1024

FIGURES = """
SELECT
    (SELECT count(*) FROM usage_batch) AS unfolded_batches,
    (SELECT coalesce(sum(row_count), 0) FROM usage_batch) AS unfolded_requests,
    (SELECT beat_at FROM config_heartbeat WHERE name = %(fold)s) AS folded_at,
    (SELECT count(*) FROM usage_quarantinedrow WHERE state = 'waiting') AS quarantined,
    (SELECT count(*) FROM budgets_hold WHERE state = 'open') AS open_holds,
    (SELECT count(*) FROM budgets_delivery WHERE state = 'waiting') AS deliveries_waiting,
    (SELECT count(*) FROM budgets_delivery WHERE state = 'failed') AS deliveries_failed,
    (SELECT count(*) FROM budgets_alert WHERE addressed_at IS NULL) AS alerts_unaddressed,
    (SELECT count(*) FROM django_q_ormq) AS queued_tasks,
    (SELECT count(*) FROM django_q_task WHERE NOT success) AS failed_tasks,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections,
    pg_database_size(current_database()) AS database_bytes
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of rows; `folded_at` is when folding last succeeded, null: never."""

    unfolded_batches: int
    unfolded_requests: int
    folded_at: datetime | None
    quarantined: int
    open_holds: int
    deliveries_waiting: int
    deliveries_failed: int
    alerts_unaddressed: int
    queued_tasks: int
    failed_tasks: int
    connections: int
    database_bytes: int

    def lag(self, *, now: datetime) -> timedelta:
        """How long what was recorded may wait to be folded; reports count it all the same."""
        if not self.unfolded_batches or self.folded_at is None:
            return timedelta(0)
        return max(now - self.folded_at, timedelta(0))


def figures() -> Figures:
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, {"fold": Heartbeat.of_tick("fold")})
        return Figures(*(cursor.fetchone()))


NAMES = [field.name for field in fields(Figures)]


def free_bytes() -> int:
    """Where the data directory is: the embedded database, static files, mails."""
    directory = settings.DATA_DIR
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    return shutil.disk_usage(existing).free


def clock_skew() -> timedelta:
    """How far this machine's clock is ahead of the database's."""
    with connection.cursor() as cursor:
        before = timezone.now()
        cursor.execute("SELECT clock_timestamp()")
        after = timezone.now()
        (there,) = cursor.fetchone()
    return before + (after - before) / 2 - there


def days_made_ahead(*, now: datetime) -> int:
    """For how many days from today on the request log has partitions."""
    there = partitions.day_partitions()
    if not there:
        return 0
    return max((partitions.day_of(there[-1]) - now.astimezone(UTC).date()).days + 1, 0)
