"""A row that was set aside, corrected and sent again."""

from datetime import datetime

from django.db import transaction

from usage.ingest.receive import read
from usage.ingest.record import record
from usage.ingest.resolve import resolver
from usage.ingest.sources import SOURCES
from usage.models import QuarantinedRow


class CannotBeSentAgain(Exception):
    """The row's source has no single rows to send, or it is no longer waiting."""


def send_again(row: QuarantinedRow, *, now: datetime) -> list[dict[str, str]]:
    """Record the row as it stands now; what is still wrong with it, or nothing.

    Not to be called inside a transaction: names that it creates must be committed at once. A row
    without a time of its own belongs to the moment when it was first received.
    """
    source = SOURCES.get(row.source)
    if source is None:
        raise CannotBeSentAgain(f"Rows from {row.source} cannot be sent again from here.")
    resolve = resolver(row.account, row.token, now=row.received_at)
    rows, rejected = read([row.body.encode()], decode=source.decode, resolve=resolve)
    if rejected:
        errors = [found.error.as_dict() for found in rejected]
        QuarantinedRow.objects.filter(pk=row.pk).update(errors=errors)
        return errors
    with transaction.atomic():
        waiting = QuarantinedRow.objects.filter(pk=row.pk, state=QuarantinedRow.State.WAITING)
        if waiting.update(state=QuarantinedRow.State.RECORDED) != 1:
            raise CannotBeSentAgain("This row is no longer waiting.")
        record(rows, account_id=row.account_id, received_at=now)
    return []
