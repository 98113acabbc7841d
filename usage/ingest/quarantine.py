"""Rows that cannot be recorded are kept, with the reason, to be corrected and sent again.

Of a source whose rows hold prompts and answers, those are left out: they are stored nowhere. An
emitter that sends nothing else fills no disk: of an account only so many rows wait, each of them is
kept up to a size, and none for ever. Whoever sends more is told that it was not kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from psycopg.types.json import Jsonb

from accounts.access import narrowed_to
from accounts.models import AccessToken
from usage.ingest.schema import RowError
from usage.ingest.sources import SOURCES
from usage.models import QuarantinedRow

# Of an account, waiting for somebody to look at them.
MOST_WAITING = 10_000
LONGEST_KEPT = 256 * 1024  # characters of a row
# As long as single requests are kept at most: afterwards they could not be recorded any more.
KEPT_DAYS = 90
DECIDED_KEPT_DAYS = 30  # recorded or discarded
FORGOTTEN_AT_ONCE = 2000

NOT_KEPT = (
    f"This row was not kept: {MOST_WAITING:,} of the account wait in the quarantine. Correct or "
    "discard those, and send it again."
)


@dataclass(frozen=True, slots=True)
class Rejected:
    index: int
    request_id: str | None
    error: RowError
    body: bytes
    kept: bool = True

    def as_dict(self) -> dict[str, Any]:
        """`field` of what is about no field is the row itself."""
        errors = [self.error.as_dict()]
        if not self.kept:
            errors.append(RowError("", NOT_KEPT).as_dict())
        return {"index": self.index, "request_id": self.request_id, "errors": errors}


DECIDED = [QuarantinedRow.State.RECORDED, QuarantinedRow.State.DISCARDED]

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
    kept = SOURCES[source].kept
    return [
        (
            account_id,
            token.pk if token else None,
            received_at,
            source,
            row.index,
            (row.request_id or "").replace("\x00", "")[:200],
            Jsonb([row.error.as_dict()]),
            kept(row.body).decode("utf-8", "replace").replace("\x00", "\ufffd")[:LONGEST_KEPT],
            digest,
        )
        for row, digest in zip(rejected, digests(rejected, token), strict=True)
        if row.kept
    ]


def digests(rejected: Sequence[Rejected], token: AccessToken | None) -> list[str]:
    """The same row of callers with other workspaces is another row."""
    narrowed = sorted(narrowed_to(token)) if token else []
    place = str(narrowed).encode() if narrowed else b""
    return [hashlib.sha256(place + row.body).hexdigest() for row in rejected]


def as_far_as_there_is_room(
    rejected: list[Rejected], *, account_id: int, token: AccessToken | None
) -> list[Rejected]:
    """The same rows; those beyond what may wait, and not known yet, are marked as not kept."""
    room = MOST_WAITING - waiting(account_id) if rejected else 0
    if len(rejected) <= room or not rejected:
        return rejected
    own = digests(rejected, token)
    rows = QuarantinedRow.objects.filter(account=account_id, digest__in=own)
    known = set(rows.values_list("digest", flat=True))
    new = [digest for digest in dict.fromkeys(own) if digest not in known]
    kept = known.union(new[: max(room, 0)])
    return [
        row if digest in kept else replace(row, kept=False)
        for row, digest in zip(rejected, own, strict=True)
    ]


def waiting(account_id: int) -> int:
    """Counted only as far as it matters."""
    rows = QuarantinedRow.objects.filter(account=account_id, state=QuarantinedRow.State.WAITING)
    return rows.order_by()[:MOST_WAITING].count()


def forget(*, now: datetime) -> int:
    """Delete rows that are past their time, in steps of one short transaction each; how many."""
    total = 0
    for before, states in (
        (now - timedelta(days=DECIDED_KEPT_DAYS), DECIDED),
        (now - timedelta(days=KEPT_DAYS), [QuarantinedRow.State.WAITING]),
    ):
        old = QuarantinedRow.objects.filter(received_at__lt=before, state__in=states)
        while number := forget_some(old):
            total += number
    return total


def forget_some(old: QuerySet[QuarantinedRow]) -> int:
    chosen = old.order_by("pk").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]
    number, _ = QuarantinedRow.objects.filter(pk__in=list(chosen)).delete()
    return number


def keep(rows: Sequence[Values]) -> None:
    """Set aside all bad rows of a transaction, in one order for all, so that no two deadlock."""
    ordered: list[Values] = sorted(rows, key=lambda values: values[-1])
    if ordered:
        with connection.cursor() as cursor:
            cursor.executemany(KEEP, ordered)
