"""The month-end file as accountants open it: the right columns, and numbers that are numbers."""

import csv
import io
import re
import shutil
import subprocess
from decimal import Decimal

import openpyxl
import pytest

from accounts.models import Client, Project
from tests.exports.test_datasets import ask

pytestmark = pytest.mark.django_db(transaction=True)

PERIOD = {"from": "2026-11-01", "to": "2026-12-01"}
OFFICE = shutil.which("soffice")
# Comma, double quote, UTF-8, from the first line on, US English: what one chooses when it asks.
AS_CSV = "--infilter=CSV:44,34,76,1,,1033"
CONVERTS_SECONDS = 120

FIGURES = [
    *("requests", "errors", "input_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("output_tokens", "reasoning_tokens", "total_tokens", "cost", "unpriced_requests"),
    "ceiling_cost",
]
NAMES = [
    *("month", "client_id", "client", "client_name", "workspace_id", "workspace"),
    *("workspace_name", "project_id", "project", "project_name", "model_id", "model"),
    *("member_id", "member", "member_name", *FIGURES),
]


@pytest.fixture
def billed(requests, acme):
    """A client and a project whose names are hard on spreadsheets."""
    client = Client.objects.create(account=acme, slug="soehne", name='Söhne, "Erben" & Co')
    Project.objects.filter(tag="apollo").update(client=client, name="=1+1")


def month_end(downloads, extension):
    response = downloads.get(f"exports/month-end.{extension}", **PERIOD)
    assert response.status_code == 200
    return b"".join(response.streaming_content)


@pytest.mark.skipif(OFFICE is None, reason="needs LibreOffice: docs/contributing.md says how")
@pytest.mark.parametrize(("extension", "options"), [("csv", [AS_CSV]), ("xlsx", [])])
def test_libreoffice_opens_it_with_numbers_as_numbers(
    billed, research, downloads, tmp_path, extension, options
):
    (tmp_path / f"month.{extension}").write_bytes(month_end(downloads, extension))
    names, *rows = opened_by_office(tmp_path, f"month.{extension}", options)

    totals = ask(research, metrics=",".join(FIGURES)).totals
    assert [cell.value for cell in names] == NAMES
    for number, figure in enumerate(FIGURES, NAMES.index("requests")):
        cells = [row[number] for row in rows if row[number].value is not None]
        assert {cell.data_type for cell in cells} <= {"n"}, figure
        assert sum(Decimal(str(cell.value)) for cell in cells) == totals[figure], figure
    texts = {cell.value for row in rows for cell in row}
    assert {'Söhne, "Erben" & Co', "'=1+1" if extension == "csv" else "=1+1"} <= texts
    assert {row[0].is_date and row[0].value.isoformat()[:10] for row in rows} == {"2026-11-01"}


def opened_by_office(folder, name, options):
    """The rows as LibreOffice understood them; with a profile of its own, it starts anywhere."""
    command = [OFFICE, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless"]
    command += [*options, "--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir", "opened", name]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=CONVERTS_SECONDS, check=True
    )
    path = folder / "opened/month.xlsx"
    assert path.exists(), done.stdout + done.stderr
    return list(openpyxl.load_workbook(path).active.rows)


def test_the_file_is_what_every_spreadsheet_reads(billed, downloads):
    data = month_end(downloads, "csv")
    lines = data.split(b"\r\n")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))

    assert lines[0] == ",".join(NAMES).encode()  # so that no mark stands before it
    assert (lines[-1], b"\n" in b"".join(lines)) == (b"", False)
    assert {len(row) for row in rows} == {len(NAMES)}
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-01", row["month"])
        for figure in FIGURES:
            assert re.fullmatch(r"(0|[1-9]\d*)(\.\d*[1-9])?|", row[figure]), (figure, row[figure])
