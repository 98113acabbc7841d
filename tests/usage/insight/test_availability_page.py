"""The page of availability and its route: who sees which providers, and who configures what."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import bearer, native, post, small_price_book
from tests.people import People, make_people
from usage.models import OutageWatch, Provider, ProviderChange, ProviderCheck, ProviderState

PAGE, API = "/admin/insight/availability/", "/api/v1/availability/"
CHECKS, MAILS = "/admin/usage/providercheck/", "/admin/usage/outagewatch/"


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    people = make_people()
    now = timezone.now()
    for status, account, workspace, provider in (
        (200, people.acme, "research", "openai"),
        (503, people.acme, "research", "openai"),
        (200, people.globex, "launch", "mistral"),
    ):
        at = (now - timedelta(minutes=2)).isoformat()
        row = native(occurred_at=at, workspace=workspace, provider=provider, status=status)
        post(account, row, now=now)
    return people


def seen(client, user):
    client.force_login(user)
    return [one.provider.name for one in client.get(PAGE).context["standings"]]


def test_each_sees_the_providers_of_the_own_requests(client, people):
    assert seen(client, people.viewer) == ["openai"]
    assert seen(client, people.outsider) == ["mistral"]
    assert seen(client, people.support_manager) == []
    assert seen(client, people.staff) == ["mistral", "openai"]


def test_what_is_down_comes_first(client, people):
    openai = Provider.objects.get(name="openai")
    ProviderState.objects.create(provider=openai, is_up=False, since=timezone.now())
    ProviderChange.objects.create(
        provider=openai, is_up=False, changed_at=timezone.now(), reason="Its check failed."
    )

    assert seen(client, people.staff) == ["openai", "mistral"]
    assert b"Its check failed." in client.get(PAGE).content


def test_of_many_models_the_most_used_are_shown_and_the_rest_is_folded_away(client, people):
    now = timezone.now()
    rows = [
        native(occurred_at=None, workspace="research", provider="openai", model=f"m{number}")
        for number in range(12)
    ]
    post(people.acme, *rows, now=now)
    client.force_login(people.viewer)

    shown, folded = client.get(PAGE).content.decode().split("5 more models")

    assert "gpt-4o" in shown
    assert folded.count("<td>m") == 5


def test_of_what_others_use_nothing_is_told(client, people):
    mistral = Provider.objects.get(name="mistral")
    ProviderChange.objects.create(
        provider=mistral, is_up=False, changed_at=timezone.now(), reason="secret"
    )
    client.force_login(people.viewer)

    assert b"secret" not in client.get(PAGE).content


def test_the_route_tells_the_windows_apart(client, people):
    [found] = client.get(API, headers=bearer(people.acme, "read")).json()["providers"]

    assert (found["provider"], found["state"], found["check"]) == ("openai", "up", None)
    assert found["requests"]["5m"] == {
        "requests": 2, "failed": 1, "rate_limited": 0, "availability": "0.500000"
    }  # fmt: skip
    assert [one["model"] for one in found["models"]] == ["gpt-4o"]


def test_the_route_is_for_readers_and_knows_no_other_workspace(client, people):
    narrow = bearer(people.acme, "read", workspaces=[people.support])

    assert client.get(API, headers=narrow).json() == {"providers": []}
    assert client.get(API, headers=bearer(people.acme, "ingest")).status_code == 403


@pytest.mark.parametrize(("who", "status"), [("staff", 200), ("owner", 403), ("viewer", 403)])
def test_checks_are_for_platform_staff(client, people, who, status):
    client.force_login(getattr(people, who))

    assert client.get(CHECKS).status_code == status
    assert client.get(f"{CHECKS}add/").status_code == status


def test_a_bad_address_is_refused_in_the_form(client, people):
    client.force_login(people.staff)
    values = {"provider": Provider.objects.first().pk, "url": "file:///etc/passwd"}
    values |= {"expected_status": 200, "timeout_seconds": 5, "is_enabled": "on"}

    answer = client.post(f"{CHECKS}add/", values)

    assert b"Begin with https:// or http://" in answer.content
    assert not ProviderCheck.objects.exists()


def test_outage_mails_are_for_who_manages_the_whole_account(client, people):
    values = {"account": people.acme.pk, "provider": "", "recipients": "ops@acme.example"}

    client.force_login(people.support_manager)
    assert client.post(f"{MAILS}add/", values).status_code == 403
    client.force_login(people.manager)
    assert client.post(f"{MAILS}add/", values).status_code == 302
    assert OutageWatch.objects.get().recipients == ["ops@acme.example"]
    client.force_login(people.outsider)
    assert client.get(f"{MAILS}{OutageWatch.objects.get().pk}/change/").status_code == 404


def test_the_dashboard_says_which_of_ones_own_providers_is_down(client, people):
    mistral = Provider.objects.get(name="mistral")
    ProviderState.objects.create(provider=mistral, is_up=False, since=timezone.now())

    client.force_login(people.outsider)
    assert b"mistral does not answer" in client.get("/admin/").content
    client.force_login(people.viewer)
    assert b"does not answer" not in client.get("/admin/").content
