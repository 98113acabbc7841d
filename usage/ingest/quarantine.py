"""Rows that cannot be recorded are kept, with the reason, to be corrected and sent again.

Of a source whose rows hold prompts and answers, those are left out: they are stored nowhere.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from usage.ingest import litellm
from usage.ingest.schema import RowError

# What is kept of a row, by source; of others all.
KEPT: dict[str, Callable[[bytes], bytes]] = {"litellm": litellm.without_texts}


@dataclass(frozen=True, slots=True)
class Rejected:
    index: int
    request_id: str | None
    error: RowError
    body: bytes

    def as_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "request_id": self.request_id,
            "errors": [self.error.as_dict()],
        }


# The same row sent again is counted, not kept twice; what was discarded stays discarded.
KEEP = """
INSERT INTO usage_quarantinedrow
    (account_id, received_at, source, index, request_id, errors, body, digest, times_sent, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 1, 'waiting')
ON CONFLICT (account_id, digest) DO UPDATE
    SET times_sent = usage_quarantinedrow.times_sent + 1, received_at = EXCLUDED.received_at
"""


def quarantine(
    rejected: Sequence[Rejected], *, account_id: int, source: str, received_at: datetime
) -> None:
    kept = KEPT.get(source, bytes)
    rows: list[tuple[Any, ...]] = sorted(
        (
            (
                account_id,
                received_at,
                source,
                row.index,
                (row.request_id or "").replace("\x00", "")[:200],
                Jsonb([row.error.as_dict()]),
                kept(row.body).decode("utf-8", "replace").replace("\x00", "\ufffd"),
                hashlib.sha256(row.body).hexdigest(),
            )
            for row in rejected
        ),
        key=lambda values: values[-1],  # one order for all, so that no two calls deadlock
    )
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(KEEP, rows)
