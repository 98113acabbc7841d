"""Rows that are most likely new, into the log by COPY, which is less work than any INSERT.

COPY knows no ON CONFLICT. Where a request turns out to be stored already, nothing of this is kept.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import psycopg
from django.db import connection

from usage.ingest.resolve import Row

NULL = r"\N"
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})

IS_KNOWN = """
SELECT EXISTS (
    SELECT FROM usage_requestkey WHERE (workspace_id, request_id) IN ((%s, %s), (%s, %s))
)"""

# Of each workspace one batch, which the fold takes up.
OPEN_BATCHES = """
INSERT INTO usage_batch (workspace_id, batch_id, least_at, greatest_at, row_count)
SELECT workspace_id, nextval('usage_batch_id_seq'), least_at, greatest_at, row_count
FROM unnest(%s::int[], %s::timestamptz[], %s::timestamptz[], %s::int[])
    AS b(workspace_id, least_at, greatest_at, row_count)
RETURNING workspace_id, batch_id
"""


def text(value: str) -> str:
    return value if value.isprintable() and "\\" not in value else value.translate(ESCAPES)


# How the values of a column are written where that is not by `str`.
WRITERS: dict[str, Callable[[Any], str]] = {
    "occurred_at": datetime.isoformat,
    "streamed": lambda value: "t" if value else "f",
    **dict.fromkeys(("cost", "ceiling_cost", "reported_cost"), lambda units: f"{units}e-10"),
    **dict.fromkeys(("request_id", "error_type", "service_tier"), text),
    **dict.fromkeys(("meters", "tags"), lambda value: text(json.dumps(value)) if value else NULL),
}
KEY = ("workspace_id", "request_id", "occurred_at")
LOGGED = Row._fields[: Row._fields.index("tags") + 1]


def are_known(*rows: Row) -> bool:
    """Whether any of these few is stored."""
    with connection.cursor() as cursor:
        cursor.execute(IS_KNOWN, [v for row in rows for v in (row.workspace_id, row.request_id)])
        return bool(cursor.fetchone()[0])


def copy(rows: Sequence[Row], received_at: datetime) -> None:
    """Store rows of which none is stored yet.

    Raises IntegrityError where one is, and then the caller's transaction is good for nothing more.
    """
    # In one order everywhere: two writers of the same rows would otherwise wait for each other.
    rows = sorted(rows, key=attrgetter("workspace_id", "request_id"))
    columns = dict(zip(LOGGED, zip(*rows, strict=True), strict=False))
    written = {name: written_values(name, column) for name, column in columns.items()}
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        copy_into(cursor, "usage_requestkey", {name: written[name] for name in KEY})
        batches = open_batches(cursor, columns["workspace_id"], columns["occurred_at"])
        written["batch_id"] = [batches[pk] for pk in columns["workspace_id"]]
        written["received_at"] = [received_at.isoformat()] * len(rows)
        copy_into(cursor, "usage_requestlog", written)


def written_values(name: str, values: Sequence[Any]) -> list[str] | None:
    """A column as COPY reads it; None where nothing but null is in it."""
    write = WRITERS.get(name, str)
    nulls = values.count(None)
    if nulls == len(values):
        return None
    if nulls:
        return [NULL if value is None else write(value) for value in values]
    return list(map(write, values))


def copy_into(
    cursor: psycopg.Cursor[Any], table: str, columns: Mapping[str, list[str] | None]
) -> None:
    filled = {name: column for name, column in columns.items() if column is not None}
    lines = "\n".join(map("\t".join, zip(*filled.values(), strict=True)))
    with cursor.copy(f"COPY {table} ({', '.join(filled)}) FROM STDIN") as into:
        into.write(lines.encode())


def open_batches(
    cursor: psycopg.Cursor[Any], workspace_ids: Iterable[int], moments: Iterable[datetime]
) -> dict[int, str]:
    """The ids of the batches that the rows, of each its workspace and moment, belong to."""
    times: dict[int, list[datetime]] = defaultdict(list)
    for workspace_id, moment in zip(workspace_ids, moments, strict=True):
        times[workspace_id].append(moment)
    bounds = [(pk, min(some), max(some), len(some)) for pk, some in times.items()]
    cursor.execute(OPEN_BATCHES, [list(column) for column in zip(*bounds, strict=True)])
    return {workspace_id: str(batch_id) for workspace_id, batch_id in cursor.fetchall()}
