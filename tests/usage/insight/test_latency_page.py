"""The page of latency and errors: figures of known requests, beside the period before."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import native, post, small_price_book
from tests.people import People, make_people

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


def shown(client, user, **parameters):
    client.force_login(user)
    page = client.get(PAGE, parameters)
    assert page.status_code == 200
    return [
        (line.model, line.requests, [(f.text, f.change, f.tone) for f in line.figures])
        for line in page.context["lines"]
    ]


def test_durations_and_failures_are_told_apart(client, people):
    for latency in (100, 200, 300, 4000):
        send(people, latency_ms=latency, time_to_first_token_ms=50)
    for status in (400, 429, 429, 503):
        send(people, status=status)

    [(model, requests, figures)] = shown(client, people.viewer)

    texts = [text for text, _, _ in figures]
    assert (model, requests) == ("gpt-4o", 8)
    assert texts[:4] == ["200 ms", "4.00 s", "50 ms", "50 ms"]
    assert texts[5:] == ["12.5 %", "25.0 %", "12.5 %"]


def test_each_stands_beside_the_period_before(client, people):
    send(people, latency_ms=200)
    send(people, latency_ms=100, days_ago=9)
    send(people, status=503, days_ago=9)

    [(_, requests, figures)] = shown(client, people.viewer)

    assert requests == 1
    assert figures[0] == ("200 ms", "↑ 100 %", "bad")
    assert figures[7] == ("0.0 %", "↓ 50.0 points", "good")


def test_only_the_own_workspaces_count(client, people):
    send(people, latency_ms=200)

    assert shown(client, people.outsider) == []
    assert shown(client, people.support_manager) == []
    assert len(shown(client, people.staff, account="acme", workspace="research")) == 1


def test_any_other_period_is_the_usual_one(client, people):
    send(people, latency_ms=200, days_ago=20)

    assert shown(client, people.viewer, days="nonsense") == []
    assert len(shown(client, people.viewer, days="30")) == 1
