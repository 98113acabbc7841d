import pytest
from django.utils.html import strip_tags

from accounts.models import AccessToken, ApiKey
from tests.people import make_people


@pytest.fixture
def people(db):
    return make_people()


def way_to(client, path):
    page = client.get(path).content.decode()
    heading = page[page.index("<h1") : page.index("</h1>")]
    return " / ".join(w for w in strip_tags(heading).split() if w != "chevron_right")


def test_the_way_to_a_page_is_told_in_the_words_of_the_navigation(people, client):
    client.force_login(people.owner)
    key = ApiKey.objects.create(workspace=people.research, identifier="x", name="ada-laptop")

    assert way_to(client, "/admin/accounts/apikey/") == "Configuration / API / keys"
    page = f"/admin/accounts/apikey/{key.pk}/change/"
    assert way_to(client, page) == "Configuration / API / keys / ada-laptop"
    added = "Configuration / API / keys / Add / API / key"
    assert way_to(client, "/admin/accounts/apikey/add/") == added
    assert way_to(client, "/admin/budgets/budget/") == "Budgets / Budgets"
    assert way_to(client, "/admin/") == "Dashboard"


def test_lists_of_apps_lead_to_the_dashboard(people, client):
    client.force_login(people.owner)

    assert client.get("/admin/accounts/")["Location"] == "/admin/"


def test_moments_in_lists_are_of_the_readers_zone(people, client):
    people.acme.time_zone = "Asia/Tokyo"
    people.acme.save()
    token = AccessToken(account=people.acme, name="t", scopes=["read"])
    token.renew_secret()
    token.last_used_at = "2026-11-20T20:30:15Z"
    token.save()
    client.force_login(people.owner)

    page = client.get("/admin/accounts/accesstoken/").content.decode()

    assert ">2026-11-21 05:30</time>" in page
    assert 'title="2026-11-20 20:30:15 UTC"' in page
