"""Files that are more than lines: XLSX and Parquet, written as their rows come.

Both look whole only with their end: what broke off cannot be opened.
"""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from exports.arrow import GROUP_ROWS, Pieces, batches, grouped, open_writer
from exports.formats import Spreadsheet
from usage.reports.run import Column

if TYPE_CHECKING:
    import pyarrow


class Sink(io.RawIOBase):
    """A file to write to, out of which is taken what was written so far."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.position = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self.pieces.append(bytes(piece))
        self.position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self.position

    def seekable(self) -> bool:
        return False

    def taken(self) -> bytes:
        piece = b"".join(self.pieces)
        self.pieces.clear()
        return piece


# As wide as money and prices may be: 26 digits before the point, 12 after.
DECIMAL = (38, 12)


def arrow_schema(columns: Sequence[Column]) -> "pyarrow.Schema":
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "object": pa.string(),
        "integer": pa.int64(),
        "decimal": pa.decimal128(*DECIMAL),
        "pointed": pa.decimal128(*DECIMAL),
        "date": pa.date32(),
        "datetime": pa.timestamp("us", tz="UTC"),
        "boolean": pa.bool_(),
    }
    fields = [
        pa.field(c.name, types[c.type], metadata={"unit": c.unit} if c.unit else None)
        for c in columns
    ]
    return pa.schema(fields)


class Parquet(Spreadsheet):
    extension = "parquet"
    media_type = "application/vnd.apache.parquet"

    def whole(self, columns: Sequence[Column], rows: Iterator[bytes]) -> Iterator[bytes]:
        import pyarrow as pa

        schema, sink = arrow_schema(columns), Sink()
        with open_writer(pa.PythonFile(sink), schema) as writer:
            yield sink.taken()
            for table in grouped(batches(rows, schema), schema):
                writer.write_table(table, row_group_size=GROUP_ROWS)
                yield sink.taken()
        yield sink.taken()


# What Excel and its kin take, the header included, and the longest text in a cell.
SHEET_ROWS = 1_048_576
CELL_CHARACTERS = 32_767
ROWS_AT_ONCE = 2_000
# Sheets repeat themselves so much that packing them harder takes twice as long for little.
LEVEL = 3
# XML has no way to say these.
UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
EPOCH = datetime(1899, 12, 30, tzinfo=UTC)

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

STYLES = f"""{XML}<styleSheet xmlns="{MAIN}">
<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>
<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss.000"/></numFmts>
<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>
<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>
<fills count="2"><fill><patternFill patternType="none"/></fill>
<fill><patternFill patternType="gray125"/></fill></fills>
<borders count="1"><border/></borders>
<cellStyleXfs count="1"><xf/></cellStyleXfs>
<cellXfs count="4"><xf/><xf numFmtId="164" applyNumberFormat="1"/>
<xf numFmtId="165" applyNumberFormat="1"/><xf fontId="1" applyFont="1"/></cellXfs>
<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>
</styleSheet>"""
SHEET = f"""{XML}<worksheet xmlns="{MAIN}"><sheetViews><sheetView workbookViewId="0">
<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>
<sheetData>"""


HEADER_STYLE = ' s="3"'


def text_cell(value: str) -> str:
    return short_text(value) if len(value) < REMEMBERED_CHARACTERS else written_text(value)


def written_text(value: str, style: str = "") -> str:
    text = escape(UNSAYABLE.sub("\ufffd", value[:CELL_CHARACTERS]))
    return f'<c t="inlineStr"{style}><is><t xml:space="preserve">{text}</t></is></c>'


# Nearly all texts of a column were there before.
REMEMBERED_CHARACTERS = 80
short_text = lru_cache(maxsize=5_000)(written_text)


def number_cell(value: str) -> str:
    return f"<c><v>{value}</v></c>"


@lru_cache(maxsize=1_000)
def date_cell(value: str) -> str:
    days = date.fromisoformat(value).toordinal() - EPOCH.toordinal()
    return f'<c s="1"><v>{days}</v></c>'


def moment_cell(value: str) -> str:
    """In UTC: a spreadsheet knows no time zones."""
    elapsed = datetime.fromisoformat(value).astimezone(UTC) - EPOCH
    return f'<c s="2"><v>{elapsed.total_seconds() / 86_400:.11f}</v></c>'


def boolean_cell(value: str) -> str:
    return f'<c t="b"><v>{int(value == "t")}</v></c>'


CELLS: dict[str, Callable[[str], str]] = {
    "string": text_cell,
    "object": text_cell,
    "integer": number_cell,
    "decimal": number_cell,
    "pointed": number_cell,
    "date": date_cell,
    "datetime": moment_cell,
    "boolean": boolean_cell,
}


class Xlsx(Spreadsheet):
    """A sheet, and further ones where there are more rows than one takes."""

    extension = "xlsx"
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def whole(self, columns: Sequence[Column], rows: Iterator[bytes]) -> Iterator[bytes]:
        sink = Sink()
        cells = [CELLS[column.type] for column in columns]
        lines = csv.reader(io.TextIOWrapper(io.BufferedReader(Pieces(rows)), "utf-8", newline=""))
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as package:
            package.writestr("xl/styles.xml", STYLES)
            yield sink.taken()
            sheets = 0
            first: list[str] | None = next(lines, None)
            while first is not None or not sheets:
                sheets += 1
                with package.open(f"xl/worksheets/sheet{sheets}.xml", "w", force_zip64=True) as out:
                    out.write(f"{SHEET}{header(columns)}".encode())
                    for chunk in chunks(first, lines, SHEET_ROWS - 1):
                        out.write("".join([row_of(cells, line) for line in chunk]).encode())
                        yield sink.taken()
                    out.write(b"</sheetData></worksheet>")
                first = next(lines, None)
            for name, text in around(sheets).items():
                package.writestr(name, text)
        yield sink.taken()


def chunks(
    first: list[str] | None, lines: Iterator[list[str]], most: int
) -> Iterator[list[list[str]]]:
    """The first line and those after it, at most so many, some thousands at once."""
    waiting = [first] if first is not None else []
    taken = len(waiting)
    while taken < most and (line := next(lines, None)) is not None:
        waiting.append(line)
        taken += 1
        if len(waiting) >= ROWS_AT_ONCE:
            yield waiting
            waiting = []
    yield waiting


def header(columns: Iterable[Column]) -> str:
    cells = "".join(written_text(column.name, HEADER_STYLE) for column in columns)
    return f"<row>{cells}</row>"


def row_of(cells: Sequence[Callable[[str], str]], values: Sequence[str]) -> str:
    made = [cell(value) if value else "<c/>" for cell, value in zip(cells, values, strict=True)]
    return f"<row>{''.join(made)}</row>"


def around(sheets: int) -> dict[str, str]:
    """The parts of the file that say which sheets there are."""
    numbers = range(1, sheets + 1)
    names = ["Rows" if number == 1 else f"Rows {number}" for number in numbers]
    return {
        "xl/workbook.xml": f'{XML}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        + "".join(
            f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
            for number, name in zip(numbers, names, strict=True)
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="rId{number}" Type="{OFFICE}/worksheet" '
            f'Target="worksheets/sheet{number}.xml"/>'
            for number in numbers
        )
        + f'<Relationship Id="rId{sheets + 1}" Type="{OFFICE}/styles" Target="styles.xml"/>'
        "</Relationships>",
        "_rels/.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships"><Relationship '
        f'Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "[Content_Types].xml": f'{XML}<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{TYPE}.styles+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{number}.xml" '
            f'ContentType="{TYPE}.worksheet+xml"/>'
            for number in numbers
        )
        + "</Types>",
    }
