"""Schedules at work: which periods are due, sending each once, and noticing what came late.

A file has the same name however often it is tried, so that trying twice leaves one file. Only of
mails is there a moment, between the server's answer and our commit, in which a crash sends twice.
"""

import json
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone
from django.utils.text import slugify
from django_q.tasks import async_task

from accounts.access import Reach
from accounts.models import Account, Workspace
from exports.archive import digest_of
from exports.catalogue import DATASETS, query_of
from exports.downloads import UNSAFE
from exports.jobs import BEAT_SECONDS, LONGEST_SECONDS, Stopped
from exports.kinds import kind_of
from exports.manifest import manifest_of_sent
from exports.models import Destination, ExportSchedule, SentFile
from exports.places import PlaceError
from exports.schedule_periods import next_start, periods_over, start_of
from exports.scratch import scratch_file
from exports.tables import Table, Tally
from usage.models import GoneDay
from usage.reports import question, run
from usage.reports.question import BadQuestion
from usage.reports.run import plain

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
MOST_ATTEMPTS = 12  # about two days
# Whoever sends says so within this time, or somebody else takes it up.
LEASE = timedelta(minutes=5)
MOST_MAIL_BYTES = 10 * 1024 * 1024
# How long after its end a period is compared with what was sent.
WATCHED = {
    "hour": timedelta(days=2),
    "day": timedelta(days=35),
    "week": timedelta(days=70),
    "month": timedelta(days=95),
}
COMPARED = ("requests", "total_tokens", "cost", "ceiling_cost", "unpriced_requests")

State = SentFile.State


def plan(*, now: datetime) -> None:
    """Write down every period that is over, once, however long nobody looked."""
    for schedule in active_schedules():
        last = schedule.files.aggregate(last=Max("end_at"))["last"]
        since = max(schedule.starts_at, last) if last else schedule.starts_at
        SentFile.objects.bulk_create(
            [
                SentFile(schedule=schedule, start_at=start, end_at=end, next_attempt_at=now)
                for start, end in periods_over(
                    since, schedule.every, schedule.account.zone, now=now
                )
            ],
            ignore_conflicts=True,
        )


def active_schedules() -> Iterable[ExportSchedule]:
    return ExportSchedule.objects.filter(active=True).select_related("account")


def enqueue_due(*, now: datetime) -> None:
    """A task for each file that is due; it is not due again before the lease is over."""
    due = SentFile.objects.due(now=now).filter(schedule__active=True)
    for file in due[:100]:
        with transaction.atomic():
            if due.filter(pk=file.pk).update(next_attempt_at=now + LEASE) == 1:
                async_task("exports.tasks.send_file", file.pk, timeout=LONGEST_SECONDS)


def send(file_id: int, *, now: datetime) -> None:
    mine = SentFile.objects.filter(pk=file_id, state=State.WAITING)
    if mine.update(attempts=F("attempts") + 1, next_attempt_at=now + LEASE) != 1:
        return
    file = SentFile.objects.select_related("schedule__account", "schedule__destination").get(
        pk=file_id
    )
    try:
        deliver(file)
    except Stopped:
        pass
    except (PlaceError, BadQuestion) as error:
        put_off(file, str(error), now=timezone.now())
    except Exception as error:
        put_off(file, f"{type(error).__name__}: {error}".strip(), now=timezone.now())
        raise


def deliver(file: SentFile) -> None:
    schedule = file.schedule
    # Before the file: what arrives in between makes a correction too many, never one too few.
    counted = counted_now(file)
    table = table_of(file)
    kind, tally = kind_of(schedule.extension), Tally(tell=Lease(file))
    name = name_of(file)
    with scratch_file(f".{schedule.extension}") as path:
        with path.open("wb") as out:
            for piece in table.file(kind, tally):
                out.write(piece)
        digest, size = digest_of(path)
        manifest = manifest_of_sent(file, table, tally, sha256=digest, size=size, name=name)
        hand_over(schedule.destination, path, manifest)
    ours(file).update(
        state=State.SENT,
        sent_at=timezone.now(),
        file_name=name,
        manifest=manifest,
        counted=counted,
        error="",
    )


def table_of(file: SentFile) -> Table:
    schedule = file.schedule
    parameters = query_of(schedule.parameters)
    parameters["account"] = schedule.account.slug
    parameters["from"], parameters["to"] = edges_of(file)
    reach = whole(schedule.account)
    return DATASETS[schedule.dataset].open(parameters, reach, now=file.end_at)


def try_out(schedule: ExportSchedule, *, now: datetime) -> None:
    """Ask for the period that is under way. Raises BadQuestion where that cannot be asked."""
    start = start_of(now, schedule.every, schedule.account.zone)
    end = next_start(start, schedule.every, schedule.account.zone)
    table_of(SentFile(schedule=schedule, start_at=start, end_at=end))


def edges_of(file: SentFile) -> tuple[str, str]:
    """Hours are moments; longer periods are the account's days."""
    if file.schedule.every == "hour":
        return plain(file.start_at), plain(file.end_at)
    zone = file.schedule.account.zone
    return tuple(edge.astimezone(zone).date().isoformat() for edge in (file.start_at, file.end_at))  # type: ignore[return-value]


def whole(account: Account) -> Reach:
    workspaces = Workspace.objects.filter(account=account).select_related("account")
    return Reach((account,), tuple(workspaces.order_by("name")))


def name_of(file: SentFile) -> str:
    schedule = file.schedule
    local = file.start_at.astimezone(schedule.account.zone)
    period = {"hour": f"{local:%Y-%m-%dT%H%M%z}", "month": f"{local:%Y-%m}"}.get(
        schedule.every, f"{local:%Y-%m-%d}"
    )
    parts = ["tokenbook", schedule.account.slug, slugify(schedule.name) or str(schedule.pk)]
    parts += [schedule.every, period]
    if file.correction:
        parts.append(f"correction-{file.correction}")
    return UNSAFE.sub("-", "-".join(parts)) + f".{schedule.extension}"


def hand_over(destination: Destination, path: Path, manifest: dict[str, Any]) -> None:
    """The manifest last: where it is, the file is. Raises PlaceError."""
    text = json.dumps(manifest, indent=1) + "\n"
    if destination.kind == Destination.Kind.MAIL:
        mail(destination, path, manifest, text)
        return
    place = destination.place()
    place.put(manifest["file"], path)
    with scratch_file(".json") as beside:
        beside.write_text(text)
        place.put(f"{manifest['file']}.manifest.json", beside)


def mail(destination: Destination, path: Path, manifest: dict[str, Any], text: str) -> None:
    if manifest["bytes"] > MOST_MAIL_BYTES:
        raise PlaceError(
            f"The file has {manifest['bytes']:,} bytes, more than a mail takes "
            f"({MOST_MAIL_BYTES:,}): ask for gzip or Parquet, or send it to a folder or bucket."
        )
    kind = kind_of(manifest["format"])
    message = EmailMessage(
        subject=f"{manifest['schedule']}: {manifest['from'][:10]} to {manifest['to'][:10]}"
        + (f" (correction {manifest['correction']})" if manifest["correction"] else ""),
        body=letter(manifest),
        to=list(destination.recipients),
        headers={"Message-ID": f"<{manifest['id']}@tokenbook>"},
    )
    message.attach(manifest["file"], path.read_bytes(), kind.media_type.partition(";")[0])
    message.attach(f"{manifest['file']}.manifest.json", text, "application/json")
    try:
        message.send()
    except OSError as error:  # those of SMTP are too
        raise PlaceError(f"The mail was not taken: {error}") from error


def letter(manifest: dict[str, Any]) -> str:
    totals = "".join(f"  {name}: {value}\n" for name, value in manifest["totals"].items())
    again = (
        "Requests arrived late or were priced anew since the file of this period was sent. "
        "This one takes its place.\n\n"
        if manifest["correction"]
        else ""
    )
    return (
        f"{again}{manifest['schedule']}, {manifest['from']} to {manifest['to']} (not included), "
        f"{manifest['time_zone']}.\n\n{manifest['rows']:,} rows\n{totals}\n"
        f"SHA-256 {manifest['sha256']}\n"
    )


def ours(file: SentFile) -> Any:
    """The row, while it is this attempt's."""
    return SentFile.objects.filter(pk=file.pk, state=State.WAITING, attempts=file.attempts)


class Lease:
    """Keeps the file ours while it is made. Raises Stopped once it is somebody else's."""

    def __init__(self, file: SentFile) -> None:
        self.file = file
        self.next_at = 0.0

    def __call__(self, tally: Tally) -> None:
        if time.monotonic() < self.next_at:
            return
        self.next_at = time.monotonic() + BEAT_SECONDS
        if ours(self.file).update(next_attempt_at=timezone.now() + LEASE) != 1:
            raise Stopped


def put_off(file: SentFile, error: str, *, now: datetime) -> None:
    """Later each time; given up in the end, until somebody asks for it again."""
    if file.attempts >= MOST_ATTEMPTS:
        ours(file).update(state=State.FAILED, error=error)
        return
    pause = min(FIRST_PAUSE * 2 ** (file.attempts - 1), LONGEST_PAUSE)
    ours(file).update(error=error, next_attempt_at=now + pause)


def bring_forward(*, now: datetime) -> None:
    """No pause is longer than the longest: such a moment was set by a clock that was ahead."""
    waiting = SentFile.objects.filter(state=State.WAITING)
    waiting.filter(next_attempt_at__gt=now + LONGEST_PAUSE).update(next_attempt_at=now)


def try_again(files: Any, *, now: datetime) -> int:
    """Those that wait or were given up, at once; how many."""
    open_files = files.exclude(state=State.SENT)
    return open_files.update(state=State.WAITING, attempts=0, next_attempt_at=now)


def counted_now(file: SentFile) -> dict[str, Any] | None:
    """What reports say of the period; None for datasets that late requests do not change."""
    schedule = file.schedule
    if not DATASETS[schedule.dataset].is_of_usage:
        return None
    filters = {
        name: texts
        for name, texts in schedule.parameters.items()
        if name.removesuffix("_id") in question.DIMENSIONS
    }
    parameters = query_of(filters)
    parameters["from"], parameters["to"] = edges_of(file)
    parameters["metrics"] = ",".join(COMPARED)
    asked = question.parse(parameters, whole(schedule.account), now=file.end_at)
    totals = run.ask(asked, now=file.end_at).totals
    return {name: plain(value) for name, value in totals.items()}


def correct(*, now: datetime) -> int:
    """Have a marked file sent for each period that says otherwise now; how many."""
    made = 0
    for every, watched in WATCHED.items():
        sent = SentFile.objects.filter(
            schedule__active=True,
            schedule__every=every,
            end_at__gt=now - watched,
        ).select_related("schedule__account")
        for file in latest_of(sent):
            if file.counted is None or file.state != State.SENT:
                continue  # waits still, or is of a dataset that late requests do not change
            if counted_now(file) != file.counted and not is_gone(file):
                made += add_correction(file, now=now)
    return made


def is_gone(file: SentFile) -> bool:
    """Whether a log could only be sent with requests missing: what was sent is the better one."""
    if file.schedule.dataset != "requests":
        return False
    account = file.schedule.account
    first, end = (edge.astimezone(account.zone).date() for edge in (file.start_at, file.end_at))
    ids = account.workspaces.values_list("pk", flat=True)
    return GoneDay.objects.within(ids, first, end + timedelta(1)).exists()


def latest_of(files: Any) -> Iterable[SentFile]:
    """Of each period the last file that there is."""
    in_order = files.order_by("schedule_id", "start_at", "-correction")
    return in_order.distinct("schedule_id", "start_at")


def add_correction(file: SentFile, *, now: datetime) -> bool:
    _, is_new = SentFile.objects.get_or_create(
        schedule=file.schedule,
        start_at=file.start_at,
        correction=file.correction + 1,
        defaults={"end_at": file.end_at, "next_attempt_at": now},
    )
    return is_new
