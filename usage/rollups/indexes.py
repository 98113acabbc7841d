"""The indexes of roll-ups, made anew where folding left them half empty.

A day's rows come between those of other workspaces, in the middle of an index: pages split there
and are never filled again. Measured over ten million requests the indexes were twice as large as
they need be.
"""

import time
from collections.abc import Iterator
from typing import Any

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

from usage.rollups.tables import HISTOGRAMS, ROLLUPS

LOOSE = 1.5  # times the size that it would have when made anew
LEAST_BYTES = 4 * 1024 * 1024
TIGHTEN_LOCK = 7_100_005
LONGEST_WAIT = "20s"  # for the transactions of others
ENOUGH_SECONDS = 60.0  # after which the rest is left for the next day

# What an entry takes (header, key columns of fixed length, pointer) in pages that are 90 % full:
# https://www.postgresql.org/docs/current/btree.html#BTREE-STRUCTURE
LOOSE_INDEXES = """
SELECT i.oid::regclass::text
FROM pg_class r
    CROSS JOIN LATERAL (SELECT coalesce(t.relid, r.oid) AS oid FROM (SELECT) one
        LEFT JOIN pg_partition_tree(r.oid) t ON t.isleaf) leaf
    JOIN pg_index x ON x.indrelid = leaf.oid AND x.indisvalid
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class c ON c.oid = leaf.oid
    CROSS JOIN LATERAL (
        SELECT (sum(a.attlen) + 7)::bigint / 8 * 8 + 8 + 4 AS bytes
        FROM pg_attribute a WHERE a.attrelid = i.oid) entry
WHERE r.oid = ANY(%(tables)s::text[]::regclass[])
    AND pg_relation_size(i.oid) > greatest(
        %(least)s, %(loose)s * greatest(c.reltuples, 0) * entry.bytes / 0.9)
ORDER BY pg_relation_size(i.oid) DESC
"""

# An attempt that was broken off leaves an index that nothing reads and every write keeps up.
BROKEN_OFF = """
SELECT i.oid::regclass::text
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
WHERE NOT x.indisvalid AND i.relname ~ '_cc(new|old)[0-9]*$' AND c.relname ~ '^usage_(day|hour)'
"""


def tighten(*, least_bytes: int = LEAST_BYTES) -> list[str]:
    """Make the loose ones anew, the largest first, and tell which. Nobody waits for it: requests
    are folded and reports answered meanwhile. Not inside a transaction.

    Where it would have to wait long for somebody's transaction, or another does the same already,
    the rest is left for the next day.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [TIGHTEN_LOCK])
        if not cursor.fetchone()[0]:
            return []
        try:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LONGEST_WAIT])
            return list(tightened(cursor, least_bytes))
        finally:
            cursor.execute("RESET lock_timeout")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [TIGHTEN_LOCK])


def tightened(cursor: Any, least_bytes: int) -> Iterator[str]:
    end_at = time.monotonic() + ENOUGH_SECONDS
    try:
        for index in names(BROKEN_OFF, {}):
            cursor.execute(f"DROP INDEX CONCURRENTLY {index}")
        for index in names(LOOSE_INDEXES, parameters(least_bytes)):
            if time.monotonic() > end_at:
                return
            cursor.execute(f"REINDEX INDEX CONCURRENTLY {index}")
            yield index
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise


def parameters(least_bytes: int) -> dict[str, Any]:
    tables = [table.table for table in (*ROLLUPS, *HISTOGRAMS)]
    return {"tables": tables, "least": least_bytes, "loose": LOOSE}


def names(sql: str, parameters: dict[str, Any]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [name for (name,) in cursor.fetchall()]
