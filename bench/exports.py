"""A million requests as files, beside COPY of the same query; and archiving a day of a million
while recording goes on.

`--rows N` makes N requests, all of one day. Memory is that of this process, sampled: what a worker
takes beside what Django takes anyway.
"""

import argparse
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection
from django.http import QueryDict

from accounts.access import Reach
from accounts.models import Workspace
from bench import _harness as harness
from bench import _traffic
from bench._recorder import Recorder
from bench._traffic import Traffic
from config.directories import DATA_DIR
from exports import retention_run
from exports.archive_models import RetentionRun
from exports.catalogue import DATASETS
from exports.datasets import log_statement
from exports.formats import Csv
from exports.kinds import kind_of
from exports.snapshot import snapshot
from usage import partitions
from usage.requests import RequestQuery
from usage.rollups.fold import fold_all

AGO_DAYS = 40  # past a retention of 30 days
EXTENSIONS = ("csv", "csv.gz", "json", "jsonl", "parquet", "xlsx")
SAMPLE_SECONDS = 0.02
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Exported:
    seconds: float
    first_byte: float
    size: int
    memory: int


def make(traffic: Traffic, day: datetime) -> None:
    """All requests on one UTC day, folded."""
    for _ in _traffic.write(traffic):
        pass
    partitions.make_between(day.date(), day.date())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_name = 'usage_requestlog' ORDER BY ordinal_position"
        )
        names = [name for (name,) in cursor.fetchall()]
        assert names[0] == "occurred_at"
        cursor.execute(
            "WITH moved AS (DELETE FROM usage_requestlog RETURNING *) "
            "INSERT INTO usage_requestlog SELECT %s::timestamptz + "
            "((m.occurred_at AT TIME ZONE 'UTC')::time - time '00:00'), "
            f"{', '.join(names[1:])} FROM moved m",
            [day],
        )
        cursor.execute(
            "UPDATE usage_requestkey k SET occurred_at = l.occurred_at FROM usage_requestlog l "
            "WHERE l.workspace_id = k.workspace_id AND l.request_id = k.request_id"
        )
        cursor.execute("UPDATE usage_batch SET least_at = %s, greatest_at = %s",
                       [day, day + timedelta(1)])  # fmt: skip
        fold_all()
        for statement in ("VACUUM ANALYZE", "CHECKPOINT"):
            cursor.execute(statement)


@contextlib.contextmanager
def memory() -> Iterator[Callable[[], int]]:
    """The most bytes that this process held more than at the beginning."""
    process, ended = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def sample() -> None:
        nonlocal peak
        while not ended.wait(SAMPLE_SECONDS):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: peak - before
    finally:
        ended.set()
        thread.join()


def export(reach: Reach, extension: str) -> Exported:
    table = DATASETS["requests"].open(QueryDict(""), reach, now=datetime.now(UTC))
    size, first = 0, None
    with memory() as held:
        started_at = time.perf_counter()
        for piece in table.file(kind_of(extension)):
            first = first or time.perf_counter() - started_at
            size += len(piece)
        return Exported(time.perf_counter() - started_at, first or 0, size, held())


def copy(reach: Reach) -> Exported:
    """The same columns in the same order by COPY, thrown away."""
    size, first = 0, None
    statement, parameters = log_statement(RequestQuery(reach), (None, None), Csv())
    with snapshot() as frozen:
        cursor = frozen.cursor()
        started_at = time.perf_counter()
        with cursor.copy(cursor.mogrify(statement, parameters)) as copied:
            for piece in copied:
                first = first or time.perf_counter() - started_at
                size += len(piece)
        return Exported(time.perf_counter() - started_at, first or 0, size, 0)


def show_exports(traffic: Traffic) -> None:
    reach = Reach((traffic.account,), tuple(traffic.workspaces))
    found = {"COPY": copy(reach)} | {name: export(reach, name) for name in EXTENSIONS}
    fastest = found["COPY"].seconds
    harness.table(
        ("format", "rows/s", "of COPY", "first byte ms", "MB", "memory MB"),
        [
            (
                name,
                f"{traffic.rows / one.seconds:,.0f}",
                f"{fastest / one.seconds:.2f}",
                f"{one.first_byte * 1000:.0f}",
                f"{one.size / MEGABYTE:.0f}",
                f"{one.memory / MEGABYTE:.0f}",
            )
            for name, one in found.items()
        ],
    )


def archive(recorder: Recorder, rows: int) -> None:
    """The day goes to the archive, once by itself while somebody records."""
    with recorder.at_full_speed():
        alone = recorded_while(recorder, lambda: time.sleep(10))
        runs: list[RetentionRun | None] = []
        beside = recorded_while(
            recorder, lambda: runs.append(retention_run.run(now=datetime.now(UTC)))
        )
    done = runs[0]
    assert done is not None
    assert (done.rows_removed, done.error) == (rows, ""), (done.rows_removed, done.error)
    took = (done.finished_at - done.started_at).total_seconds() if done.finished_at else 0
    print(
        f"\nArchived, read back and removed {rows:,} requests in {took:.1f} s, "
        f"{done.partitions_dropped} partitions dropped. Recorded meanwhile {beside:,.0f} "
        f"requests/s, and {alone:,.0f} before: {beside / alone:.2f}."
    )


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
    settings.ARCHIVE_URL = str(directory)
    try:
        with harness.database():
            place = harness.make_account()
            now = datetime.now(UTC)
            day = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(AGO_DAYS)
            place.account.time_zone = "UTC"
            place.account.save()
            rows = options.rows
            traffic = _traffic.prepare(place.account, place.workspace, rows=rows, now=now)
            Workspace.objects.update(retention_days=30)
            with Recorder(traffic) as recorder:
                make(traffic, day)
                show_exports(traffic)
                archive(recorder, rows)
    finally:
        for used in (directory, DATA_DIR):
            shutil.rmtree(used, ignore_errors=True)


if __name__ == "__main__":
    main()
