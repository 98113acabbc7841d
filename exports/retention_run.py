"""Once an hour: archive what is past its retention, and remove what is archived.

Without an archive the operator has chosen: everything is kept, or what expired is deleted.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from itertools import groupby

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Account
from exports import archive, restore
from exports.archive import counted_of, expired_of, still_cut_so
from exports.archive_models import ArchiveFile, RetentionRun
from exports.places import Place, PlaceError, place_of
from usage import retention
from usage.retention import Busy, CannotRemove, Changed, Counted, Expired, NotFolded, Removed
from usage.rollups.fold import fold_all

RETENTION_LOCK = 7_160_001
KEEP, DELETE, ARCHIVE = "keep", "delete", "archive"
# A day that changes again and again is left for the next run.
ROUNDS = 3
TRIES, PAUSE_SECONDS = 10, 1.0
KEPT_RUNS = 500

# Called in the transaction that removes.
Afterwards = Callable[[], None] | None

State = ArchiveFile.State


def mode() -> str:
    return ARCHIVE if settings.ARCHIVE_URL else settings.RETENTION_WITHOUT_ARCHIVE or KEEP


def is_chosen() -> bool:
    """Whether the operator said what is to happen; until then everything is kept."""
    return bool(settings.ARCHIVE_URL or settings.RETENTION_WITHOUT_ARCHIVE)


def archive_place() -> Place | None:
    return place_of(settings.ARCHIVE_URL) if settings.ARCHIVE_URL else None


def run(*, now: datetime) -> RetentionRun | None:
    """Do what is due. None where another worker is at it, or everything is kept."""
    if mode() == KEEP:
        return None
    with alone() as is_ours:
        if not is_ours:
            return None
        made = RetentionRun.objects.create(started_at=now, mode=mode())
        try:
            Work(made, archive_place()).do(now=now)
        except (PlaceError, CannotRemove) as error:
            made.error = str(error)
        except Exception as error:
            made.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            made.finished_at = timezone.now()
            made.save()
            forget_old_runs()
        return made


@contextlib.contextmanager
def alone() -> Iterator[bool]:
    """Whether nobody else is at it; nobody else will be until the block, or its session, ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [RETENTION_LOCK])
        (is_ours,) = cursor.fetchone()
    try:
        yield is_ours
    finally:
        if is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [RETENTION_LOCK])


class Work:
    """A run: without a place, what expired is deleted."""

    def __init__(self, run: RetentionRun, place: Place | None) -> None:
        self.run, self.place = run, place

    def do(self, *, now: datetime) -> None:
        for _ in range(ROUNDS):
            self.go_on(now=now)
            due = days_due(now=now)
            for _, group in groupby(due, key=lambda expired: expired.day):
                self.one_day(list(group), now=now)
            if not due:
                break
        self.run.days_waiting = len(days_due(now=now))
        self.run.partitions_dropped += len(retention.drop_empty_partitions(now=now))

    def go_on(self, *, now: datetime) -> None:
        """With what an earlier run verified and did not remove."""
        found = ArchiveFile.objects.filter(state=State.VERIFIED).select_related("account")
        for _, group in groupby(found.order_by("day", "account"), key=lambda file: file.day):
            self.remove_archived(list(group), now=now)

    def one_day(self, due: Sequence[Expired], *, now: datetime) -> None:
        if self.place is None:
            self.remove(due, None)
            return
        files = []
        for expired in due:
            if not retention.is_folded(expired):
                fold_all()
            files.append(archive.archive(expired, self.place, now=now))
            self.run.rows_archived += files[-1].rows
        self.remove_archived(files, now=now)

    def remove_archived(self, files: list[ArchiveFile], *, now: datetime) -> None:
        """All of them in one transaction where that drops a partition, else one by one."""
        moved = [file.pk for file in files if not still_cut_so(file)]
        ArchiveFile.objects.filter(pk__in=moved).update(state=State.STALE)
        files = [file for file in files if file.pk not in moved]
        if not files:
            return
        together = retention.drops_something([expired_of(file) for file in files])
        for group in [files] if together else [[file] for file in files]:
            try:
                self.remove_files(group, now=now)
            except Changed as changed:
                stale = ArchiveFile.objects.filter(
                    account=changed.expired.account, day=changed.expired.day
                )
                stale.filter(state=State.VERIFIED).update(state=State.STALE)

    def remove_files(self, files: Sequence[ArchiveFile], *, now: datetime) -> None:
        """Removed and written down as archived in one transaction."""
        mine = ArchiveFile.objects.filter(pk__in=[file.pk for file in files])

        def archived() -> None:
            for file in files:
                same = ArchiveFile.objects.filter(account=file.account_id, day=file.day)
                same.filter(state=State.RESTORED).update(state=State.SUPERSEDED)
            mine.update(state=State.ARCHIVED, removed_at=now)

        self.remove(
            [expired_of(file) for file in files],
            [counted_of(file) for file in files],
            afterwards=archived,
        )

    def remove(
        self,
        expired: Sequence[Expired],
        counted: Sequence[Counted] | None,
        afterwards: Afterwards = None,
    ) -> None:
        removed = patiently(expired, counted, afterwards)
        self.run.rows_removed += removed.rows
        self.run.partitions_dropped += len(removed.dropped)


def patiently(
    expired: Sequence[Expired], counted: Sequence[Counted] | None, afterwards: Afterwards
) -> Removed:
    """Try again where somebody is in the way. Raises CannotRemove."""
    for tries_left in reversed(range(TRIES)):
        try:
            with transaction.atomic():
                removed = retention.remove(expired, counted)
                if afterwards is not None:
                    afterwards()
                return removed
        except NotFolded:
            if not tries_left:
                raise
            fold_all()
        except Busy:
            if not tries_left:
                raise
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


def days_due(*, now: datetime) -> list[Expired]:
    """Of every account, the oldest day first."""
    found = [
        expired
        for account in Account.objects.order_by("pk")
        for expired in retention.expired_days(
            account, now=now, except_days=left_alone(account, now=now)
        )
    ]
    return sorted(found, key=lambda expired: expired.day)


def left_alone(account: Account, *, now: datetime) -> set[date]:
    """What was brought back on purpose, and what waits to be removed anyway."""
    waiting = ArchiveFile.objects.filter(account=account, state=State.VERIFIED)
    return restore.restored_days(account, now=now) | set(waiting.values_list("day", flat=True))


def forget_old_runs() -> None:
    kept = RetentionRun.objects.order_by("-pk").values_list("pk", flat=True)[:KEPT_RUNS]
    RetentionRun.objects.exclude(pk__in=list(kept)).delete()
