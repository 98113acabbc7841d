"""Rows that cannot be recorded are kept, with the reason, to be corrected and sent again.

Of a source whose rows hold prompts and answers, those are left out: they are stored nowhere.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection
from psycopg.types.json import Jsonb

from accounts.access import narrowed_to
from accounts.directory import safe_identifier
from accounts.models import AccessToken
from usage.ingest import litellm
from usage.ingest.schema import UNDECODABLE, RowError

# What is kept of a row, by source; of others all.


def without_secrets(body: bytes) -> bytes:
    """A native row whose API key, should it be a secret itself, is replaced by its SHA-256."""
    try:
        row = msgspec.json.decode(body)
    except UNDECODABLE:
        return body
    key = row.get("api_key") if isinstance(row, dict) else None
    if not isinstance(key, str) or safe_identifier(key) == key:
        return body
    return msgspec.json.encode(row | {"api_key": safe_identifier(key)})


KEPT: dict[str, Callable[[bytes], bytes]] = {
    "litellm": litellm.without_texts,
    "native": without_secrets,
    "otlp": without_secrets,
}


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


Values = tuple[Any, ...]  # of a row of the quarantine, its digest last

# The same row sent again is counted, not kept twice; what was discarded stays discarded.
KEEP = """
INSERT INTO usage_quarantinedrow
    (account_id, token_id, received_at, source, index, request_id, errors, body, digest,
     times_sent, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 1, 'waiting')
ON CONFLICT (account_id, digest) DO UPDATE
    SET times_sent = usage_quarantinedrow.times_sent + 1, received_at = EXCLUDED.received_at
"""


def values_of(
    rejected: Sequence[Rejected],
    *,
    account_id: int,
    token: AccessToken | None,
    source: str,
    received_at: datetime,
) -> list[Values]:
    """What is kept of one call's bad rows. Sent again they go where the call's token may go."""
    kept = KEPT.get(source, bytes)
    # The same row of callers with other workspaces is another row.
    narrowed = sorted(narrowed_to(token)) if token else []
    place = str(narrowed).encode() if narrowed else b""
    return [
        (
            account_id,
            token.pk if token else None,
            received_at,
            source,
            row.index,
            (row.request_id or "").replace("\x00", "")[:200],
            Jsonb([row.error.as_dict()]),
            kept(row.body).decode("utf-8", "replace").replace("\x00", "\ufffd"),
            hashlib.sha256(place + row.body).hexdigest(),
        )
        for row in rejected
    ]


def keep(rows: Sequence[Values]) -> None:
    """Set aside all bad rows of a transaction, in one order for all, so that no two deadlock."""
    ordered: list[Values] = sorted(rows, key=lambda values: values[-1])
    if ordered:
        with connection.cursor() as cursor:
            cursor.executemany(KEEP, ordered)
