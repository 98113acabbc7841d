"""Make whole days of the roll-ups anew from the request log, by the SQL that folds."""

from datetime import date

from django.db import connection, transaction

from usage.rollups.fold import ROLLUP_LOCK, into_every_rollup
from usage.rollups.tables import HISTOGRAMS, LOCAL_DAY, ROLLUPS

REBUILD = into_every_rollup(
    f"l.workspace_id = %(workspace)s AND {LOCAL_DAY} = %(day)s"
    # Local days reach at most 14 hours over the UTC day; this finds the partitions.
    " AND l.occurred_at >= %(day)s::timestamptz - interval '15 hours'"
    " AND l.occurred_at < %(day)s::timestamptz + interval '39 hours'"
    # Rows that are not folded yet will be folded: adding them here would count them twice.
    " AND NOT EXISTS (SELECT FROM usage_batch b"
    " WHERE b.workspace_id = l.workspace_id AND b.batch_id = l.batch_id)"
)


class NothingToRebuildFrom(Exception):
    """The day has sums but no requests any more: rebuilding would erase what is kept for ever."""


def rebuild_day(workspace_id: int, day: date) -> None:
    """Replace every roll-up row of one workspace and local day by what the log says now.

    Raises NothingToRebuildFrom, and changes nothing, where the day's requests are gone.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
        deleted = 0
        for rollup in (*ROLLUPS, *HISTOGRAMS):
            cursor.execute(
                f"DELETE FROM {rollup.table} t USING accounts_workspace w, accounts_account z "
                f"WHERE t.workspace_id = %s AND w.id = t.workspace_id AND z.id = w.account_id "
                f"AND {_in_day(rollup.grain)}",
                [workspace_id, day],
            )
            deleted += cursor.rowcount
        cursor.execute(REBUILD, {"workspace": workspace_id, "day": day})
        if deleted and not cursor.fetchone()[0]:
            raise NothingToRebuildFrom(f"workspace {workspace_id}, {day}")


def _in_day(grain: str) -> str:
    if grain == "day":
        return "t.day = %s"
    return "(t.hour AT TIME ZONE z.time_zone)::date = %s"
