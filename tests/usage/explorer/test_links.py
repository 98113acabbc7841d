"""Links to the explorer ask there what was asked here."""

from dataclasses import replace
from datetime import date
from urllib.parse import parse_qs, urlsplit

from django.http import QueryDict

from tests.factories import NOW, reach_of
from usage.explorer.links import explorer_url
from usage.explorer.reading import explore
from usage.reports.question import Filter, Question


def test_a_link_asks_the_same_question(workspace):
    asked = Question(
        reach=reach_of(workspace),
        start=date(2026, 11, 1),
        end=date(2026, 11, 8),
        granularity="day",
        group_by=("model", "project"),
        metrics=("cost", "error_rate"),
        filters={"project": Filter(ids=(7,), none=True), "model": Filter(keys=("a&b", "c"))},
        order=("-error_rate",),
        limit=25,
        compare="previous",
    )

    query = urlsplit(explorer_url(asked, account="acme", columns="time", chart="line")).query
    found = explore(QueryDict(query), asked.reach, now=NOW)

    assert found.problems == {}
    assert found.question == asked
    assert (found.account, found.spread, found.chart) == (workspace.account, "time", "line")


def test_a_named_range_stands_for_its_days(workspace):
    asked = Question(
        reach=reach_of(workspace), start=date(2026, 11, 1), end=date(2026, 11, 8), metrics=("cost",)
    )

    query = parse_qs(urlsplit(explorer_url(asked, range="30d", workspace="research")).query)

    assert query == {"metrics": ["cost"], "range": ["30d"], "workspace": ["research"]}


def test_an_address_written_again_is_the_same_exploration(workspace):
    text = "range=30d&metrics=cost,requests&group_by=project&columns=time&limit=5&chart=area"
    reach = reach_of(workspace)
    one = explore(QueryDict(text), reach, now=NOW)

    again = explore(QueryDict(one.query()), reach, now=NOW)

    assert again == one


def test_a_shared_link_keeps_its_range_and_not_its_days(workspace):
    reach = reach_of(workspace)
    one = explore(QueryDict("range=7d"), reach, now=NOW)

    later = explore(QueryDict(one.query()), reach, now=NOW.replace(day=25))

    assert later.question.end == date(2026, 11, 26)
    assert replace(later.question, start=one.question.start, end=one.question.end) == one.question
