import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection

from exports.formats import Csv, Json, defused, defused_sql, joined
from usage.reports.run import Column

COLUMNS = [Column("name", "string"), Column("cost", "decimal"), Column("day", "date")]

CELLS = [
    "=1+1",
    "+1",
    "-1",
    "@sum",
    "\tx",
    "\rx",
    "'quoted",
    "",
    " =1",
    "plain",
    "é=",
    "a-b",
    "=",
    "*",
]


def read(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))


@pytest.mark.parametrize("text", CELLS)
def test_only_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text):
    expected = f"'{text}" if text[:1] in set("=+-@\t\r") and text else text

    assert defused(text) == expected


@pytest.mark.django_db
@pytest.mark.parametrize("text", CELLS)
def test_the_database_defuses_as_python_does(text):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {defused_sql('t')} FROM (SELECT %s AS t) cells", [text])
        assert cursor.fetchone()[0] == defused(text)


def test_a_negative_number_is_no_formula():
    row = Csv().row(COLUMNS, ["-1", Decimal("-0.5000000000"), date(2026, 1, 31)])

    assert row == b"'-1,-0.5,2026-01-31\r\n"


def test_csv_quotes_what_would_break_a_line_or_a_cell():
    row = Csv().row(COLUMNS, ['say "hi",\r\nthere', None, None])

    assert row == b'"say ""hi"",\r\nthere",,\r\n'
    assert read(row) == [['say "hi",\r\nthere', "", ""]]


def test_json_keeps_text_as_it_is_and_decimals_to_the_last_digit():
    row = Json().row(COLUMNS, ["=1é", Decimal("1234567890.0000000001"), None])

    assert json.loads(row.removeprefix(b",")) == {
        "name": "=1é",
        "cost": "1234567890.0000000001",
        "day": None,
    }


def test_moments_are_in_utc():
    row = Csv().row([Column("hour", "datetime")], [datetime(2026, 1, 31, 5, tzinfo=UTC)])

    assert row == b"2026-01-31T05:00:00Z\r\n"


def test_an_empty_file_is_its_header_or_an_empty_array():
    assert b"".join(Csv().whole(COLUMNS, iter([]))) == b"name,cost,day\r\n"
    assert json.loads(b"".join(Json().whole(COLUMNS, iter([])))) == []


@pytest.mark.parametrize("file_format", [Csv(), Json()])
def test_a_file_that_broke_off_does_not_look_whole(file_format):
    def failing():
        yield file_format.row(COLUMNS, ["a", Decimal(1), None])
        yield file_format.row(COLUMNS, ["b", Decimal(2), None])
        raise OSError

    pieces = []
    with pytest.raises(OSError):  # noqa: PT011 - it is the one raised above
        pieces.extend(file_format.whole(COLUMNS, failing()))
        # extend() keeps what it got before the error
    text = b"".join(pieces)
    if file_format.extension == "json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    else:
        assert read(text)[-1] == ["INCOMPLETE"] * 4


def test_rows_are_handed_on_in_pieces_of_some_size():
    pieces = list(joined([b"x" * 1000] * 200))

    assert [len(piece) for piece in pieces] == [66_000, 66_000, 66_000, 2_000]
