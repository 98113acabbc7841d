"""Moments on the pages of the admin: in the reader's zone, with UTC on hover."""

from datetime import UTC, datetime

import pytest

from accounts import tokens
from accounts.models import Scope
from tests.people import make_people

USED_AT = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)


@pytest.fixture
def people(db):
    people = make_people()
    people.acme.time_zone = "Asia/Kolkata"
    people.acme.save()
    return people


@pytest.fixture
def token(people):
    token, _ = tokens.issue(account=people.acme, name="gateway", scopes=[Scope.READ])
    token.note_use(now=USED_AT)
    return token


@pytest.mark.parametrize("address", ["", "{}/change/"])
def test_lists_and_forms_tell_them_in_the_zone_of_the_account(people, token, client, address):
    client.force_login(people.owner)

    page = client.get(f"/admin/accounts/accesstoken/{address.format(token.pk)}").content.decode()

    assert 'title="2026-11-20 22:30:00 UTC" class="whitespace-nowrap">2026-11-21 04:00</' in page


def test_whose_accounts_are_in_several_zones_is_told_utc(people, token, client):
    client.force_login(people.staff)

    page = client.get(f"/admin/accounts/accesstoken/{token.pk}/change/").content.decode()

    assert ">2026-11-20 22:30</time>" in page


def test_who_chooses_a_moment_is_told_in_which_zone(people, client):
    client.force_login(people.owner)

    assert "In UTC." in client.get("/admin/accounts/accesstoken/add/").content.decode()
