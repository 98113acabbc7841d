"""A dataset as it was asked for: its columns, and its rows as pieces of a file.

Rows come one of two ways. What may be millions of them, COPY writes as the file shows them. Reports
are rows of Python's. Either way nothing grows with their number.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from accounts.access import Reach
from exports.formats import FileFormat, joined
from exports.kinds import Kind, packed
from exports.snapshot import Snapshot, snapshot
from usage.reports.run import Column

Edge = date | datetime | None

# Units of what may be added up; of averages, rates and prices there is no total.
ADDED_UNITS = ("requests", "tokens", "USD")
NOT_ADDED = ("cost_per_", "unit_price", "limit", "remaining")


def is_added(column: Column) -> bool:
    return column.unit in ADDED_UNITS and not any(part in column.name for part in NOT_ADDED)


@dataclass(slots=True)
class Tally:
    """How many rows went by, and, where it `adds`, the sums of what may be added up."""

    rows: int = 0
    adds: bool = True
    totals: dict[str, Decimal] = field(default_factory=dict)
    # How much of the work is behind it, where that is known.
    percent: int | None = None
    tell: Callable[["Tally"], None] = lambda tally: None

    def count(self, rows: int) -> None:
        self.rows += rows
        self.tell(self)

    def add(self, columns: Sequence[Column], values: Sequence[Any]) -> None:
        self.count(1)
        if not self.adds:
            return
        for column, value in zip(columns, values, strict=True):
            if value is not None and is_added(column):
                self.totals[column.name] = self.totals.get(column.name, Decimal(0)) + Decimal(value)


class Rows(Protocol):
    """How a table's rows come out of a snapshot."""

    def pieces(
        self, frozen: Snapshot, columns: list[Column], file_format: FileFormat, tally: Tally
    ) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Table:
    """Of which dataset, of whom, between which edges; `asked` repeats the question."""

    name: str
    reach: Reach
    start: Edge
    end: Edge
    columns: list[Column]
    rows: Rows
    asked: dict[str, Any]

    def file(
        self, kind: Kind, tally: Tally | None = None, *, seconds: float | None = None
    ) -> Iterator[bytes]:
        """The file in pieces, of one state of the database, which is kept for so many seconds."""
        whole = self.unpacked(kind.file_format, tally or Tally(adds=False), seconds=seconds)
        return packed(whole) if kind.packed else whole

    def unpacked(
        self, file_format: FileFormat, tally: Tally, *, seconds: float | None = None
    ) -> Iterator[bytes]:
        with snapshot(seconds=seconds) as frozen:
            pieces = self.rows.pieces(frozen, self.columns, file_format, tally)
            yield from file_format.whole(self.columns, pieces)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows of Python's values."""

    rows: Callable[[Snapshot], Iterator[list[Any]]]

    def pieces(
        self, frozen: Snapshot, columns: list[Column], file_format: FileFormat, tally: Tally
    ) -> Iterator[bytes]:
        def lines() -> Iterator[bytes]:
            for values in self.rows(frozen):
                tally.add(columns, values)
                yield file_format.row(columns, values)

        yield from joined(lines())


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows of one statement: an expression for each column, and what follows FROM."""

    expressions: Sequence[str]
    source: str
    order: str
    parameters: Sequence[Any] = ()

    def pieces(
        self, frozen: Snapshot, columns: list[Column], file_format: FileFormat, tally: Tally
    ) -> Iterator[bytes]:
        cursor = frozen.cursor()
        statement = cursor.mogrify(
            file_format.copy(self.select(columns, file_format)), list(self.parameters)
        )
        with cursor.copy(statement) as copied:
            yield from joined(self.counted(file_format.copied(bytes(row)), tally) for row in copied)
        self.add_up(frozen, columns, tally)

    def select(self, columns: list[Column], file_format: FileFormat) -> str:
        shown = ", ".join(
            f"{file_format.expression(column, sql)} AS {column.name}"
            for column, sql in zip(columns, self.expressions, strict=True)
        )
        return f"SELECT {shown} FROM {self.source} ORDER BY {self.order}"

    def counted(self, row: bytes, tally: Tally) -> bytes:
        tally.count(1)
        return row

    def add_up(self, frozen: Snapshot, columns: list[Column], tally: Tally) -> None:
        sums = {
            column.name: f"sum({sql})"
            for column, sql in zip(columns, self.expressions, strict=True)
            if is_added(column)
        }
        add_up(frozen, sums, self.source, self.parameters, tally)


def add_up(
    frozen: Snapshot, sums: dict[str, str], source: str, parameters: Sequence[Any], tally: Tally
) -> None:
    if not (sums and tally.adds):
        return
    cursor = frozen.cursor()
    cursor.execute(f"SELECT {', '.join(sums.values())} FROM {source}", list(parameters))
    found = cursor.fetchone()
    assert found is not None  # noqa: S101 (a sum always has its row)
    for name, value in zip(sums, found, strict=True):
        if value is not None:
            tally.totals[name] = tally.totals.get(name, Decimal(0)) + value
