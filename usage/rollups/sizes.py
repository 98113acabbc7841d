"""How large the roll-ups have become: which of two is smaller is the data's doing."""

import time
from collections.abc import Mapping

from django.db import connection

from usage.rollups.tables import HISTOGRAMS, ROLLUPS

KEPT_SECONDS = 60

SIZES = """
SELECT r.relname, div(sum(pg_relation_size(coalesce(t.relid, r.oid))), 1024 * 1024)
FROM pg_class r LEFT JOIN pg_partition_tree(r.oid) t ON t.isleaf
WHERE r.oid = ANY(%s::text[]::regclass[])
GROUP BY r.relname
"""

_known: tuple[float, Mapping[str, int]] = (0.0, {})


def megabytes() -> Mapping[str, int]:
    """Of each roll-up and histogram, in whole ones, as they were within the last minute."""
    global _known  # noqa: PLW0603
    known_at, sizes = _known
    if not sizes or time.monotonic() - known_at > KEPT_SECONDS:
        sizes = measured()
        _known = (time.monotonic(), sizes)
    return sizes


def measured() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(SIZES, [[table.table for table in (*ROLLUPS, *HISTOGRAMS)]])
        return {name: int(size) for name, size in cursor.fetchall()}
