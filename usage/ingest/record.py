"""Record rows: every request once, in one statement and one commit, with all that follows from it.

What must move with the log (budget counters, holds) hooks in through `on_recorded` and runs in
the same transaction: it is committed with the rows or not at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db import connection, transaction

from usage.ingest import arrays
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
    distinct = list({(row.workspace_id, row.request_id): row for row in reversed(rows)}.values())
    distinct.reverse()
    if not distinct:
        return Recorded(0, 0)
    with transaction.atomic():
        known = _insert(distinct, received_at)
        fresh = [row for number, row in enumerate(distinct, 1) if number not in known]
        if fresh:
            for hook in on_recorded:
                hook(fresh, account_id=account_id)
    return Recorded(len(fresh), len(rows) - len(fresh))


def _insert(rows: Sequence[Row], received_at: datetime) -> set[int]:
    """Insert what is new; the numbers, from 1, of the rows that were stored before."""
    values: list[Any] = [
        encode([getattr(row, name) for row in rows]) for name, _, encode in COLUMNS
    ]
    with connection.cursor() as cursor:
        cursor.execute(RECORD, [*values, received_at])
        return {number for (number,) in cursor.fetchall()}
