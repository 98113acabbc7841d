"""CSV, JSON and lines of JSON: how a value is written in each, and what makes a file whole.

Dates are `2026-01-31`, moments RFC 3339 in UTC, decimals plain digits without trailing zeros, in
JSON as strings; what is unknown is an empty cell or null.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from usage.reports.run import Column, plain

CHUNK_BYTES = 64 * 1024

# A spreadsheet would run a text that begins so as a formula; an apostrophe in front makes it text
# again. Only for CSV, and never for numbers.
FORMULA_STARTS = "=+-@\t\r"


def defused(text: str) -> str:
    return f"'{text}" if text.startswith(tuple(FORMULA_STARTS)) else text


def defused_sql(text: str) -> str:
    """`defused`, of an SQL expression."""
    codes = ",".join(str(ord(start)) for start in FORMULA_STARTS)
    return f"CASE WHEN ascii({text}) = ANY('{{{codes}}}') THEN '''' || {text} ELSE {text} END"


class FileFormat(Protocol):
    extension: str
    media_type: str

    def expression(self, column: Column, sql: str) -> str:
        """The SQL expression of a column as the file shows it."""

    def copy(self, select: str) -> str:
        """The COPY statement of which `copied` takes the rows."""

    def copied(self, row: bytes) -> bytes:
        """A row of the file, from what COPY wrote."""

    def row(self, columns: Sequence[Column], values: Iterable[Any]) -> bytes:
        """A row of the file, from Python's values."""

    def whole(self, columns: Sequence[Column], rows: Iterator[bytes]) -> Iterator[bytes]:
        """The file around its rows, joined or not. A file that broke off never looks whole."""


class Csv:
    """RFC 4180: a header, commas, quotes where needed, CRLF; UTF-8 without a byte order mark."""

    extension = "csv"
    media_type = "text/csv; charset=utf-8"

    def expression(self, column: Column, sql: str) -> str:
        match column.type:
            case "string":
                return defused_sql(f"({sql})")
            case "datetime":
                return moment_sql(sql)
            case "decimal":
                return f"trim_scale({sql})"
            case "boolean":
                return f"({sql})::text"
        return sql

    def copy(self, select: str) -> str:
        return f"COPY ({select}) TO STDOUT (FORMAT csv)"

    def copied(self, row: bytes) -> bytes:
        return row[:-1] + b"\r\n"

    def row(self, columns: Sequence[Column], values: Iterable[Any]) -> bytes:
        return csv_line(
            [
                defused(value) if column.type == "string" and value is not None else plain(value)
                for column, value in zip(columns, values, strict=True)
            ]
        )

    def whole(self, columns: Sequence[Column], rows: Iterator[bytes]) -> Iterator[bytes]:
        yield csv_line([defused(column.name) for column in columns]) + next(rows, b"")
        try:
            yield from rows
        except Exception:
            # Not every server cuts the connection; no reader takes this row for a figure.
            yield csv_line(["INCOMPLETE"] * (len(columns) + 1))
            raise


class Json:
    """An array of objects, one a line."""

    extension = "json"
    media_type = "application/json"

    def expression(self, column: Column, sql: str) -> str:
        match column.type:
            case "datetime":
                return moment_sql(sql)
            case "decimal":
                return f"trim_scale({sql})::text"
        return sql

    def copy(self, select: str) -> str:
        return f"COPY (SELECT row_to_json(t) FROM ({select}) t) TO STDOUT"

    def copied(self, row: bytes) -> bytes:
        # JSON has no line breaks or tabs of its own, so backslashes are all that COPY escapes.
        return b",\n" + row[:-1].replace(b"\\\\", b"\\")

    def row(self, columns: Sequence[Column], values: Iterable[Any]) -> bytes:
        record = {c.name: plain(value) for c, value in zip(columns, values, strict=True)}
        return b",\n" + json.dumps(record, ensure_ascii=False).encode()

    def whole(self, columns: Sequence[Column], rows: Iterator[bytes]) -> Iterator[bytes]:
        # Where it breaks off, the bracket is missing.
        yield b"[" + next(rows, b"").removeprefix(b",")
        yield from rows
        yield b"\n]\n"


class JsonLines(Json):
    """An object a line; of a file that broke off the last line says so."""

    extension = "jsonl"
    media_type = "application/x-ndjson"

    def copied(self, row: bytes) -> bytes:
        return row.replace(b"\\\\", b"\\")

    def row(self, columns: Sequence[Column], values: Iterable[Any]) -> bytes:
        return super().row(columns, values).removeprefix(b",\n") + b"\n"

    def whole(self, columns: Sequence[Column], rows: Iterator[bytes]) -> Iterator[bytes]:
        yield next(rows, b"")
        try:
            yield from rows
        except Exception:
            yield b'{"INCOMPLETE": true}\n'
            raise


class Spreadsheet:
    """Rows on their way into a file that is made in Python: CSV as COPY writes it.

    Text is always in quotes, so that none and an empty one stay apart.
    """

    def expression(self, column: Column, sql: str) -> str:
        return f"({sql})::text" if column.type == "object" else sql

    def copy(self, select: str) -> str:
        return f"COPY ({select}) TO STDOUT (FORMAT csv)"

    def copied(self, row: bytes) -> bytes:
        return row

    def row(self, columns: Sequence[Column], values: Iterable[Any]) -> bytes:
        cells = (self.cell(column, value) for column, value in zip(columns, values, strict=True))
        return (",".join(cells) + "\n").encode()

    def cell(self, column: Column, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "t" if value else "f"
        if column.type == "object" and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False)
        if column.type in ("string", "object"):
            return '"' + str(value).replace('"', '""') + '"'
        return str(plain(value))


def moment_sql(sql: str) -> str:
    return f"""to_char({sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def csv_line(values: Sequence[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(values)
    return line.getvalue().encode()


def joined(rows: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of some size: a piece a row would cost more than the row."""
    piece = bytearray()
    for row in rows:
        piece += row
        if len(piece) >= CHUNK_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
