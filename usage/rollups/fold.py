"""Fold recorded batches into the roll-ups, each exactly once, whatever dies in between.

One transaction takes batches off the ledger and adds their sums to every roll-up: either all of
it is seen or none. A report that runs meanwhile sees the batch in the ledger or in the roll-ups,
never in both, because it is one statement.
"""

from collections.abc import Sequence

from django.db import connection, transaction

from usage.rollups.tables import (
    DIMENSION_COLUMNS,
    DURATIONS,
    HISTOGRAMS,
    MEASURES,
    ROLLUPS,
    ZONE_JOIN,
    Histogram,
    Rollup,
    bucket_of,
)

# Folding and rebuilding touch the same sums: one at a time.
ROLLUP_LOCK = 7_100_001
# Whoever is not behind folds what there is, twice a second. Behind, large steps are cheaper: most
# rows of a step add to the same sums.
ROWS_AT_ONCE = 100_000
WORK_MEM = "64MB"


def fold(*, rows_at_once: int = ROWS_AT_ONCE) -> int:
    """Fold the oldest batches, up to about `rows_at_once` requests; how many were folded.

    Returns 0 at once where another process is folding.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Sums of so many rows fit into memory, which the server's default does not give them.
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s), set_config('work_mem', %s, true)",
            [ROLLUP_LOCK, WORK_MEM],
        )
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
            FROM (SELECT * FROM usage_batch ORDER BY batch_id LIMIT %s) b
        ), claimed AS (
            DELETE FROM usage_batch b USING oldest o
            WHERE b.workspace_id = o.workspace_id AND b.batch_id = o.batch_id AND o.before < %s
            RETURNING b.*
        )
        SELECT array_agg(batch_id), min(least_at), max(greatest_at), sum(row_count) FROM claimed
        """,
        [rows_at_once, rows_at_once],
    )
    row = cursor.fetchone()
    return None if row[0] is None else row


def into_every_rollup(where: str, *, times: int = 1) -> str:
    """One statement that adds the log's rows that meet `where` to every roll-up and histogram.

    It answers with how many rows they are; `times=-1` takes them out again. Sums of days are made
    from the sums over all dimensions, which are far fewer than the rows, and histograms from the
    finest.
    """
    inserts = {r.table: insert_sums(r, times) for r in ROLLUPS}
    inserts |= {h.table: insert_counts(h, times) for h in HISTOGRAMS}
    everything = ("workspace_id", "day", *DIMENSION_COLUMNS)
    return f"""
        WITH rows AS MATERIALIZED ({measured(where)}),
        days AS MATERIALIZED ({sums_of(everything, source="rows")}),
        counts AS MATERIALIZED ({counts_of(HISTOGRAMS[-1], source="rows")}),
        {", ".join(f"into_{table} AS ({sql})" for table, sql in inserts.items())}
        SELECT count(*) FROM rows"""


def base_of(where: str) -> str:
    """The finest sums of the log's rows that meet `where`; every roll-up is made of them."""
    everything = ("workspace_id", "day", "hour", *DIMENSION_COLUMNS)
    return sums_of(everything, source=f"({measured(where)}) rows")


def measured(where: str) -> str:
    """What each row adds to the measures, and its local time: looking up the zone is what costs."""
    dimensions = ", ".join(f"l.{column}" for column in ("workspace_id", *DIMENSION_COLUMNS))
    return f"""
        SELECT l.occurred_at, l.occurred_at AT TIME ZONE z.time_zone AS local, {dimensions},
               {", ".join(f"{sql} AS {name}" for name, sql in MEASURES.items())}
        FROM usage_requestlog l {ZONE_JOIN}
        WHERE {where}"""


# Of a row of `measured`. An hour that the clock shows twice is two hours, as in LOCAL_HOUR.
LOCAL = {
    "day": "local::date AS day",
    "hour": "occurred_at - (local - date_trunc('hour', local)) AS hour",
}


def sums_of(key: Sequence[str], *, source: str) -> str:
    """Sums of all measures over `days`, or over rows as `measured` gives them."""
    names = key if source == "days" else [LOCAL.get(name, name) for name in key]
    return f"""
        SELECT {", ".join(names)}, {", ".join(f"sum({name}) AS {name}" for name in MEASURES)}
        FROM {source} GROUP BY {", ".join(key)}"""


def counts_of(histogram: Histogram, *, source: str) -> str:
    """The histogram of rows as `measured` gives them."""
    names = [LOCAL.get(name, name) for name in histogram.key if name != "bucket"]
    return f"""
        SELECT {", ".join(names)}, {bucket_of("d.milliseconds")} AS bucket,
               {", ".join(f"sum(d.{name}) AS {name}" for name in DURATIONS.values())}
        FROM {source} CROSS JOIN LATERAL (
            VALUES (latency_ms, latency_count, 0), (first_token_ms, 0, first_token_count)
        ) AS d(milliseconds, {", ".join(DURATIONS.values())})
        WHERE {" OR ".join(f"d.{name} > 0" for name in DURATIONS.values())}
        GROUP BY {", ".join(histogram.key)}"""


def insert_sums(rollup: Rollup, times: int) -> str:
    if rollup.dimensions == DIMENSION_COLUMNS:
        return insert(rollup, tuple(MEASURES), "SELECT * FROM days", times)
    source = "days" if rollup.grain == "day" else "rows"
    return insert(rollup, tuple(MEASURES), sums_of(rollup.key, source=source), times)


def insert_counts(histogram: Histogram, times: int) -> str:
    key, measures = ", ".join(histogram.key), tuple(DURATIONS.values())
    sums = ", ".join(f"sum({name}) AS {name}" for name in measures)
    select = f"SELECT {key}, {sums} FROM counts GROUP BY {key}"
    return insert(histogram, measures, select, times)


def insert(rollup: Rollup, measures: Sequence[str], select: str, times: int) -> str:
    """INSERT what `select` gives into the table, so many times, adding to what is there.

    In the order of the key, so that new rows and index entries lie beside each other.
    """
    key = ", ".join(rollup.key)
    figures = ", ".join(m if times == 1 else f"{times} * {m}" for m in measures)
    return f"""
        INSERT INTO {rollup.table} AS t ({key}, {", ".join(measures)})
        SELECT {key}, {figures} FROM ({select}) s ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE SET
            {", ".join(f"{m} = t.{m} + EXCLUDED.{m}" for m in measures)}"""


FOLD = into_every_rollup(
    "l.batch_id = ANY(%(batches)s) AND l.occurred_at BETWEEN %(least)s AND %(greatest)s"
)
