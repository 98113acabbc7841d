"""The page of savings and its route: who sees what, who decides, and that the figures agree."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import bearer
from tests.people import People, make_people
from tests.usage.insight.traffic import CHEAP, DEAR, capabilities, price_book, spread
from usage.insight import savings
from usage.insight_models import Saving

PAGE, API = "/admin/insight/savings/", "/api/v1/savings/"


@pytest.fixture
def people(db: None) -> People:
    price_book()
    capabilities()
    people = make_people()
    now = timezone.now()
    for account, slug in ((people.acme, "research"), (people.globex, "launch")):
        spread(account, 300, model=DEAR, workspace=slug, until=now, input_tokens=5000)
        savings.refresh(account, now=now)
    return people


def seen(client, user, **parameters):
    client.force_login(user)
    page = client.get(PAGE, parameters)
    assert page.status_code == 200
    cards = [card for _, _, cards in page.context["sections"] for card in cards]
    return sorted({card.saving.workspace.slug for card in cards})


def test_everybody_sees_the_own_workspaces(client, people):
    assert {
        who: seen(client, getattr(people, who))
        for who in ("staff", "viewer", "accountant", "support_manager", "outsider", "newcomer")
    } == {
        "staff": ["launch", "research"],
        "viewer": ["research"],
        "accountant": ["research"],
        "support_manager": [],
        "outsider": ["launch"],
        "newcomer": [],
    }


def decided(client, user, saving, **given):
    client.force_login(user)
    response = client.post(f"{PAGE}{saving.pk}/decide/", given)
    saving.refresh_from_db()
    return response.status_code


def of_acme(people):
    return Saving.objects.get(account=people.acme, candidate=CHEAP)


@pytest.mark.parametrize(
    ("who", "status", "state"),
    [
        ("manager", 302, "accepted"),
        ("owner", 302, "accepted"),
        ("viewer", 404, "open"),
        ("accountant", 404, "open"),
        ("support_manager", 404, "open"),
        ("outsider", 404, "open"),
    ],
)
def test_managers_of_the_workspace_decide(client, people, who, status, state):
    saving = of_acme(people)

    assert decided(client, getattr(people, who), saving, state="accepted") == status
    assert saving.state == state


def test_a_dismissal_without_a_reason_is_refused_and_says_so(client, people):
    saving = of_acme(people)

    decided(client, people.owner, saving, state="dismissed")

    assert saving.state == "open"
    assert b"Say why it is dismissed" in client.get(PAGE).content


def test_what_was_decided_stands_with_who_and_why(client, people):
    saving = of_acme(people)
    decided(client, people.owner, saving, state="dismissed", reason="Tone")

    page = client.get(PAGE, {"state": "dismissed"}).content.decode()

    assert "“Tone”" in page
    assert "olivia" in page


def test_after_a_decision_nobody_is_led_elsewhere(client, people):
    client.force_login(people.owner)
    address = f"{PAGE}{of_acme(people).pk}/decide/"

    answer = client.post(address, {"state": "accepted", "next": "https://evil.example/"})

    assert answer["Location"] == PAGE


def test_the_page_takes_few_queries_however_many_there_are(client, people):
    client.force_login(people.staff)
    client.get(PAGE)
    with CaptureQueriesContext(connection) as queries:
        client.get(PAGE)

    assert len(queries) <= 18


def test_only_managers_have_it_looked_for_again(client, people):
    client.force_login(people.viewer)
    assert client.post(f"{PAGE}find/").status_code == 403
    client.force_login(people.manager)
    assert client.post(f"{PAGE}find/").status_code == 302


def test_the_route_gives_the_same_figures_as_text(client, people):
    headers = bearer(people.acme, "read")
    [found] = [
        one
        for one in client.get(API, {"kind": "substitution"}, headers=headers).json()["results"]
        if one["candidate"] == CHEAP
    ]

    saving = of_acme(people)
    assert Decimal(found["monthly"]) == saving.monthly
    assert Decimal(found["cost_then"]) == saving.cost_then
    assert found["workspace"] == "research"
    assert found["evidence"]["now"]["requests"] == 300


def test_the_route_needs_the_scope_and_knows_no_other_account(client, people):
    assert client.get(API, headers=bearer(people.acme, "ingest")).status_code == 403
    assert client.get(API).status_code == 401
    narrow = bearer(people.acme, "read", workspaces=[people.support])
    assert client.get(API, headers=narrow).json()["results"] == []


def test_the_route_is_paged_and_refuses_unknown_states(client, people):
    headers = bearer(people.acme, "read")
    first = client.get(API, {"page_size": 1}, headers=headers).json()
    second = client.get(first["next"], headers=headers).json()

    assert first["results"][0]["id"] > second["results"][0]["id"]
    assert client.get(API, {"state": "opne"}, headers=headers).status_code == 400


def test_likely_savings_count_each_request_once(client, people):
    """cheap-1 and tiny-1 could serve the same traffic, but not both at once."""
    client.force_login(people.owner)
    summary = client.get(PAGE).context["summary"]
    each = Saving.objects.filter(account=people.acme, kind="substitution")

    assert each.count() == 2
    assert summary["likely"] == of_acme(people).monthly
    assert summary["possible"] == max(s.monthly for s in Saving.objects.filter(account=people.acme))
