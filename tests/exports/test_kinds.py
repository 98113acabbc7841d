"""Every kind of file says the same as the report, to the last digit."""

import csv
import gzip
import io
import json
import re
import zipfile
from decimal import Decimal

import openpyxl
import pytest
from pyarrow import parquet

from exports.catalogue import DATASETS
from exports.containers import SHEET_ROWS, Xlsx
from exports.kinds import EXTENSIONS
from exports.tables import Tally
from tests.exports.test_datasets import ask
from tests.factories import native, post
from usage.reports.run import Column

pytestmark = pytest.mark.django_db(transaction=True)

PERIOD = {"from": "2026-11-01", "to": "2026-12-01"}


def content(downloads, name, **parameters):
    response = downloads.get(f"exports/{name}", **parameters)
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def sheet(data):
    """Rows of the first sheet, cells as they stand in the file: no digit is lost to a float."""
    text = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml").decode()
    rows = re.findall(r"<row>(.*?)</row>", text)
    cells = [re.findall(r"<c[^>]*?(?:/>|>(?:<v>|<is><t[^>]*>)(.*?)<)", row) for row in rows]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def rows_of(extension, data):
    if extension.endswith(".gz"):
        return rows_of(extension.removesuffix(".gz"), gzip.decompress(data))
    match extension:
        case "csv":
            return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
        case "json":
            return json.loads(data)
        case "jsonl":
            return [json.loads(line) for line in data.splitlines()]
        case "xlsx":
            return sheet(data)
    return parquet.read_table(io.BytesIO(data)).to_pylist()


def test_every_kind_adds_up_to_the_report(requests, research, downloads):
    """One arrangement for all: committing it takes longer than asking."""
    totals = ask(research, metrics="requests,cost,ceiling_cost,reported_cost").totals
    for name in ("requests", "usage", "month-end", "projects"):
        asked = PERIOD | (
            {"metrics": "cost,ceiling_cost", "group_by": "model"} if name == "usage" else {}
        )
        for extension in EXTENSIONS:
            rows = rows_of(extension, content(downloads, f"{name}.{extension}", **asked))
            for figure in ("cost", "ceiling_cost"):
                found = sum(Decimal(row[figure] or 0) for row in rows)
                assert found == totals[figure], (name, extension)


def test_every_dataset_comes_in_every_kind(requests, downloads):
    for dataset in DATASETS:
        lengths = {
            len(rows_of(extension, content(downloads, f"{dataset}.{extension}")))
            for extension in ("csv", "jsonl", "xlsx", "parquet")
        }
        assert len(lengths) == 1, dataset


def test_what_is_unknown_stays_apart_from_what_is_empty(research, downloads):
    post(research.account, native(request_id="=1+1", workspace="research", model="unheard-of",
                                  tags={"note": 'a "b",\n c'}))  # fmt: skip

    (row,) = rows_of("parquet", content(downloads, "requests.parquet"))
    assert (row["request_id"], row["cost"], row["project"]) == ("=1+1", None, None)
    assert json.loads(row["tags"]) == {"note": 'a "b",\n c'}
    assert row["occurred_at"].isoformat() == "2026-11-20T12:00:00+00:00"


def test_a_spreadsheet_has_numbers_dates_and_no_formulas(research, downloads):
    post(research.account, native(request_id="=1+1", workspace="research", streamed=True))

    book = openpyxl.load_workbook(io.BytesIO(content(downloads, "requests.xlsx")))
    names, cells = list(book["Rows"].rows)
    row = {name.value: cell for name, cell in zip(names, cells, strict=True)}
    assert (row["request_id"].value, row["request_id"].data_type) == ("=1+1", "s")
    assert (row["cost"].value, row["cost"].data_type) == (0.0035, "n")
    assert (row["occurred_at"].is_date, row["occurred_at"].value.hour) == (True, 12)
    assert (row["day"].value.isoformat()[:10], row["streamed"].value) == ("2026-11-20", True)


def test_a_sheet_that_is_full_is_followed_by_another(monkeypatch):
    monkeypatch.setattr("exports.containers.SHEET_ROWS", 3)
    columns = [Column("n", "integer")]

    data = b"".join(Xlsx().whole(columns, (f"{n}\n".encode() for n in range(5))))

    book = openpyxl.load_workbook(io.BytesIO(data))
    read = [[cell.value for cell in sheet["A"]] for sheet in book]
    assert (SHEET_ROWS, read) == (1_048_576, [["n", 0, 1], ["n", 2, 3], ["n", 4]])


@pytest.mark.parametrize("extension", ["jsonl", "xlsx", "parquet"])
def test_a_file_that_broke_off_can_be_told(extension):
    from exports.kinds import FORMATS

    kind, columns, pieces = FORMATS[extension], [Column("n", "integer")], []

    def failing():
        yield kind.row(columns, [1])
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011, PT012 - it is the one raised above
        for piece in kind.whole(columns, failing()):
            pieces.append(piece)
    data = b"".join(pieces)
    if extension == "jsonl":
        assert json.loads(data.splitlines()[-1]) == {"INCOMPLETE": True}
    else:
        with pytest.raises(Exception, match=r"footer|zip|magic"):
            rows_of(extension, data)


def test_rows_and_totals_are_counted_on_the_way(requests, research):
    from datetime import UTC, datetime

    from django.http import QueryDict

    from exports.kinds import kind_of
    from tests.factories import reach_of

    reach = reach_of(*research.account.workspaces.select_related("account"))
    totals = ask(research, metrics="requests,cost,input_tokens").totals
    for name in ("requests", "month-end"):
        tally = Tally()
        table = DATASETS[name].open(
            QueryDict("from=2026-11-01&to=2026-12-01"), reach, now=datetime.now(UTC)
        )
        b"".join(table.file(kind_of("csv"), tally))
        assert tally.totals["cost"] == totals["cost"]
        assert tally.totals["input_tokens"] == totals["input_tokens"]
        assert tally.rows == 4
