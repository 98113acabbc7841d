"""Bring an archived day back into the log, as it was. The roll-ups have it already."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import F, QuerySet

from accounts.models import Account
from exports import parquet
from exports.archive import counted_of, digest_of, fetched
from exports.archive_models import ArchiveFile
from exports.places import Place, PlaceError
from usage import partitions
from usage.models import GoneDay
from usage.rollups.fold import ROLLUP_LOCK

KEPT_DAYS = 14

State = ArchiveFile.State


class CannotRestore(Exception):
    """Why not, in words for whoever asked."""


@dataclass(frozen=True, slots=True)
class Restored:
    """How many requests came back; those that were recorded again meanwhile stay as they are."""

    rows: int
    already_there: int


def restore_day(
    account: Account, day: date, place: Place, *, now: datetime, kept_days: int = KEPT_DAYS
) -> Restored:
    """Every archived file of the day. Raises CannotRestore, PlaceError."""
    files = ArchiveFile.objects.filter(account=account, day=day).select_related("account")
    archived = list(files.filter(state=State.ARCHIVED).order_by("part"))
    if not archived:
        raise CannotRestore(why_not(files, account, day))
    kept_until = now + timedelta(days=kept_days)
    done = [restore(file, place, now=now, kept_until=kept_until) for file in archived]
    return Restored(sum(d.rows for d in done), sum(d.already_there for d in done))


def why_not(files: QuerySet[ArchiveFile], account: Account, day: date) -> str:
    restored = files.filter(state=State.RESTORED).first()
    if restored is not None and restored.kept_until is not None:
        return f"{day} is back already, until {restored.kept_until:%Y-%m-%d %H:%M} UTC."
    return f"The archive has nothing of {account.slug} on {day}."


def restore(file: ArchiveFile, place: Place, *, now: datetime, kept_until: datetime) -> Restored:
    with fetched(file.key, place) as path:
        if digest_of(path)[0] != file.sha256:
            raise PlaceError(f"{file.key} is not what was archived: its SHA-256 differs.")
        partitions.make_between(file.start_at.date(), file.end_at.date())
        with transaction.atomic():
            claim(file, now=now, kept_until=kept_until)
            load(path)
            check(file)
            rows = put_back(file)
    return Restored(rows, file.rows - rows)


def claim(file: ArchiveFile, *, now: datetime, kept_until: datetime) -> None:
    """In the order in which retention takes them: nobody cuts days anew or rebuilds meanwhile."""
    mine = ArchiveFile.objects.filter(pk=file.pk, state=State.ARCHIVED)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM accounts_account WHERE id = %s FOR SHARE", [file.account_id])
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
    if mine.update(state=State.RESTORED, restored_at=now, kept_until=kept_until) != 1:
        raise CannotRestore(f"{file} is being restored by somebody else.")


def load(path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE restored (LIKE usage_requestlog) ON COMMIT DROP")
        columns = ", ".join(parquet.COLUMNS)
        with cursor.copy(f"COPY restored ({columns}) FROM STDIN (FORMAT csv)") as copy:
            for piece in parquet.stored_rows(path):
                copy.write(piece)


def check(file: ArchiveFile) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), coalesce(sum(cost), 0) FROM restored")
        found = cursor.fetchone()
    if found != (file.rows, counted_of(file).totals["cost"]):
        raise PlaceError(f"{file.key} has other sums than when it was archived.")


PUT_BACK = """
WITH fresh AS (
    INSERT INTO usage_requestkey (workspace_id, request_id, occurred_at)
    SELECT workspace_id, request_id, occurred_at FROM restored ORDER BY workspace_id, request_id
    ON CONFLICT DO NOTHING
    RETURNING workspace_id, request_id
), back AS (
    INSERT INTO usage_requestlog SELECT r.* FROM restored r JOIN fresh USING (workspace_id, request_id)
    RETURNING workspace_id
)
SELECT workspace_id, count(*) FROM back GROUP BY workspace_id
"""  # noqa: E501


def put_back(file: ArchiveFile) -> int:
    with connection.cursor() as cursor:
        cursor.execute(PUT_BACK)
        counts = dict(cursor.fetchall())
        cursor.execute("DROP TABLE restored")
    for workspace_id, rows in counts.items():
        gone = GoneDay.objects.filter(workspace=workspace_id, day=file.day)
        gone.filter(requests__lte=rows).delete()
        gone.update(requests=F("requests") - rows)
    return sum(counts.values())


def restored_days(account: Account, *, now: datetime) -> set[date]:
    """Those that stay in the log for now, although they are past their retention."""
    back = ArchiveFile.objects.filter(account=account, state=State.RESTORED, kept_until__gt=now)
    return set(back.values_list("day", flat=True))
