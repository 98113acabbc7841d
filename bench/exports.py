"""A million requests as files, beside COPY of the same query; what a worker needs to make them; and
archiving a day of a million while recording goes on.

`--rows N` makes N requests, all of one day.
"""

import argparse
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from django.db import connection
from django.http import QueryDict
from django_q.tasks import async_task

from accounts.access import Reach
from accounts.models import User, Workspace
from bench import _harness as harness
from bench import _traffic
from bench._recorder import Recorder
from bench._traffic import Traffic
from config.directories import DATA_DIR
from exports import jobs
from exports.archive_models import RetentionRun
from exports.catalogue import DATASETS
from exports.datasets import log_statement
from exports.formats import Csv
from exports.kinds import kind_of
from exports.models import Export
from exports.snapshot import snapshot
from usage import partitions
from usage.requests import RequestQuery
from usage.rollups.fold import fold_all

AGO_DAYS = 40  # past a retention of 30 days
STREAMED = ("csv", "jsonl", "parquet")
MADE = ("csv", "jsonl", "parquet", "xlsx")
SAMPLE_SECONDS = 0.05
# While others are measured: to look at the memory of processes takes a processor's time too.
RARELY_SECONDS = 1.0
GIVEN_UP_SECONDS = 600
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Exported:
    seconds: float
    first_byte: float
    size: int


def make(traffic: Traffic) -> None:
    """All requests on one day, folded."""
    partitions.make_between(traffic.end.date() - timedelta(1), traffic.end.date())
    for _ in _traffic.write(traffic):
        pass
    fold_all()
    with connection.cursor() as cursor:
        for statement in ("VACUUM ANALYZE", "CHECKPOINT"):
            cursor.execute(statement)


def export(reach: Reach, extension: str) -> Exported:
    table = DATASETS["requests"].open(QueryDict(""), reach, now=datetime.now(UTC))
    return taken(table.file(kind_of(extension)))


def copy(reach: Reach) -> Exported:
    """The same columns in the same order by COPY, thrown away."""
    return taken(copied(reach))


def copied(reach: Reach) -> Iterator[bytes]:
    statement, parameters = log_statement(RequestQuery(reach), (None, None), Csv())
    with snapshot() as frozen:
        cursor = frozen.cursor()
        with cursor.copy(cursor.mogrify(statement, parameters)) as rows:
            yield from map(bytes, rows)


def taken(pieces: Iterator[bytes]) -> Exported:
    size, first = 0, None
    started_at = time.perf_counter()
    for piece in pieces:
        first = first or time.perf_counter() - started_at
        size += len(piece)
    return Exported(time.perf_counter() - started_at, first or 0, size)


def show_streamed(traffic: Traffic) -> None:
    """COPY before and after: what the machine does meanwhile is in the mean of both."""
    reach = traffic.platform
    before = copy(reach)
    found = {name: export(reach, name) for name in STREAMED}
    after = copy(reach)
    mean = (before.seconds + after.seconds) / 2
    harness.table(
        ("streamed", "rows/s", "of COPY", "first byte ms", "MB"),
        [
            (
                name,
                f"{traffic.rows / one.seconds:,.0f}",
                f"{mean / one.seconds:.2f}",
                f"{one.first_byte * 1000:.0f}",
                f"{one.size / MEGABYTE:.0f}",
            )
            for name, one in {"COPY": before, **found, "COPY again": after}.items()
        ],
    )


class Memory:
    """The most that any of some processes has held: all that it maps (RSS), and that with what it
    shares with others counted in part (PSS)."""

    def __init__(self) -> None:
        self.rss = self.pss = 0

    def sample(self, *processes: psutil.Process) -> None:
        for process in processes:
            try:
                held = process.memory_full_info()
            except psutil.Error:
                continue  # it ended meanwhile
            self.rss, self.pss = max(self.rss, held.rss), max(self.pss, held.pss)


def show_made(traffic: Traffic) -> None:
    """By the real worker, a fresh one for each, so that none begins with another's memory."""
    boss = User.objects.create_superuser("bench", "bench@bench.test", "not a secret")
    rows = [made(traffic, boss, extension) for extension in MADE]
    print()
    harness.table(("by the worker", "rows/s", "MB", "RSS at most MB", "PSS at most MB"), rows)


def made(traffic: Traffic, boss: User, extension: str) -> tuple[str, ...]:
    with harness.worker() as worker:
        memory, leader = Memory(), psutil.Process(worker.leader.pid)
        asked = QueryDict(f"account={traffic.account.slug}")
        export = jobs.ask(
            "requests", asked, traffic.platform, extension=extension, by=boss, now=datetime.now(UTC)
        )
        started_at = time.perf_counter()
        while (found := Export.objects.get(pk=export.pk)).is_at_work:
            if found.state == Export.State.QUEUED:
                started_at = time.perf_counter()
            assert time.perf_counter() - started_at < GIVEN_UP_SECONDS, found.state
            memory.sample(leader, *leader.children(recursive=True))
            time.sleep(SAMPLE_SECONDS)
    assert (found.state, found.rows) == (Export.State.DONE, traffic.rows), found.error
    seconds = time.perf_counter() - started_at
    figures = (traffic.rows / seconds, found.size / MEGABYTE)
    held = (memory.rss / MEGABYTE, memory.pss / MEGABYTE)
    return (extension, *(f"{figure:,.0f}" for figure in (*figures, *held)))


def archive(recorder: Recorder, rows: int, directory: Path) -> None:
    """The worker takes the day to the archive while somebody records."""
    memory = Memory()
    with harness.worker(ARCHIVE_URL=str(directory)) as worker, recorder.at_full_speed():
        alone = recorded_while(recorder, lambda: time.sleep(10))
        assert alone, "the machine is too busy: nothing was recorded in ten seconds"
        async_task("exports.tasks.run_retention", timeout=GIVEN_UP_SECONDS)
        leader = psutil.Process(worker.leader.pid)
        beside = recorded_while(recorder, lambda: until_archived(memory, leader))
    done = RetentionRun.objects.get()
    assert (done.rows_removed, done.error) == (rows, ""), (done.rows_removed, done.error)
    took = (done.finished_at - done.started_at).total_seconds() if done.finished_at else 0
    print(
        f"\nArchived, read back and removed {rows:,} requests in {took:.1f} s, "
        f"{done.partitions_dropped} partitions dropped. Recorded meanwhile {beside:,.0f} "
        f"requests/s, and {alone:,.0f} before: {beside / alone:.2f}. The worker held "
        f"{memory.rss / MEGABYTE:,.0f} MB (RSS) at most, {memory.pss / MEGABYTE:,.0f} MB (PSS)."
    )


def until_archived(memory: Memory, leader: psutil.Process) -> None:
    started_at = time.perf_counter()
    while not RetentionRun.objects.filter(finished_at__isnull=False).exists():
        assert time.perf_counter() - started_at < GIVEN_UP_SECONDS
        memory.sample(leader, *leader.children(recursive=True))
        time.sleep(RARELY_SECONDS)


def recorded_while(recorder: Recorder, act: Callable[[], object]) -> float:
    before, started_at = recorder.recorded.value, time.perf_counter()
    act()
    return (recorder.recorded.value - before) / (time.perf_counter() - started_at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests of the day")
    options = parser.parse_args()
    print(f"\n## Exports ({harness.machine()}; {options.rows:,} requests of one day)\n", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="tokenbook-bench-"))
    try:
        with harness.database():
            place = harness.make_account()
            midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            place.account.time_zone = "UTC"
            place.account.save()
            rows = options.rows
            traffic = _traffic.prepare(place.account, place.workspace, rows=rows, now=midnight)
            old = dataclasses.replace(traffic, end=midnight - timedelta(AGO_DAYS), days=1)
            Workspace.objects.update(retention_days=30)
            with Recorder(traffic) as recorder:
                make(old)
                show_streamed(old)
                show_made(old)
                archive(recorder, rows, directory)
    finally:
        for used in (directory, DATA_DIR):
            shutil.rmtree(used, ignore_errors=True)


if __name__ == "__main__":
    main()
