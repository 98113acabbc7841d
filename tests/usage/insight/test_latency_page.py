"""The page of latency and errors: figures of known requests, beside the period before."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import fetch, native, post, small_price_book
from tests.people import People, make_people
from usage.rollups.fold import fold_all

PAGE = "/admin/insight/latency/"


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


def send(people, *, days_ago=1, **fields):
    now = timezone.now()
    at = (now - timedelta(days=days_ago)).isoformat()
    row = native(occurred_at=at, workspace="research", endpoint="/v1/chat", **fields)
    post(people.acme, row, now=now)


def shown(client, user, table="speeds", **parameters):
    client.force_login(user)
    page = client.get(PAGE, parameters)
    assert page.status_code == 200
    return [
        (line.model, line.where, line.requests, [(f.text, f.change, f.tone) for f in line.figures])
        for line in page.context[table]
    ]


def test_how_fast_each_model_answers(client, people):
    """As its histograms tell, which are at most 4.9 % off."""
    for latency in (100, 200, 300, 4000):
        send(people, latency_ms=latency, time_to_first_token_ms=50)

    [(model, provider, requests, figures)] = shown(client, people.viewer)

    assert (model, provider, requests) == ("gpt-4o", "openai", 4)
    assert [text for text, _, _ in figures[:4]] == ["198 ms", "4.19 s", "51 ms", "51 ms"]


def test_failures_are_told_apart(client, people):
    for status in (200, 200, 200, 200, 400, 429, 429, 503):
        send(people, status=status)

    [(_, endpoint, requests, figures)] = shown(client, people.viewer, "failures")

    assert (endpoint, requests) == ("/v1/chat", 8)
    assert [text for text, _, _ in figures] == ["50.0 %", "12.5 %", "25.0 %", "12.5 %"]


def test_each_stands_beside_the_period_before(client, people):
    send(people, latency_ms=200)
    send(people, latency_ms=100, days_ago=9)
    send(people, status=503, days_ago=9)

    [(*_, speeds)] = shown(client, people.viewer)
    [(*_, failures)] = shown(client, people.viewer, "failures")

    assert speeds[0][1:] == ("↑ 95 %", "bad")
    assert failures[0] == failures[3] == ("0.0 %", "↓ 50.0 points", "good")


def test_how_requests_failed_is_unknown_where_they_are_not_kept(client, people):
    send(people, status=503)
    fold_all()
    fetch("DELETE FROM usage_requestlog RETURNING 1")

    [(*_, figures)] = shown(client, people.viewer, "failures")

    assert [text for text, _, _ in figures] == ["100.0 %", "—", "—", "—"]


def test_nothing_but_failed_requests_is_read_from_the_log(client, people):
    send(people, latency_ms=200)
    fold_all()

    with CaptureQueriesContext(connection) as queries:
        shown(client, people.viewer)

    raw = [q["sql"] for q in queries if "usage_requestlog" in q["sql"]]
    assert all("l.status >= 400" in sql or "usage_unfolded" in sql for sql in raw)


def test_only_the_own_workspaces_count(client, people):
    send(people, latency_ms=200)

    assert shown(client, people.outsider) == []
    assert shown(client, people.support_manager) == []
    assert len(shown(client, people.staff, account="acme", workspace="research")) == 1


def test_any_other_period_is_the_usual_one(client, people):
    send(people, latency_ms=200, days_ago=20)

    assert shown(client, people.viewer, days="nonsense") == []
    assert len(shown(client, people.viewer, days="30")) == 1
