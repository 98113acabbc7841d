"""Whether the log still has all of a day, and rebuilding only such days.

Sums are kept for ever, single requests are not: of a day whose requests are partly gone a rebuild
would erase that part from every report. The roll-ups say how many requests there were.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection, transaction

from usage.rollups.fold import ROLLUP_LOCK
from usage.rollups.rebuild import NothingToRebuildFrom, rebuild_day
from usage.rollups.tables import LOCAL_DAY, ROLLUPS, ZONE_JOIN

# Literal edges let the planner leave out, and not even lock, all other partitions.
IN_DAY = f"""l.workspace_id = %(workspace)s AND {LOCAL_DAY} = %(day)s
    AND l.occurred_at >= %(since)s AND l.occurred_at < %(until)s"""

# Rows that the roll-ups have; the others are still in the ledger.
FOLDED = """NOT EXISTS (SELECT FROM usage_batch b
        WHERE b.workspace_id = l.workspace_id AND b.batch_id = l.batch_id)"""

DAY_TABLES = tuple(rollup.table for rollup in ROLLUPS if rollup.grain == "day")

# By the table that counts the most: rather a wrong sum that stays than a right one that is erased.
COUNTED = f"""greatest({
    ", ".join(
        f"(SELECT coalesce(sum(requests), 0) FROM {table} "
        "WHERE workspace_id = %(workspace)s AND day = %(day)s)"
        for table in DAY_TABLES
    )
})"""

IS_WHOLE = f"""
SELECT {COUNTED} <= (
    SELECT count(*) FROM usage_requestlog l {ZONE_JOIN} WHERE {IN_DAY} AND {FOLDED})
"""


def is_whole(workspace_id: int, day: date) -> bool:
    """Whether the log still has every request of the day that the roll-ups count."""
    with connection.cursor() as cursor:
        cursor.execute(IS_WHOLE, place(workspace_id, day))
        return cursor.fetchone()[0]


@transaction.atomic
def rebuild_whole_day(workspace_id: int, day: date) -> None:
    """Make the day's roll-ups anew from the log, where it has the whole of the day.

    Raises NothingToRebuildFrom, and changes nothing, where it has not. Whatever is folded or
    deleted meanwhile, the sums before and after are compared under the lock.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
    before = requests_in_rollups(workspace_id, day)
    rebuild_day(workspace_id, day)
    after = requests_in_rollups(workspace_id, day)
    if after < before:
        raise NothingToRebuildFrom(
            f"workspace {workspace_id}, {day}: the roll-ups count {before:,} requests, "
            f"the log has {after:,}"
        )


def requests_in_rollups(workspace_id: int, day: date) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COUNTED}", {"workspace": workspace_id, "day": day})
        return int(cursor.fetchone()[0])


def place(workspace_id: int, day: date) -> dict[str, Any]:
    """Parameters of `IN_DAY`. Local days reach at most 14 hours over the UTC day."""
    midnight = datetime.combine(day, time.min, tzinfo=UTC)
    return {
        "workspace": workspace_id,
        "day": day,
        "since": midnight - timedelta(hours=15),
        "until": midnight + timedelta(hours=39),
    }
