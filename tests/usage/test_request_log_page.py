import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Member
from tests.factories import make_price, native, post, save_prices, small_price_book
from tests.people import People, make_people
from usage import requests

LOG = "/admin/requests/"
DETAIL = "/admin/requests/one/"
COUNT_OF_LOG = re.compile(r"count\(\*\)\s+FROM\s+\"?usage_requestlog", re.IGNORECASE)
YESTERDAY = "2026-11-19T23:00:00Z"


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


@pytest.fixture
def logged(people: People) -> People:
    """Three of Acme's requests in two workspaces, and one of Globex'."""
    post(
        people.acme,
        native(request_id="a", workspace="research", project="apollo", member="ada@acme.test"),
        native(request_id="b", workspace="support", status=500, latency_ms=900, input_tokens=10),
        native(request_id="c", workspace="research", model="unheard-of", occurred_at=YESTERDAY),
    )
    post(people.globex, native(request_id="secret", workspace="launch", member="hank@globex.test"))
    return people


def listed(client, user, **parameters):
    client.force_login(user)
    page = client.get(LOG, parameters)
    assert page.status_code == 200
    return [row["request_id"] for row in page.context["page"].rows]


def test_the_newest_come_first(client, logged):
    assert listed(client, logged.viewer) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({"workspace": "research"}, ["a", "c"]),
        ({"project": "apollo"}, ["a"]),
        ({"member": "ada@acme.test"}, ["a"]),
        ({"status_class": "5xx"}, ["b"]),
        ({"status": "500"}, ["b"]),
        ({"latency_min": "900"}, ["b"]),
        ({"cost_min": "0.0035"}, ["a"]),
        ({"unpriced": "1"}, ["c"]),
        ({"model": "unheard-of"}, ["c"]),
        ({"request_id__startswith": "b"}, ["b"]),
        ({"from": "2026-11-19", "to": "2026-11-20"}, ["c"]),
    ],
)
def test_filters(client, logged, parameters, ids):
    assert listed(client, logged.viewer, **parameters) == ids


def test_a_search_that_takes_long_says_how_far_it_came_and_goes_on(client, logged, monkeypatch):
    monkeypatch.setattr(requests, "PATIENCE_SECONDS", -1)
    post(logged.acme, native(workspace="research", occurred_at="2026-11-01T12:00:00Z"))
    client.force_login(logged.viewer)

    page = client.get(LOG, {"tag": "team"}).content.decode()

    assert "only part of the log was searched" in page
    assert "No request found so far" in page
    assert page.count("Search further back") == 2


def test_an_outsider_sees_neither_rows_nor_names(client, logged):
    assert listed(client, logged.outsider) == ["secret"]
    for parameters in ({"account": "acme"}, {"workspace": "research"}, {"member_id": "1"}):
        page = client.get(LOG, parameters)
        assert page.context["page"].rows == []
        words = page.content.decode().replace("account=acme", "")
        assert "ada@acme.test" not in words
        assert "apollo" not in words
        assert "unheard-of" not in words


def test_a_role_in_one_workspace_lists_that_workspace(client, logged):
    assert listed(client, logged.support_manager) == ["b"]


def test_one_request_is_for_those_who_may_see_it(client, logged):
    address = {"workspace": str(logged.research.pk), "id": "a"}
    seen = {}
    for user in (logged.viewer, logged.outsider, logged.support_manager, logged.newcomer):
        client.force_login(user)
        seen[user.username] = client.get(DETAIL, address).status_code

    assert seen == {"vera": 200, "oscar": 404, "sven": 404, "nadia": 404}


@pytest.mark.parametrize("path", [LOG, DETAIL])
def test_strangers_are_asked_to_log_in(client, db, path):
    assert client.get(path)["Location"].startswith("/admin/login/")


def test_the_bill_is_shown_line_by_line_and_agrees(client, logged):
    client.force_login(logged.viewer)

    page = client.get(DETAIL, {"workspace": str(logged.research.pk), "id": "a"})

    explanation = page.context["explanation"]
    assert explanation.verdict == "agrees"
    assert [(line.meter, line.quantity, line.amount) for line in explanation.lines] == [
        ("input", 1000, Decimal("0.0025")),
        ("output", 100, Decimal("0.001")),
    ]


def test_an_unpriced_request_is_said_to_be_unknown_and_not_free(client, logged):
    client.force_login(logged.viewer)

    page = client.get(DETAIL, {"workspace": str(logged.research.pk), "id": "c"})

    assert "Unknown, not zero" in page.content.decode()


def test_a_price_approved_since_is_told(client, logged):
    save_prices(
        make_price("input", "1", model="unheard-of"), make_price("output", "1", model="unheard-of")
    )
    client.force_login(logged.viewer)

    page = client.get(DETAIL, {"workspace": str(logged.research.pk), "id": "c"})

    assert page.context["explanation"].verdict == "priced_since"


def test_a_question_that_cannot_be_asked_is_answered_in_words(client, logged):
    client.force_login(logged.viewer)

    page = client.get(LOG, {"modle": "gpt-4o"})

    assert "did you mean model" in page.content.decode()


def test_chips_take_one_filter_off(client, logged):
    client.force_login(logged.viewer)

    chips = client.get(LOG, {"model": "gpt-4o", "to": "2026-11-21"}).context["chips"]

    assert [(chip.label, chip.value, chip.without) for chip in chips] == [
        ("Model", "gpt-4o", "to=2026-11-21"),
        ("Through", "2026-11-20", "model=gpt-4o"),
    ]


def test_names_behind_ids_are_told_to_nobody_else(client, logged):
    member = Member.objects.get(identifier="ada@acme.test")
    told = {}
    for user in (logged.viewer, logged.support_manager, logged.outsider):
        client.force_login(user)
        [chip] = client.get(LOG, {"member_id": str(member.pk)}).context["chips"]
        told[user.username] = chip.value

    number = f"no. {member.pk}"
    assert told == {"vera": "ada@acme.test", "sven": number, "oscar": number}


def test_pages_follow_each_other_without_gaps(client, people):
    post(people.acme, *[native(request_id=f"r{i:03}", workspace="research") for i in range(60)])
    client.force_login(people.viewer)

    first = client.get(LOG, {"page_size": "25"})
    second = client.get(f"{LOG}?{first.context['older']}")
    third = client.get(f"{LOG}?{second.context['older']}")
    back = client.get(f"{LOG}?{second.context['newer']}")

    ids = [
        row["request_id"] for page in (first, second, third) for row in page.context["page"].rows
    ]
    assert ids == [f"r{i:03}" for i in reversed(range(60))]
    assert back.context["page"].rows == first.context["page"].rows


def test_the_log_is_never_counted(client, people):
    post(people.acme, *[native(workspace="research") for _ in range(30)], now=datetime.now(UTC))
    client.force_login(people.viewer)
    client.get(LOG)

    with CaptureQueriesContext(connection) as queries:
        client.get(LOG)

    assert len(queries) <= 25
    assert [q["sql"] for q in queries if COUNT_OF_LOG.search(q["sql"])] == []


def test_downloads_are_offered_with_the_same_filters_to_those_who_may(client, logged):
    client.force_login(logged.accountant)
    offered = client.get(LOG, {"model": "gpt-4o"}).content.decode()
    client.force_login(logged.viewer)
    hidden = client.get(LOG, {"model": "gpt-4o"}).content.decode()

    assert "/admin/exports/requests.csv?model=gpt-4o" in offered
    assert "/admin/exports/" not in hidden
