"""Eight questions of a dashboard to the report service, beside plain SQL over the raw requests in
PostgreSQL, DuckDB and ClickHouse in the same run; all answers are compared.

`--rows N` makes N requests in 90 days: about 600 bytes of disk each, and the same memory for any
number. Percentiles are exact in the other engines.
"""

import argparse
import contextlib
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from django.db import connection, transaction

from accounts.access import Reach
from bench import _harness as harness
from bench import _traffic
from bench._engines import Engine, Postgres, references
from bench._questions import COMBINATIONS, DASHBOARD, Asked, answered, of_report
from bench._recorder import Recorder
from bench._results import FOLDED, RECORDING, Place, Plans, Results
from bench._traffic import Traffic
from config.directories import DATA_DIR
from usage.reports.run import Report, ask
from usage.rollups import indexes
from usage.rollups.fold import fold, fold_all

FOLD_STEP = 50_000
UNFOLDED = (100_000, 10_000)  # requests, in the order in which they are measured
ROLLUPS = "^usage_(day|hour|minute|latency|histogram|bucket)"


def scopes(traffic: Traffic) -> dict[str, Reach]:
    return {"whole platform": traffic.platform, "largest workspace": traffic.largest}


def every_question(traffic: Traffic, column: str) -> Iterator[tuple[Place, Reach]]:
    for scope, reach in scopes(traffic).items():
        for asked in (*DASHBOARD, *COMBINATIONS):
            yield Place(scope, asked, column), reach


def reported(asked: Asked, traffic: Traffic, reach: Reach) -> Report:
    return ask(asked.question(traffic, reach), now=traffic.end)


def measure_plain(results: Results, engine: Engine, traffic: Traffic) -> None:
    for place, reach in every_question(traffic, engine.name):
        sql = place.asked.sql(engine, traffic, reach)
        results.take(place, partial(engine.ask, sql), engine.cpu_seconds)
        results.compare(place, answered(engine.ask(sql), place.asked))


def measure_service(results: Results, column: str, traffic: Traffic) -> None:
    for place, reach in every_question(traffic, column):
        call = partial(reported, place.asked, traffic, reach)
        results.take(place, call, Postgres().cpu_seconds)
        results.compare(place, of_report(call(), place.asked))


def measure_recording(results: Results, recorder: Recorder, traffic: Traffic) -> float:
    """Ask while somebody records; records/s meanwhile."""
    before, started_at = recorder.recorded.value, time.perf_counter()
    with recorder.at_full_speed():
        for place, reach in every_question(traffic, RECORDING):
            live = dataclasses.replace(traffic, end=datetime.now(UTC))
            call = partial(reported, place.asked, live, reach)
            results.take(place, call, Postgres().cpu_seconds)
            compare_in_one_snapshot(results, place, live, reach)
    return (recorder.recorded.value - before) / (time.perf_counter() - started_at)


def compare_in_one_snapshot(results: Results, place: Place, traffic: Traffic, reach: Reach) -> None:
    """Plain SQL and the service in one snapshot: neither sees what the other does not."""
    raw, asked = Postgres(), place.asked
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        exact = answered(raw.ask(asked.sql(raw, traffic, reach)), asked)
        answer = of_report(reported(asked, traffic, reach), asked)
    results.compare(place, answer, exact=exact)


def make(traffic: Traffic) -> tuple[float, float]:
    """Write everything, and fold it as it comes but for the newest; rows/s of each.

    Only full steps of folding are counted.
    """
    started_at, folding, folded = time.perf_counter(), 0.0, 0
    for _ in _traffic.write(traffic):
        while waiting() >= unfolded(traffic, 0) + FOLD_STEP:
            step_at = time.perf_counter()
            folded += fold(rows_at_once=FOLD_STEP)
            folding += time.perf_counter() - step_at
    seconds = time.perf_counter() - started_at - folding
    return traffic.rows / seconds, folded / folding if folding else 0


def unfolded(traffic: Traffic, number: int) -> int:
    return min(UNFOLDED[number], traffic.rows // 2)


def waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(row_count), 0) FROM usage_batch")
        return int(cursor.fetchone()[0])


def fold_down_to(rows: int) -> None:
    """Fold but about so many."""
    while (more := waiting() - rows) > 0 and fold(rows_at_once=more):
        pass


def tidy_up() -> None:
    """What the nightly task and autovacuum do in time, to each table and partition alone."""
    indexes.tighten()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace AND relname ~ '^usage_'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"VACUUM (ANALYZE) {table}")
        cursor.execute("CHECKPOINT")


def sizes(traffic: Traffic) -> list[tuple[object, ...]]:
    """Rows and bytes of the log and of each roll-up, indexes included."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT r.relname, sum(greatest(c.reltuples, 0))::bigint,
                sum(pg_total_relation_size(c.oid))::bigint
            FROM pg_class r LEFT JOIN pg_partition_tree(r.oid) t ON t.isleaf
            JOIN pg_class c ON c.oid = coalesce(t.relid, r.oid)
            WHERE NOT r.relispartition AND r.relkind IN ('r', 'p')
                AND (r.relname ~ %s OR r.relname IN ('usage_requestlog', 'usage_requestkey'))
            GROUP BY r.relname ORDER BY 3 DESC""",
            [ROLLUPS],
        )
        tables = cursor.fetchall()
    rollups = [table for table in tables if not table[0].startswith("usage_request")]
    summed = ("all roll-ups", sum(table[1] for table in rollups), sum(t[2] for t in rollups))
    return [
        (name, f"{rows:,}", f"{size / 1e6:,.1f}", f"{size / traffic.rows:.1f}")
        for name, rows, size in [*tables, summed]
    ]


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that goes with the database's: both are large."""
    directory = Path(tempfile.mkdtemp(prefix="tokenbook-bench-"))
    try:
        yield directory
    finally:
        for used in (directory, DATA_DIR):
            shutil.rmtree(used, ignore_errors=True)


def run(
    traffic: Traffic, recorder: Recorder, results: Results, plans: Plans, directory: Path
) -> None:
    written, folded = make(traffic)
    fold_down_to(unfolded(traffic, 0))
    tidy_up()
    measure_plain(results, Postgres(), traffic)
    with references(directory, traffic) as engines:
        for engine in engines:
            measure_plain(results, engine, traffic)
    for number in range(len(UNFOLDED)):
        fold_down_to(unfolded(traffic, number))
        measure_service(results, f"service, {waiting():,} unfolded", traffic)
    fold_all()
    tidy_up()
    measure_service(results, FOLDED, traffic)
    for place, reach in every_question(traffic, FOLDED):
        plans.explain(place, partial(reported, place.asked, traffic, reach))
    size = sizes(traffic)
    recorded = measure_recording(results, recorder, traffic)
    print(f"Written {written:,.0f} rows/s, folded {folded:,.0f} rows/s in steps of {FOLD_STEP:,}.")
    print(f"Recorded {recorded:,.0f} records/s while asked. {results.verdict()}\n")
    harness.table(("table", "rows", "MB", "bytes a request"), size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests in the log")
    parser.add_argument("--repeats", type=int, default=15, help="calls of each question")
    parser.add_argument("--plans", type=Path, help="an existing directory to write plans to")
    options = parser.parse_args()
    results, plans = Results(options.repeats), Plans(options.plans)
    print(f"\n## Reports ({harness.machine()}; {options.rows:,} requests in 90 days)\n", flush=True)
    with scratch() as directory, harness.database():
        place = harness.make_account()
        now = datetime.now(UTC)
        traffic = _traffic.prepare(place.account, place.workspace, rows=options.rows, now=now)
        with Recorder(traffic) as recorder:
            run(traffic, recorder, results, plans, directory)
    for scope in scopes(traffic):
        results.show(scope, (*DASHBOARD, *COMBINATIONS))
    plans.show()
    if results.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
