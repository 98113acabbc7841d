"""The same plain questions to PostgreSQL, DuckDB and ClickHouse over the same raw requests."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from django.db import connection

from bench._traffic import DAYS, Traffic
from config import embedded
from config.directories import POSTGRES_DIR

# Column of the log and its type in DuckDB and in ClickHouse.
EXPORTED = (
    ("occurred_at", "TIMESTAMPTZ", "DateTime64(6, 'UTC')"),
    ("workspace_id", "INTEGER", "Int32"),
    ("project_id", "INTEGER", "Nullable(Int32)"),
    ("api_key_id", "INTEGER", "Nullable(Int32)"),
    ("member_id", "INTEGER", "Nullable(Int32)"),
    ("model_id", "INTEGER", "Int32"),
    ("provider_id", "INTEGER", "Nullable(Int32)"),
    ("endpoint_id", "INTEGER", "Nullable(Int32)"),
    ("input", "INTEGER", "Int32"),
    ("cache_read", "INTEGER", "Int32"),
    ("cache_write_5m", "INTEGER", "Int32"),
    ("cache_write_1h", "INTEGER", "Int32"),
    ("output", "INTEGER", "Int32"),
    ("latency_ms", "INTEGER", "Nullable(Int32)"),
    ("status", "SMALLINT", "Int16"),
    ("cost", "DECIMAL(20, 10)", "Nullable(Decimal(20, 10))"),
)
COLUMNS = ", ".join(name for name, *_ in EXPORTED)

Rows = Sequence[Sequence[Any]]


class Postgres:
    """The product's own log, asked in plain SQL."""

    name = "PostgreSQL, raw"
    table = "usage_requestlog"

    def day(self, zone: str) -> str:
        return f"(occurred_at AT TIME ZONE '{zone}')::date"

    def minute(self) -> str:
        return "date_trunc('minute', occurred_at AT TIME ZONE 'UTC')"

    def percentiles(self, column: str, shares: str) -> str:
        return f"percentile_disc(ARRAY[{shares}]) WITHIN GROUP (ORDER BY {column})"

    def ask(self, sql: str) -> Rows:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def cpu_seconds(self) -> float:
        """Of this connection's backend, of finished parallel workers and of this process."""
        postmaster = psutil.Process(embedded.postmaster_pid(POSTGRES_DIR)).cpu_times()
        workers = postmaster.children_user + postmaster.children_system
        return backend_seconds() + workers + time.process_time()


def backend_seconds() -> float:
    if not hasattr(connection, "backend_pid"):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            connection.backend_pid = cursor.fetchone()[0]
    spent = Path(f"/proc/{connection.backend_pid}/schedstat")
    return int(spent.read_text().split()[0]) / 1e9


class InThisProcess:
    """An engine that works in threads of this process."""

    def cpu_seconds(self) -> float:
        return time.process_time()


class DuckDB(InThisProcess):
    name = "DuckDB, raw"
    table = "log"

    def __init__(self, directory: Path) -> None:
        import duckdb

        self.connection = duckdb.connect(directory / "duck.db")
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(f"SET threads = {os.cpu_count()}")
        self.connection.execute(f"SET temp_directory = '{directory / 'duck.tmp'}'")
        columns = ", ".join(f"{name} {kind}" for name, kind, _ in EXPORTED)
        self.connection.execute(f"CREATE TABLE log ({columns})")

    def load(self, csv: Path) -> None:
        kinds = ", ".join(f"'{name}': '{kind}'" for name, kind, _ in EXPORTED)
        self.connection.execute(
            f"INSERT INTO log SELECT * FROM "
            f"read_csv('{csv}', header = false, columns = {{{kinds}}}, auto_detect = false)"
        )

    def settle(self) -> None:
        self.connection.execute("CHECKPOINT")

    def day(self, zone: str) -> str:
        return f"(occurred_at AT TIME ZONE '{zone}')::date"

    def minute(self) -> str:
        return "date_trunc('minute', occurred_at AT TIME ZONE 'UTC')"

    def percentiles(self, column: str, shares: str) -> str:
        return f"quantile_disc({column}, [{shares}])"

    def ask(self, sql: str) -> Rows:
        return self.connection.execute(sql).fetchall()

    def close(self) -> None:
        self.connection.close()


class ClickHouse(InThisProcess):
    name = "ClickHouse, raw"
    table = "bench.log"

    def __init__(self, directory: Path) -> None:
        from chdb.session import Session

        self.session = Session(str(directory / "clickhouse"))
        columns = ", ".join(f"{name} {kind}" for name, _, kind in EXPORTED)
        self.session.query("CREATE DATABASE bench ENGINE = Atomic")
        self.session.query(
            f"CREATE TABLE bench.log ({columns}) ENGINE = MergeTree "
            "ORDER BY (workspace_id, occurred_at)"
        )

    def load(self, csv: Path) -> None:
        self.session.query(
            f"INSERT INTO bench.log SELECT {COLUMNS} FROM file('{csv}', CSV, "
            f"'{', '.join(name + ' ' + kind.replace(QUOTE, ESCAPED) for name, _, kind in EXPORTED)}"
            "') SETTINGS date_time_input_format = 'best_effort'"
        )

    def settle(self) -> None:
        """Merged into as few parts as can be: its best case."""
        self.session.query("OPTIMIZE TABLE bench.log FINAL")

    def day(self, zone: str) -> str:
        return f"toDate(occurred_at, '{zone}')"

    def minute(self) -> str:
        return "toStartOfMinute(occurred_at)"

    def percentiles(self, column: str, shares: str) -> str:
        """ClickHouse counts from 0: of 100 values it takes the 51st for the middle one."""
        lower = ", ".join(f"{share} - 1e-10" for share in shares.split(", "))
        return f"quantilesExact({lower})({column})"

    def ask(self, sql: str) -> Rows:
        answer = self.session.query(sql, "TabSeparated").bytes().decode()
        return [
            [None if cell == r"\N" else cell for cell in line.split("\t")]
            for line in answer.splitlines()
        ]

    def close(self) -> None:
        self.session.close()


QUOTE, ESCAPED = "'", r"\'"
Reference = DuckDB | ClickHouse
Engine = Postgres | DuckDB | ClickHouse


@contextlib.contextmanager
def references(directory: Path, traffic: Traffic) -> Iterator[list[Reference]]:
    """The engines to compare with, holding what the log holds; the way is a file a day."""
    engines: list[Reference] = [DuckDB(directory), ClickHouse(directory)]
    try:
        first = traffic.end.replace(hour=0, minute=0, second=0, microsecond=0)
        for ago in range(DAYS + 1, -1, -1):
            load_day(engines, directory / "day.csv", f"{first - timedelta(ago)}")
        for engine in engines:
            engine.settle()
        yield engines
    finally:
        for engine in engines:
            engine.close()


def load_day(engines: Sequence[Reference], csv: Path, midnight: str) -> None:
    with connection.cursor() as cursor, csv.open("wb") as file:
        rows = f"""COPY (SELECT {COLUMNS} FROM usage_requestlog
            WHERE occurred_at >= '{midnight}'
            AND occurred_at < '{midnight}'::timestamptz + interval '1 day'
            ORDER BY occurred_at) TO STDOUT WITH (FORMAT csv)"""
        with cursor.copy(rows) as copy:
            for block in copy:
                file.write(block)
    if csv.stat().st_size:
        for engine in engines:
            engine.load(csv)
    csv.unlink()
