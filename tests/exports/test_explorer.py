"""The explorer's files hold what its page shows, and nothing that may not be taken along."""

import csv
import io
import json

import pytest

from tests.factories import native, post, small_price_book
from tests.people import People, make_people
from usage.reports.run import plain

EXPLORER, FILE = "/admin/explorer/", "/admin/exports/explorer."
PERIOD = {"from": "2026-11-18", "to": "2026-11-21"}
SHOWN = [
    {"metrics": "cost,requests,error_rate", "group_by": "model"},
    {"metrics": "cost", "group_by": "project", "columns": "time"},
    {"metrics": "cost,requests", "group_by": "project,model", "columns": "model", "limit": "1"},
    {"metrics": "requests", "group_by": "model", "compare": "previous", "granularity": "day"},
    {"metrics": "requests,latency_ms_p95", "group_by": "workspace", "order": "workspace"},
    {"metrics": "requests"},
]


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    people = make_people()
    post(
        people.acme,
        native(workspace="research", project="apollo", latency_ms=40),
        native(workspace="research", project="=cmd()", occurred_at="2026-11-19T10:00:00Z"),
        native(workspace="support", status=500, model="unheard-of", latency_ms=900),
    )
    return people


def lines(client, extension, **parameters):
    answer = client.get(f"{FILE}{extension}", parameters)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def rows_of_csv(content):
    header, *rows = csv.reader(io.StringIO(content.decode()))
    return header, rows


def as_shown(page):
    """The page's lines as a CSV file writes figures."""
    grid = page.context["grid"]
    return [
        [
            "" if found is None or found.get(name) is None else str(plain(found[name]))
            for found in line.figures
            for name in grid.figures
        ]
        for line in grid.lines
    ]


@pytest.mark.parametrize("asked", SHOWN)
def test_a_file_has_the_lines_and_figures_of_the_page(client, people, asked):
    client.force_login(people.accountant)
    page = client.get(EXPLORER, PERIOD | asked)

    header, rows = rows_of_csv(lines(client, "csv", **PERIOD, **asked))

    grid = page.context["grid"]
    assert [row[len(grid.axes) :] for row in rows] == as_shown(page)
    assert len(set(header)) == len(grid.axes) + len(grid.groups) * len(grid.figures)
    assert [row[0] for row in rows if grid.axes][-1:] == (["Total"] if grid.axes else [])


@pytest.mark.parametrize("asked", SHOWN)
def test_json_says_the_same_as_csv(client, people, asked):
    client.force_login(people.accountant)

    header, rows = rows_of_csv(lines(client, "csv", **PERIOD, **asked))
    records = json.loads(lines(client, "json", **PERIOD, **asked))

    assert [list(record) for record in records] == [
        [name.removeprefix("'") for name in header]
    ] * len(rows)
    assert [["" if v is None else str(v) for v in r.values()] for r in records] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


def test_xlsx_says_the_same_as_csv(client, people):
    from openpyxl import load_workbook

    client.force_login(people.accountant)
    asked = {**PERIOD, "metrics": "requests", "group_by": "project", "columns": "time"}

    header, rows = rows_of_csv(lines(client, "csv", **asked))
    sheet = load_workbook(io.BytesIO(lines(client, "xlsx", **asked))).worksheets[0]

    every = [
        ["" if v is None else str(v) for v in row] for row in sheet.iter_rows(values_only=True)
    ]
    assert every == [header, *[[cell.removeprefix("'") for cell in row] for row in rows]]


def test_columns_of_time_are_named_as_times_are_written(client, people):
    client.force_login(people.accountant)

    header, rows = rows_of_csv(
        lines(client, "csv", **PERIOD, metrics="cost", group_by="project", columns="time")
    )

    assert header == ["project", "Total", "2026-11-18", "2026-11-19", "2026-11-20"]
    assert rows[-1] == ["Total", "0.007", "", "0.0035", "0.0035"]


def test_no_name_is_run_as_a_formula(client, people):
    client.force_login(people.accountant)

    header, _ = rows_of_csv(
        lines(client, "csv", **PERIOD, metrics="cost", group_by="project", columns="project")
    )
    _, rows = rows_of_csv(lines(client, "csv", **PERIOD, metrics="cost", group_by="project"))

    assert "'=cmd()" in header
    assert "'=cmd()" in [row[0] for row in rows]


def test_only_who_may_export_gets_a_file_and_only_of_that(client, people):
    asked = {**PERIOD, "metrics": "requests"}
    found = {}
    for name in ("owner", "manager", "accountant", "viewer", "support_manager", "outsider"):
        client.force_login(getattr(people, name))
        answer = client.get(f"{FILE}csv", asked)
        found[name] = answer.status_code
        if answer.status_code == 200:
            found[name] = rows_of_csv(b"".join(answer.streaming_content))[1][-1][-1]

    assert found == {
        "owner": "3", "manager": "3", "accountant": "3", "viewer": 403,
        "support_manager": "1", "outsider": "0",
    }  # fmt: skip


def test_the_page_offers_files_to_those_who_may_have_them(client, people):
    offered = {}
    for user in (people.accountant, people.viewer):
        client.force_login(user)
        page = client.get(EXPLORER, PERIOD | {"metrics": "requests"})
        offered[user.username] = FILE in page.content.decode()

    assert offered == {"amina": True, "vera": False}


def test_what_cannot_be_asked_makes_no_file(client, people):
    client.force_login(people.accountant)

    answer = client.get(f"{FILE}csv", {"metrics": "cots"})

    assert answer.status_code == 400
    assert "There is no metric 'cots'" in answer.content.decode()


def test_strangers_are_asked_to_log_in(client, db):
    assert client.get(f"{FILE}csv")["Location"].startswith("/admin/login/")
