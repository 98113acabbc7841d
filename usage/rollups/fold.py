"""Fold recorded batches into the roll-ups, each exactly once, whatever dies in between.

One transaction takes batches off the ledger and adds their sums to every roll-up: either all of
it is seen or none. A report that runs meanwhile sees the batch in the ledger or in the roll-ups,
never in both, because it is one statement.
"""

from django.db import connection, transaction

from usage.rollups.tables import (
    DIMENSION_COLUMNS,
    LOCAL_DAY,
    LOCAL_HOUR,
    MEASURES,
    ROLLUPS,
    ZONE_JOIN,
    Rollup,
)

# Folding and rebuilding touch the same sums: one at a time.
ROLLUP_LOCK = 7_100_001
ROWS_AT_ONCE = 50_000


def fold(*, rows_at_once: int = ROWS_AT_ONCE) -> int:
    """Fold the oldest batches, up to about `rows_at_once` requests; how many were folded.

    Returns 0 at once where another process is folding.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ROLLUP_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        claimed = _claim(cursor, rows_at_once)
        if claimed is None:
            return 0
        batch_ids, least_at, greatest_at, rows = claimed
        cursor.execute(FOLD, {"batches": batch_ids, "least": least_at, "greatest": greatest_at})
        return rows


def fold_all() -> int:
    """Fold until the ledger is empty; how many requests were folded."""
    total = 0
    while folded := fold():
        total += folded
    return total


def _claim(cursor, rows_at_once: int):
    cursor.execute(
        """
        WITH oldest AS (
            SELECT workspace_id, batch_id,
                   sum(row_count) OVER (ORDER BY batch_id, workspace_id) - row_count AS before
            FROM (SELECT * FROM usage_batch ORDER BY batch_id LIMIT 5000) b
        ), claimed AS (
            DELETE FROM usage_batch b USING oldest o
            WHERE b.workspace_id = o.workspace_id AND b.batch_id = o.batch_id AND o.before < %s
            RETURNING b.*
        )
        SELECT array_agg(batch_id), min(least_at), max(greatest_at), sum(row_count) FROM claimed
        """,
        [rows_at_once],
    )
    row = cursor.fetchone()
    return None if row[0] is None else row


def sums_of(rollup: Rollup, source: str) -> str:
    """INSERT the sums of the CTE `source` into the roll-up, adding to what is there."""
    key = ", ".join(rollup.key)
    return f"""
        INSERT INTO {rollup.table} AS t ({key}, {", ".join(MEASURES)})
        SELECT {key}, {", ".join(f"sum({measure})" for measure in MEASURES)}
        FROM {source} GROUP BY {key} ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE SET
            {", ".join(f"{m} = t.{m} + EXCLUDED.{m}" for m in MEASURES)}"""


def base_of(where: str) -> str:
    """The finest sums of the log's rows that meet `where`; every roll-up is made from them."""
    dimensions = ", ".join(f"l.{column}" for column in DIMENSION_COLUMNS)
    return f"""
        SELECT l.workspace_id, {LOCAL_DAY} AS day, {LOCAL_HOUR} AS hour, {dimensions},
               {", ".join(f"sum({sql}) AS {name}" for name, sql in MEASURES.items())}
        FROM usage_requestlog l {ZONE_JOIN}
        WHERE {where}
        GROUP BY l.workspace_id, day, hour, {dimensions}"""


def into_every_rollup(where: str) -> str:
    """One statement that adds the sums of the rows that meet `where` to every roll-up."""
    inserts = ", ".join(f"into_{rollup.table} AS ({sums_of(rollup, 'base')})" for rollup in ROLLUPS)
    return f"WITH base AS MATERIALIZED ({base_of(where)}), {inserts} SELECT count(*) FROM base"


FOLD = into_every_rollup(
    "l.batch_id = ANY(%(batches)s) AND l.occurred_at BETWEEN %(least)s AND %(greatest)s"
)
