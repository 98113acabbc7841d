"""How long each question took whom, whether all gave the same answer, and how it is shown."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

from bench import _harness as harness
from bench._engines import ClickHouse, DuckDB, Postgres
from bench._questions import Answer, Asked, differences
from usage.rollups.tables import GREATEST_ERROR

FOLDED, RECORDING = "service", "service, recording"
AHEAD_OF = (Postgres.name, ClickHouse.name, DuckDB.name)


@dataclass(frozen=True)
class Place:
    """Who was asked what about whom: a cell of the tables."""

    scope: str
    asked: Asked
    column: str

    def __str__(self) -> str:
        return f"{self.asked.name}, {self.scope}, {self.column}"


@dataclass(frozen=True)
class Measured:
    """Seconds of each call, sorted, and of processor time on average."""

    calls: Sequence[float]
    cpu: float

    @property
    def median(self) -> float:
        return harness.median(self.calls)

    def __str__(self) -> str:
        last = harness.Timing(sum(self.calls), self.calls).percentile(95)
        return f"{self.median * 1000:.1f} / {last * 1000:.1f}"


@dataclass
class Results:
    repeats: int
    times: dict[Place, Measured] = field(default_factory=dict)
    exact: dict[tuple[str, str], Answer] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    def take(
        self, place: Place, call: Callable[[], object], cpu_seconds: Callable[[], float]
    ) -> None:
        """Measure the call, once it has been made."""
        call()
        before = cpu_seconds()
        calls = sorted(seconds(call) for _ in range(self.repeats))
        self.times[place] = Measured(calls, (cpu_seconds() - before) / self.repeats)
        if place.column not in self.columns:
            self.columns.append(place.column)

    def compare(self, place: Place, answer: Answer, *, exact: Answer | None = None) -> None:
        """With the first answer to the question, PostgreSQL's own, or with another exact one."""
        if exact is None:
            exact = self.exact.setdefault((place.scope, place.asked.name), answer)
        error = GREATEST_ERROR if place.column.startswith(FOLDED) else 0
        found = differences(exact, answer, place.asked, error=error)
        self.compared += 1
        self.wrong += [f"{place}: {one}" for one in found[:3]]

    def verdict(self) -> str:
        wrong = "".join(f"\n- {one}" for one in self.wrong)
        return f"{self.compared} answers compared, {len(self.wrong)} differences{wrong}"

    def show(self, scope: str, questions: Sequence[Asked]) -> None:
        """Medians, 95th percentiles and how far the service is ahead; then processor time."""
        rows, cpu = [], []
        for asked in questions:
            found = {name: self.times[Place(scope, asked, name)] for name in self.columns}
            ratios = [found[name].median / found[FOLDED].median for name in AHEAD_OF]
            ratios_shown = [f"{ratio:.1f}" for ratio in ratios]
            rows.append([asked.name, *map(str, found.values()), *ratios_shown])
            cpu.append([asked.name, *(f"{one.cpu * 1000:.1f}" for one in found.values())])
        print(f"\n### {scope}: median / 95 % in ms\n")
        shorter = [f"{name.split(',')[0]} / service" for name in AHEAD_OF]
        harness.table(("question", *self.columns, *shorter), rows)
        print(f"\n### {scope}: ms of processor time\n")
        harness.table(("question", *self.columns), cpu)


def seconds(call: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    call()
    return time.perf_counter() - started_at


@dataclass
class Plans:
    """How PostgreSQL answers the service's statements: planning and execution apart."""

    directory: Path | None
    rows: list[tuple[object, ...]] = field(default_factory=list)

    def explain(self, place: Place, call: Callable[[], object]) -> None:
        """Every statement that the call makes, once more and explained."""
        statements: list[tuple[str, Any]] = []

        def note(execute: Callable, sql: str, parameters: Any, many: bool, context: Any) -> Any:
            statements.append((sql, parameters))
            return execute(sql, parameters, many, context)

        with connection.execute_wrapper(note):
            call()
        for number, (sql, parameters) in enumerate(statements):
            self.explain_one(place, number, sql, parameters)

    def explain_one(self, place: Place, number: int, sql: str, parameters: Any) -> None:
        with connection.cursor() as cursor:
            if self.directory:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, SETTINGS) {sql}", parameters)
                name = f"{place} {number}".replace(" ", "_").replace(",", "").replace("'", "")
                lines = "\n".join(line for (line,) in cursor.fetchall())
                (self.directory / f"{name}.txt").write_text(f"{sql}\n{parameters}\n\n{lines}\n")
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
            answer = cursor.fetchone()[0]
        ((plan),) = json.loads(answer) if isinstance(answer, str) else answer
        self.rows.append((place.scope, place.asked.name, *figures(plan)))

    def show(self) -> None:
        print("\n### Plans of the service, all folded\n")
        header = ("scope", "question", "planning ms", "execution ms", "buffers", "rows read")
        harness.table(header, self.rows)


def figures(plan: Mapping[str, Any]) -> tuple[str, ...]:
    top = plan["Plan"]
    buffers = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    return (
        f"{plan['Planning Time']:.1f}",
        f"{plan['Execution Time']:.1f}",
        f"{buffers:,}",
        f"{rows_read(top):,.0f}",
    )


def rows_read(node: Mapping[str, Any]) -> float:
    """Rows that the scans of tables gave."""
    own = node["Actual Rows"] * node["Actual Loops"] if "Relation Name" in node else 0
    return own + sum(rows_read(child) for child in node.get("Plans", ()))
