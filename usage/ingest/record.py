"""Record rows: every request once, in one statement and one commit, with all that follows from it.

What must move with the log (budget counters, holds) hooks in through `on_recorded` and runs in
the same transaction: it is committed with the rows or not at all.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import psycopg
from django.db import IntegrityError, connection, transaction

from usage.ingest import arrays, copying
from usage.ingest.resolve import Row


class Hook(Protocol):
    """Called with the rows that are new, all of one account, inside the recording transaction."""

    def __call__(self, rows: Sequence[Row], *, account_id: int) -> None: ...


on_recorded: list[Hook] = []


@dataclass(frozen=True, slots=True)
class Recorded:
    accepted: int
    duplicates: int


# Column of the log, its type, how its values become an array.
COLUMNS: tuple[tuple[str, str, Callable[..., str]], ...] = (
    ("occurred_at", "timestamptz", arrays.moments),
    ("workspace_id", "int", arrays.numbers),
    ("project_id", "int", arrays.numbers),
    ("api_key_id", "int", arrays.numbers),
    ("member_id", "int", arrays.numbers),
    ("model_id", "int", arrays.numbers),
    ("requested_model_id", "int", arrays.numbers),
    ("provider_id", "int", arrays.numbers),
    ("endpoint_id", "int", arrays.numbers),
    ("input", "int", arrays.numbers),
    ("cache_read", "int", arrays.numbers),
    ("cache_write_5m", "int", arrays.numbers),
    ("cache_write_1h", "int", arrays.numbers),
    ("output", "int", arrays.numbers),
    ("reasoning", "int", arrays.numbers),
    ("latency_ms", "int", arrays.numbers),
    ("time_to_first_token_ms", "int", arrays.numbers),
    ("status", "smallint", arrays.numbers),
    ("streamed", "boolean", arrays.booleans),
    ("cost", "bigint", arrays.numbers),
    ("ceiling_cost", "bigint", arrays.numbers),
    ("reported_cost", "bigint", arrays.numbers),
    ("request_id", "text", arrays.texts),
    ("error_type", "text", arrays.texts),
    ("service_tier", "text", arrays.texts),
    ("meters", "jsonb", arrays.objects),
    ("tags", "jsonb", arrays.objects),
)
NAMES = [name for name, _, _ in COLUMNS]
MONEY = {"cost", "ceiling_cost", "reported_cost"}
assert tuple(NAMES) == Row._fields[: len(NAMES)]  # noqa: S101 (columns are cut out of rows)

FEW = 20  # rows

# Keys are inserted in order: two calls that re-send the same rows in different orders would
# otherwise wait for each other. `row_number` numbers the posted rows from 1.
RECORD = f"""
WITH posted AS (
    SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for _, kind, _ in COLUMNS)})
    WITH ORDINALITY AS p({", ".join(NAMES)}, row_number)
), fresh AS (
    INSERT INTO usage_requestkey (workspace_id, request_id, occurred_at)
    SELECT workspace_id, request_id, occurred_at FROM posted ORDER BY workspace_id, request_id
    ON CONFLICT DO NOTHING
    RETURNING workspace_id, request_id
), batches AS (
    SELECT workspace_id, nextval('usage_batch_id_seq') AS batch_id
    FROM (SELECT DISTINCT workspace_id FROM fresh) w
), stored AS (
    INSERT INTO usage_requestlog (received_at, batch_id, {", ".join(NAMES)})
    SELECT %s, batch_id, {", ".join(f"{n} * 0.0000000001" if n in MONEY else n for n in NAMES)}
    FROM posted JOIN fresh USING (workspace_id, request_id) JOIN batches USING (workspace_id)
    RETURNING workspace_id, batch_id, occurred_at
), ledger AS (
    INSERT INTO usage_batch (workspace_id, batch_id, least_at, greatest_at, row_count)
    SELECT workspace_id, batch_id, min(occurred_at), max(occurred_at), count(*)
    FROM stored GROUP BY workspace_id, batch_id
)
SELECT row_number FROM posted LEFT JOIN fresh f USING (workspace_id, request_id)
WHERE f.request_id IS NULL
"""


def record(rows: Sequence[Row], *, account_id: int, received_at: datetime) -> Recorded:
    """Store an account's rows that are not stored yet and call the hooks with them.

    Of rows with the same workspace and request id the first counts. Everything is durable when
    this returns, or, where it raises, nothing was stored.
    """
    return record_together([rows], account_id=account_id, received_at=received_at)[0]


def record_together(
    calls: Sequence[Sequence[Row]], *, account_id: int, received_at: datetime
) -> list[Recorded]:
    """`record` for the rows of several calls in one commit; what each call added."""
    callers: list[int] = []
    distinct: dict[tuple[int, str], Row] = {}
    for caller, rows in enumerate(calls):
        for row in rows:
            key = (row.workspace_id, row.request_id)
            if key not in distinct:
                distinct[key] = row
                callers.append(caller)
    known = _store(list(distinct.values()), account_id, received_at) if distinct else set()
    accepted = Counter(caller for number, caller in enumerate(callers, 1) if number not in known)
    return [
        Recorded(accepted[caller], len(rows) - accepted[caller])
        for caller, rows in enumerate(calls)
    ]


def _store(rows: Sequence[Row], account_id: int, received_at: datetime) -> set[int]:
    """Insert what is new and call the hooks; the numbers, from 1, of the rows stored before."""
    with transaction.atomic(savepoint=False):
        known = _insert(rows, received_at)
        fresh = [row for number, row in enumerate(rows, 1) if number not in known]
        if fresh:
            for hook in on_recorded:
                hook(fresh, account_id=account_id)
    return known


def _insert(rows: Sequence[Row], received_at: datetime) -> set[int]:
    # What is sent again is mostly sent again whole, from its first row to its last.
    if len(rows) > FEW and not copying.are_known(rows[0], rows[-1]):
        with contextlib.suppress(IntegrityError), transaction.atomic():
            copying.copy(rows, received_at)
            return set()
    return _insert_unknown(rows, received_at)


def _insert_unknown(rows: Sequence[Row], received_at: datetime) -> set[int]:
    # What a row has past its columns is for the hooks.
    cut = zip(COLUMNS, zip(*rows, strict=True), strict=False)
    values: list[Any] = [encode(column) for (_, _, encode), column in cut]
    connection.ensure_connection()
    # The values travel beside the statement, not inside it, and the plan of a small one is kept.
    # Of a large one it is not: what suits ten rows takes for ever on ten thousand.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(RECORD, [*values, received_at], prepare=len(rows) <= FEW)
        return {number for (number,) in cursor.fetchall()}
