import pytest
from rest_framework.renderers import JSONRenderer

from exports.renderers import ReportCSVRenderer
from usage.views import UsageView

REPORT = {
    "query": {"group_by": ["project"], "granularity": "none"},
    "columns": [
        {"name": "project", "type": "string"},
        {"name": "requests", "type": "integer", "unit": "requests"},
        {"name": "cost", "type": "decimal", "unit": "USD"},
    ],
    "rows": [
        {"project": "=1+1", "requests": 2, "cost": "0.0035"},
        {"project": None, "requests": 1, "cost": None},
    ],
    "totals": {"requests": 3, "cost": "0.0035"},
}


def rendered(data):
    return ReportCSVRenderer().render(data).decode()


def test_a_report_becomes_its_columns_and_rows():
    assert rendered(REPORT) == "project,requests,cost\r\n'=1+1,2,0.0035\r\n,1,\r\n"


def test_a_report_grouped_by_nothing_is_its_total():
    report = REPORT | {
        "query": {"group_by": [], "granularity": "none"},
        "columns": REPORT["columns"][1:],
        "rows": [],
    }

    assert rendered(report) == "requests,cost\r\n3,0.0035\r\n"


def test_an_error_becomes_one_line():
    error = {"code": "bad_question", "message": 'No "x", sorry', "details": None}

    assert rendered({"error": error}) == (
        'code,message,details\r\nbad_question,"No ""x"", sorry",\r\n'
    )


def test_a_page_becomes_its_results():
    page = {"results": [{"id": 1, "tags": {"a": [1]}}, {"id": 2, "open": True}], "next": None}

    assert rendered(page) == 'id,tags,open\r\n1,"{""a"": [1]}",\r\n2,,true\r\n'


def test_nothing_becomes_nothing():
    assert rendered(None) == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("grouped", ["project,model", ""])
def test_the_reports_answer_as_csv_is_its_file(requests, downloads, monkeypatch, grouped):
    monkeypatch.setattr(UsageView, "renderer_classes", [JSONRenderer, ReportCSVRenderer])
    asked = {"group_by": grouped, "from": "2026-11-01", "to": "2026-12-01"}

    response = downloads.get("usage/", **asked, format="csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response.content.decode() == downloads.text("usage.csv", **asked)


@pytest.mark.django_db(transaction=True)
def test_a_question_that_cannot_be_asked_is_told_in_csv_too(downloads, monkeypatch):
    monkeypatch.setattr(UsageView, "renderer_classes", [JSONRenderer, ReportCSVRenderer])

    response = downloads.get("usage/", metrics="cots", format="csv")
    assert response.status_code == 400
    assert response.content.decode().splitlines()[1].startswith("bad_question,")
