"""One call of a gateway, from rows of JSON to what is answered: recorded, known, or set aside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.db import InterfaceError, OperationalError, transaction

from accounts.models import AccessToken, Account
from usage.coalescing import Coalescer
from usage.ingest.quarantine import Rejected, Values, as_far_as_there_is_room, keep, values_of
from usage.ingest.record import Recorded, record_together
from usage.ingest.resolve import Resolver, Row, resolver
from usage.ingest.schema import UNDECODABLE, RowError, decode_with
from usage.ingest.sources import SOURCES, Decode
from usage.tally import counter

ANYTHING = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Received:
    accepted: int
    duplicates: int
    rejected: list[Rejected]

    def as_dict(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "rejected": [row.as_dict() for row in self.rejected],
        }


ACCEPTED, DUPLICATES, REJECTED, NOT_KEPT = (
    counter("rows", outcome=outcome)
    for outcome in ("accepted", "duplicate", "rejected", "not_kept")
)


def receive(
    raw_rows: Sequence[bytes | msgspec.Raw],
    *,
    source: str,
    account: Account,
    token: AccessToken | None,
    now: datetime,
) -> Received:
    """Record what can be recorded and quarantine the rest, in one commit."""
    resolve = resolver(account, token, now=now)
    rows, rejected = read(raw_rows, decode=SOURCES[source].decode, resolve=resolve)
    rejected = as_far_as_there_is_room(rejected, account_id=account.pk, token=token)
    recorded = commit(account.pk, Call(rows, rejected, source, token, now))
    ACCEPTED.add(recorded.accepted)
    DUPLICATES.add(recorded.duplicates)
    REJECTED.add(len(rejected))
    NOT_KEPT.add(sum(not row.kept for row in rejected))
    return Received(recorded.accepted, recorded.duplicates, rejected)


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be stored of one call."""

    rows: list[Row]
    rejected: list[Rejected]
    source: str
    token: AccessToken | None
    received_at: datetime

    def set_aside(self, account_id: int) -> list[Values]:
        return values_of(
            self.rejected,
            account_id=account_id,
            token=self.token,
            source=self.source,
            received_at=self.received_at,
        )


def store(account_id: int, calls: Sequence[Call]) -> list[Recorded]:
    """Store all of several calls of one account, in one commit; what each of them added."""
    with transaction.atomic():
        recorded = record_together(
            [call.rows for call in calls], account_id=account_id, received_at=calls[-1].received_at
        )
        keep([values for call in calls for values in call.set_aside(account_id)])
    return recorded


# Past so many rows a larger transaction gains nothing and only makes its callers wait.
commit: Coalescer[int, Call, Recorded] = Coalescer(
    store,
    weight=lambda call: len(call.rows) + len(call.rejected),
    most=4000,
    is_everybodys=lambda error: isinstance(error, OperationalError | InterfaceError),
)


def read(
    raw_rows: Sequence[bytes | msgspec.Raw], *, decode: Decode, resolve: Resolver
) -> tuple[list[Row], list[Rejected]]:
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for index, raw in enumerate(raw_rows):
        try:
            rows.append(resolve.row(decode_with(decode, raw)))
        except RowError as error:
            rejected.append(Rejected(index, request_id_of(raw), error, bytes(raw)))
    return rows, rejected


def request_id_of(raw: bytes | msgspec.Raw) -> str | None:
    """The request id of a row that could not be recorded, where it has a readable one."""
    try:
        value = ANYTHING.decode(raw)
    except UNDECODABLE:
        return None
    request_id = value.get("request_id") or value.get("id") if isinstance(value, dict) else None
    return request_id[:200] if isinstance(request_id, str) else None
