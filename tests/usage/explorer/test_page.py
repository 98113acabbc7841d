"""The explorer's page: what it shows is what the API answers, to whom it may be shown."""

import re
from decimal import Decimal
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import bearer, native, post, small_price_book
from tests.people import People, make_people
from tests.usage.calls import USAGE

EXPLORER = "/admin/explorer/"
PERIOD = {"from": "2026-11-14", "to": "2026-11-21"}
MOST_QUERIES = 17  # eleven of them are the session's and the navigation's


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


@pytest.fixture
def recorded(people: People) -> People:
    """Acme's requests in two workspaces on two days, and one of Globex'."""
    research = {"workspace": "research", "project": "apollo", "member": "ada@acme.test"}
    post(
        people.acme,
        native(**research),
        native(**research, occurred_at="2026-11-19T10:00:00Z", input_tokens=2000),
        native(workspace="support", status=500, latency_ms=900, output_tokens=7),
        native(workspace="support", model="unheard-of"),
    )
    post(people.globex, native(workspace="launch", project="moon", model="moonshot"))
    return people


def opened(client, user, **parameters):
    client.force_login(user)
    page = client.get(EXPLORER, parameters)
    assert page.status_code == 200
    return page


def asked_of_api(client, account, page):
    """The API's answer to the page's own API call."""
    query = urlsplit(re.search(r"'(http.+)'", page.context["api_call"])[1]).query
    return client.get(f"{USAGE}?{query}", headers=bearer(account)).json()


def shown(page):
    return [
        [name.text for name in row.names] + [cell.exact for cell in row.cells]
        for row in page.context["table"].rows
    ]


QUESTIONS = [
    {"metrics": "cost,requests,error_rate", "group_by": "model"},
    {"metrics": "requests", "group_by": "workspace,model"},
    {"metrics": "cost", "group_by": "project", "granularity": "day"},
    {"metrics": "requests,latency_ms_p95", "granularity": "hour", "workspace": "support"},
    {"metrics": "cost,requests", "group_by": "member", "compare": "previous"},
    {"metrics": "requests", "group_by": "status_class", "status_class": ["2xx", "5xx"]},
    {"metrics": "requests", "group_by": "model", "project": "none"},
]


@pytest.mark.parametrize("asked", QUESTIONS)
def test_figures_are_those_of_the_api(client, recorded, asked):
    page = opened(client, recorded.viewer, **PERIOD, **asked)

    answer = asked_of_api(client, recorded.acme, page)
    grid = page.context["grid"]
    figures = grid.figures
    rows = [{name: line.values[name] for name in figures} for line in grid.rows]
    assert [as_text(row) for row in rows] == [
        {name: row[name] for name in figures} for row in answer["rows"]
    ]
    assert as_text(grid.total.figures[0]) == answer["totals"]
    assert answer["totals"]["requests"] > 0 if "requests" in figures else True


@pytest.mark.parametrize("columns", ["time", "model"])
def test_figures_over_columns_are_those_of_the_api(client, recorded, columns):
    asked = {"metrics": "cost,requests", "group_by": "workspace,model", "granularity": "day"}
    page = opened(client, recorded.viewer, **PERIOD, **asked, columns=columns)

    answer = asked_of_api(client, recorded.acme, page)
    cells = [
        as_text(figures)
        for line in page.context["grid"].rows
        for figures in line.figures[1:]
        if figures
    ]
    expected = [{"cost": row["cost"], "requests": row["requests"]} for row in answer["rows"]]
    assert sorted(cells, key=str) == sorted(expected, key=str)
    assert as_text(page.context["grid"].total.figures[0]) == answer["totals"]


def as_text(figures):
    return {
        name: f"{value.normalize():f}"
        if isinstance(value, Decimal) and value
        else "0"
        if isinstance(value, Decimal)
        else value
        for name, value in figures.items()
    }


def test_without_a_question_it_is_spend_by_model_over_time(client, recorded):
    post(recorded.acme, native(workspace="research", occurred_at=None), now=timezone.now())

    page = opened(client, recorded.viewer)

    assert page.context["exploration"].question.group_by == ("model",)
    assert len(page.context["table"].headings) == 1 + 1 + 7
    assert [row[0] for row in shown(page)][-1] == "Total"


def test_projects_of_one_name_are_told_apart(client, recorded):
    post(recorded.acme, native(workspace="support", project="apollo"))

    rows = opened(client, recorded.viewer, **PERIOD, metrics="requests", group_by="project")
    columns = opened(
        client, recorded.viewer, **PERIOD, metrics="requests", group_by="project", columns="project"
    )

    names = {"apollo (Research)", "apollo (Support)", "no project"}
    assert {row[0] for row in shown(rows)} == {*names, "Total"}
    assert {heading.text for heading in columns.context["table"].headings} == {*names, "Total"}


def test_a_cell_leads_to_less_by_the_next_dimension(client, recorded):
    page = opened(client, recorded.viewer, **PERIOD, metrics="cost,requests", group_by="model")
    link = page.context["table"].rows[0].cells[0].link

    page = client.get(EXPLORER + link)

    assert page.context["exploration"].question.filters["model"].keys == ("gpt-4o",)
    assert page.context["exploration"].row_axes == ["workspace"]
    assert shown(page)[-1] == ["Total", "$0.01207", "3 requests"]


def test_at_the_bottom_are_the_requests(client, recorded):
    path = f"{EXPLORER}?from=2026-11-14&to=2026-11-21&metrics=requests&group_by=model"
    client.force_login(recorded.viewer)
    for _ in range(7):
        page = client.get(path)
        if page.context.get("page"):
            break
        link = page.context["table"].rows[0].cells[0].link
        path = link if link.startswith("/") else EXPLORER + link

    assert path.startswith("/admin/requests/?")
    assert {row["model"] for row in page.context["page"].rows} == {"gpt-4o"}
    assert len(page.context["page"].rows) == 2


def test_a_bucket_leads_into_its_own_time(client, recorded):
    page = opened(client, recorded.viewer, **PERIOD, metrics="requests", columns="time")
    link = page.context["table"].rows[-1].cells[-2].link

    assert parse_qs(urlsplit(link).query)["from"] == ["2026-11-19"]
    assert parse_qs(urlsplit(link).query)["to"] == ["2026-11-20"]


def test_an_outsider_sees_neither_figures_nor_names(client, recorded):
    for asked in ({}, {"account": "acme"}, {"workspace": "research"}, {"project_id": "1"}):
        page = opened(client, recorded.outsider, **PERIOD, **asked, group_by="project,member,model")
        words = unescape(page.content.decode()).replace("account=acme", "")
        assert "ada@acme.test" not in words
        assert "apollo" not in words
        assert "unheard-of" not in words


@pytest.mark.parametrize(
    ("who", "requests"),
    [
        ("owner", 4),
        ("manager", 4),
        ("accountant", 4),
        ("viewer", 4),
        ("support_manager", 2),
        ("outsider", 1),
        ("staff", 5),
    ],
)
def test_everybody_sees_what_their_roles_reach(client, recorded, who, requests):
    page = opened(client, getattr(recorded, who), **PERIOD, metrics="requests")

    assert page.context["grid"].total.figures[0] == {"requests": requests}


def test_who_has_no_role_is_told_so(client, recorded):
    assert "No role names you" in opened(client, recorded.newcomer).content.decode()


def test_strangers_are_asked_to_log_in(client, db):
    assert client.get(EXPLORER)["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(
    ("parameters", "control", "words"),
    [
        ({"metrics": "cots"}, "metrics", "did you mean"),
        ({"metrics": "cost", "group_by": "modle"}, "group_by", "did you mean model"),
        ({"metrics": "cost", "granularity": "fortnight"}, "granularity", "one of"),
        ({"metrics": "cost", "granularity": "minute"}, "granularity", "may have 1 day"),
        ({"columns": "colour"}, "columns", "one of"),
        ({"range": "yesterday"}, "period", "There is no range"),
        ({"from": "tomorrow"}, "period", "neither a day"),
        ({"from": "2026-11-02", "to": "2026-11-02"}, "period", "after the last"),
        ({"from": "1000-01-01", "to": "3000-01-01"}, "period", "ten years"),
        ({"from": "0001-01-01", "to": "0001-02-01", "compare": "previous"}, "compare", "no time"),
        ({"compare": "never"}, "compare", "previous"),
        ({"limit": "0"}, "limit", "whole number"),
        ({"limit": "9" * 5000}, "limit", "whole number"),
        ({"order": "-weather"}, "order", "one of"),
        (
            {"metrics": "latency_ms_p95", "order": "-latency_ms_p95", "columns": "time"},
            "order",
            "p",
        ),
        ({"metrics": "cost", "columns": "time", "by": "never"}, "order", "never"),
        ({"modle": "gpt-4o"}, "filters", "did you mean model"),
        ({"project_id": "seven"}, "filter_project", "whole number"),
        ({"streamed_id": "1"}, "filter_streamed", "no ids"),
        ({"account": "globex"}, "account", "not yours"),
        ({"timezone": "Mars/Base"}, "timezone", "time zone"),
        ({"chart": "pie"}, "chart", "There is no chart"),
        ({"metrics": "cost", "metric": "requests"}, "metric", "one of"),
    ],
)
def test_what_cannot_be_asked_is_said_beside_its_control(
    client, recorded, parameters, control, words
):
    page = opened(client, recorded.viewer, **parameters)

    assert words in page.context["problems"][control]
    assert unescape(page.content.decode()).count(page.context["problems"][control]) == 1


def test_the_page_asks_few_questions(client, recorded):
    client.force_login(recorded.viewer)
    for asked in ({}, {"metrics": "cost", "group_by": "project,member", "project_id": "1"}):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(EXPLORER, asked)
        reports = [q for q in queries if "WITH z " in q["sql"]]
        assert len(reports) == 2  # the table, and how many requests spend leaves out
        assert len(queries) <= MOST_QUERIES


def compared(client, user, **more):
    return opened(client, user, metrics="requests", compare="previous", **more)


def test_a_period_before_without_requests_is_not_compared_with(client, recorded):
    page = compared(client, recorded.viewer, **PERIOD)

    assert "there was nothing from Nov 7 – 13, 2026" in page.content.decode()
    assert [row.cells[0].change for row in page.context["table"].rows] == [None]


def test_a_period_before_that_began_without_data_is_told(client, recorded):
    page = compared(client, recorded.viewer, **{"from": "2026-11-20", "to": "2026-11-21"})
    assert "Recording began within" not in page.content.decode()

    page = compared(client, recorded.viewer, **{"from": "2026-11-20", "to": "2026-11-24"})
    assert "Recording began within the period before (Nov 16 – 19, 2026)" in page.content.decode()
    assert page.context["table"].rows[0].cells[0].change.text == "200.0 %"


def test_what_spend_leaves_out_is_told(client, recorded):
    page = opened(client, recorded.viewer, **PERIOD, metrics="cost", group_by="workspace")

    assert page.context["unpriced"] == 1
    log = client.get(page.context["unpriced_url"])
    assert [row["model"] for row in log.context["page"].rows] == ["unheard-of"]
    assert opened(client, recorded.viewer, **PERIOD, metrics="requests").context["unpriced"] == 0


@pytest.mark.parametrize("more", [{}, {"columns": "time"}, {"group_by": "model"}])
def test_unknown_spend_is_not_an_empty_page(client, recorded, more):
    page = opened(client, recorded.viewer, **PERIOD, metrics="cost", model="unheard-of", **more)

    assert not page.context["grid"].is_empty
    assert "unknown" in shown(page)[-1]


@pytest.mark.parametrize("more", [{}, {"columns": "time"}, {"group_by": "model"}])
def test_where_nothing_was_the_page_says_what_to_do(client, recorded, more):
    page = opened(client, recorded.viewer, **{"from": "2020-01-01", "to": "2020-01-03"},
        metrics="requests", **more)  # fmt: skip

    assert "Choose a longer period" in page.content.decode()


@pytest.mark.parametrize(
    ("asked", "headed"),
    [
        ({"metrics": "cost,requests"}, "Spend"),
        ({"metrics": "cost,requests", "order": "requests"}, "Requests"),
        ({"metrics": "latency_ms_p95,requests"}, "Latency p95"),
        ({"metrics": "latency_ms_p95,requests", "columns": "time"}, "Requests"),
        ({"metrics": "requests", "columns": "time", "by": "2026-11-19"}, "Nov 19"),
        ({"metrics": "requests", "granularity": "day"}, "Day"),
        ({"metrics": "requests", "order": "model"}, "Model"),
    ],
)
def test_the_heading_says_what_rows_are_ordered_by(client, recorded, asked, headed):
    page = opened(client, recorded.viewer, **PERIOD, group_by="model", **asked)

    headings = page.context["table"].headings
    assert [h.text for h in headings if h.direction != "none"] == [headed]


def test_no_name_is_taken_for_markup(client, recorded):
    name = '<b onclick="x">&\'"'
    post(recorded.acme, native(workspace="research", project=name, model=name))
    asked = {"metrics": "cost,requests", "group_by": "project,model", "compare": "previous"}

    for more in ({"columns": "model"}, {"project": name, "model": name}, {"chart": "heat"}):
        page = opened(client, recorded.viewer, **PERIOD, **asked, **more).content.decode()
        assert "<b onclick" not in page
        assert "&lt;b onclick" in page


def test_a_table_does_not_grow_past_what_a_browser_shows(client, recorded):
    asked = {"metrics": "cost,requests", "group_by": "model", "columns": "time", "limit": "500"}

    page = opened(client, recorded.viewer, range="90d", **asked)

    assert page.context["exploration"].limit == 4000 // (91 * 2)
    assert "at most 21 rows" in page.context["problems"]["limit"]


def never_answered(*_, **__):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1")
        cursor.execute("SELECT pg_sleep(1)")


@pytest.mark.parametrize("part", ["lay_out", "notes.unpriced_requests"])
def test_a_question_that_takes_too_long_is_answered_in_words(client, recorded, monkeypatch, part):
    monkeypatch.setattr(f"usage.explorer.page.{part}", never_answered)

    page = opened(client, recorded.viewer, **PERIOD, metrics="requests")

    assert "Choose a shorter period" in page.context["problems"]["question"]
    assert page.context["table"] is None


def test_a_file_and_a_search_that_take_too_long_are_answered_in_words(
    client, recorded, monkeypatch
):
    client.force_login(recorded.owner)
    monkeypatch.setattr("exports.explorer.lay_out", never_answered)
    file = client.get("/admin/exports/explorer.csv", PERIOD)
    monkeypatch.setattr("usage.explorer.page.found_values", never_answered)
    values = client.get(f"{EXPLORER}values/", PERIOD | {"dimension": "model"})

    assert (file.status_code, values.status_code) == (400, 400)
    assert "Choose a shorter period" in file.content.decode()
    assert "Choose a shorter period" in values.json()["error"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"metrics": "latency_ms_p95", "group_by": "model,provider"}, ""),
        ({"metrics": "cost,latency_ms_p95", "group_by": "member"}, "Percentiles by member are"),
        ({"metrics": "latency_ms_p95", "granularity": "hour"}, "Percentiles by hour are"),
        ({"metrics": "latency_ms_p95", "group_by": "project", "columns": "model"}, "by project"),
        ({"metrics": "requests", "group_by": "status_class"}, "This is read from single requests"),
    ],
)
def test_what_is_read_from_single_requests_says_so(client, recorded, asked, words):
    page = opened(client, recorded.viewer, **PERIOD, **asked)

    assert words in page.context["slow"]
    assert bool(words) == bool(page.context["slow"])
    assert page.context["slow"] in page.content.decode()
