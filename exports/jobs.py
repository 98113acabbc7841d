"""Exports as work of the worker: asked for, made, told of, cancelled, taken away.

Whoever makes an export says so every few seconds. One whose worker fell silent is made again by the
next, from the beginning; only the last attempt is ever written down as done.
"""

import time
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_q.tasks import async_task

from accounts.access import Reach, Right, reach_of_token, reach_of_user
from accounts.errors import ApiError
from accounts.models import AccessToken, Account, User
from exports.archive import digest_of
from exports.catalogue import DATASETS, query_of
from exports.downloads import name_of
from exports.kinds import kind_of
from exports.manifest import manifest_of
from exports.models import Export
from exports.places import Folder, Place, PlaceError, place_of
from exports.scratch import scratch_file
from exports.tables import Table, Tally
from usage.reports.question import BadQuestion, Parameters

BEAT_SECONDS = 2.0
SILENT_AFTER = timedelta(seconds=60)
# A task that got lost, or that nobody took up yet.
WAITED_AFTER = timedelta(minutes=10)
AGAIN_AFTER = timedelta(minutes=1)
MOST_ATTEMPTS = 3
KEPT = timedelta(days=7)
LONGEST_SECONDS = 4 * 3600

State = Export.State


class CannotExport(ApiError):
    """Why not, in words for whoever asked."""

    default_code = "cannot_export"


class Stopped(Exception):
    """Cancelled, or taken over by another worker."""


def files() -> Place:
    """Where the files of exports wait to be fetched: a place that web and worker both reach."""
    if settings.EXPORTS_URL:
        return place_of(settings.EXPORTS_URL)
    return Folder(Path(settings.DATA_DIR) / "exports" / "files")


def ask(
    dataset: str,
    parameters: Parameters,
    reach: Reach,
    *,
    extension: str,
    now: datetime,
    by: User | None = None,
    token: AccessToken | None = None,
) -> Export:
    """Let the worker make it. Raises BadQuestion, CannotExport."""
    table = DATASETS[dataset].open(parameters, reach, now=now)
    if len(table.reach.accounts) != 1:
        raise CannotExport("Say of which account: an export is of one.")
    made = Export.objects.create(
        account=table.reach.accounts[0],
        workspace_ids=sorted(table.reach.workspace_ids),
        dataset=dataset,
        extension=extension,
        parameters={name: parameters.getlist(name) for name in parameters.keys()},  # noqa: SIM118
        requested_by=by,
        token=token,
        requested_at=now,
        beat_at=now,
    )
    transaction.on_commit(lambda: enqueue(made))
    return made


def enqueue(export: Export) -> None:
    async_task("exports.tasks.make_export", str(export.pk), timeout=LONGEST_SECONDS)


def make(export_id: str, *, now: datetime) -> None:
    """Make the file, if nobody else does."""
    mine = Export.objects.filter(pk=export_id, state=State.QUEUED)
    begun = {"state": State.RUNNING, "beat_at": now, "rows": 0, "percent": None}
    if mine.update(**begun, attempt=F("attempt") + 1) != 1:
        return
    export = Export.objects.select_related("account", "requested_by", "token").get(pk=export_id)
    try:
        fill(export)
    except Stopped:
        pass
    except PlaceError as error:
        put_off(export, str(error))
    except (BadQuestion, CannotExport) as error:
        fail(export, str(error))
    except Exception as error:
        fail(export, f"{type(error).__name__}: {error}".strip())
        raise


def fill(export: Export) -> None:
    # As of when it was asked for, where it names no period.
    table = table_of(export)
    kind = kind_of(export.extension)
    name = name_of(table, export.extension)
    tally = Tally(tell=Beats(export))
    with scratch_file(f".{export.extension}") as path:
        with path.open("wb") as file:
            for piece in table.file(kind, tally):
                file.write(piece)
        digest, size = digest_of(path)
        key = key_of(export, export.attempt, name)
        files().put(key, path)
    manifest = manifest_of(export, table, tally, sha256=digest, size=size, name=name)
    done_at = timezone.now()
    done = mine(export).update(
        state=State.DONE,
        rows=tally.rows,
        percent=100,
        size=size,
        file_name=name,
        key=key,
        manifest=manifest,
        error="",
        finished_at=done_at,
        expires_at=done_at + KEPT,
    )
    # What an attempt put there before it died is nobody's.
    left_over = range(1, export.attempt) if done else [export.attempt]
    for attempt in left_over:
        files().delete(key_of(export, attempt, name))


def key_of(export: Export, attempt: int, name: str) -> str:
    return f"{export.account_id}/{export.pk}/{attempt}/{name}"


def table_of(export: Export) -> Table:
    parameters = query_of(export.parameters)
    reach = reach_now(export)
    return DATASETS[export.dataset].open(parameters, reach, now=export.requested_at)


def reach_now(export: Export) -> Reach:
    """What whoever asked may export still. Raises CannotExport where that is less than it was."""
    if export.token is not None:
        reach = reach_of_token(export.token) if is_usable(export.token) else Reach((), ())
    elif export.requested_by is not None:
        reach = reach_of_user(export.requested_by, Right.EXPORT)
    else:
        reach = Reach((), ())
    reach = narrowed(reach, export.account, export.workspace_ids)
    if set(reach.workspace_ids) != set(export.workspace_ids) or not reach.accounts:
        raise CannotExport("Whoever asked for it may not export all of it any more.")
    return reach


def narrowed(reach: Reach, account: Account, workspace_ids: list[int]) -> Reach:
    return Reach(
        tuple(a for a in reach.accounts if a.pk == account.pk),
        tuple(w for w in reach.workspaces if w.pk in workspace_ids),
    )


def is_usable(token: AccessToken) -> bool:
    if token.revoked_at is not None:
        return False
    return token.expires_at is None or token.expires_at > timezone.now()


def mine(export: Export):
    """The row, while it is this attempt's."""
    return Export.objects.filter(pk=export.pk, state=State.RUNNING, attempt=export.attempt)


class Beats:
    """Says how many rows there are and that we live. Raises Stopped once it is ours no more."""

    def __init__(self, export: Export) -> None:
        self.export = export
        self.next_at = 0.0

    def __call__(self, tally: Tally) -> None:
        if time.monotonic() < self.next_at:
            return
        self.next_at = time.monotonic() + BEAT_SECONDS
        told = {"rows": tally.rows, "percent": tally.percent, "beat_at": timezone.now()}
        if mine(self.export).update(**told) != 1:
            raise Stopped


def put_off(export: Export, error: str) -> None:
    """The disk is full or the bucket away: try again in a while, a few times."""
    if export.attempt >= MOST_ATTEMPTS:
        return fail(export, error)
    again_at = timezone.now() + AGAIN_AFTER
    mine(export).update(state=State.QUEUED, error=error, beat_at=again_at - WAITED_AFTER)


def fail(export: Export, error: str) -> None:
    mine(export).update(state=State.FAILED, error=error, finished_at=timezone.now())


def cancel(export: Export, *, now: datetime) -> bool:
    """Whether there was anything to stop."""
    at_work = Export.objects.filter(pk=export.pk, state__in=Export.AT_WORK)
    return at_work.update(state=State.CANCELLED, finished_at=now) == 1


def revive(*, now: datetime) -> None:
    """Take up what dead workers left, and give up what kills every worker."""
    silent = Export.objects.abandoned(since=now - SILENT_AFTER)
    silent.filter(attempt__gte=MOST_ATTEMPTS).update(
        state=State.FAILED,
        finished_at=now,
        error=f"It broke off {MOST_ATTEMPTS} times. Ask for less at once.",
    )
    silent.update(state=State.QUEUED, beat_at=now - WAITED_AFTER)
    waiting = Export.objects.filter(state=State.QUEUED, beat_at__lte=now - WAITED_AFTER)
    for export in waiting:
        again = waiting.filter(pk=export.pk)
        if again.update(beat_at=now) == 1:
            enqueue(export)


def bring_forward(*, now: datetime) -> None:
    """A sign of life from the future was given by a clock that was ahead, and says nothing: what
    waits is taken up again, what is at work has its minute to say so anew."""
    ahead = Export.objects.filter(beat_at__gt=now + AGAIN_AFTER)
    ahead.filter(state=State.QUEUED).update(beat_at=now - WAITED_AFTER)
    ahead.filter(state=State.RUNNING).update(beat_at=now)


def expire(*, now: datetime) -> int:
    """Take away the files whose time is over; how many."""
    over = Export.objects.filter(state=State.DONE, expires_at__lte=now)
    taken = 0
    for export in over:
        files().delete(export.key)
        taken += over.filter(pk=export.pk).update(state=State.EXPIRED)
    return taken
