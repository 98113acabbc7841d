"""Merging projects and giving keys to members, as people do it; deleting is refused."""

from datetime import UTC, datetime

import pytest

from accounts.models import AccessToken, ApiKey, Member, Project, Reattribution
from tests.factories import native, post
from tests.people import make_people

TODAY = datetime.now(UTC)


@pytest.fixture
def people(db):
    people = make_people()
    row = {"workspace": "research", "occurred_at": None, "api_key": "k1"}
    post(people.acme, native(**row, project="app"), native(**row, project="app-2"), now=TODAY)
    Member.objects.create(account=people.acme, identifier="ada@acme.test")
    post(people.globex, native(workspace="launch", project="moon", api_key="k9"), now=TODAY)
    return people


def merge_page(tag="app-2"):
    return f"/admin/accounts/project/{Project.objects.get(tag=tag).pk}/merge/"


def claim_page(identifier="k1"):
    return f"/admin/accounts/apikey/{ApiKey.objects.get(identifier=identifier).pk}/claim/"


def test_a_manager_merges_two_projects(people, client):
    client.force_login(people.manager)
    into = Project.objects.get(tag="app")

    shown = client.get(merge_page()).content.decode()
    answer = client.post(merge_page(), {"into": into.pk}, follow=True).content.decode()

    merged = Project.objects.get(tag="app-2")
    assert "<strong>1</strong> request" in shown
    assert "Merged into app." in answer
    assert (merged.merged_into, merged.archived_at is None) == (into, False)
    assert str(Reattribution.objects.get()) == "app-2 → app"


def test_a_project_of_another_workspace_is_no_choice(people, client):
    client.force_login(people.staff)
    moon = Project.objects.get(tag="moon")

    answer = client.post(merge_page(), {"into": moon.pk}).content.decode()

    assert "not one of the available choices" in answer
    assert not Reattribution.objects.exists()


def test_a_manager_gives_a_key_to_a_member(people, client):
    client.force_login(people.manager)
    ada = Member.objects.get(identifier="ada@acme.test")

    client.post(claim_page(), {"member": ada.pk, "with_history": "on"})

    asked = Reattribution.objects.get()
    assert (asked.from_member, asked.to_member, asked.requested_by) == (None, ada, people.manager)
    assert asked.api_key.member == ada


def test_history_may_be_left_where_it_is(people, client):
    client.force_login(people.manager)
    ada = Member.objects.get(identifier="ada@acme.test")

    client.post(claim_page(), {"member": ada.pk})

    assert ApiKey.objects.get(identifier="k1").member == ada
    assert not Reattribution.objects.exists()


@pytest.mark.parametrize(
    ("name", "status"),
    [("viewer", 403), ("accountant", 403), ("outsider", 404), ("newcomer", 404)],
)
@pytest.mark.parametrize("page", [merge_page, claim_page])
def test_others_move_nothing(people, client, name, status, page):
    client.force_login(getattr(people, name))

    answers = client.get(page()).status_code, client.post(page(), {"into": 1}).status_code

    assert answers == (status, status)
    assert not Reattribution.objects.exists()


def test_moves_are_listed_for_those_who_may_make_them(people, client):
    client.force_login(people.owner)
    client.post(merge_page(), {"into": Project.objects.get(tag="app").pk})
    listed = "/admin/accounts/reattribution/"

    assert "app-2 → app" in client.get(listed).content.decode()
    client.force_login(people.outsider)
    assert "app-2" not in client.get(listed).content.decode()
    client.force_login(people.viewer)
    assert client.get(listed).status_code == 403


def test_a_key_is_disabled_and_enabled_again(people, client):
    client.force_login(people.manager)
    key = ApiKey.objects.get(identifier="k1")
    form = {"name": "", "member": "", "default_project": ""}
    page = f"/admin/accounts/apikey/{key.pk}/change/"

    client.post(page, form | {"accounts_apikey_disable_this": "1"})
    disabled = ApiKey.objects.get(pk=key.pk).disabled_at
    client.post(page, form | {"accounts_apikey_enable_this": "1"})

    assert disabled is not None
    assert ApiKey.objects.get(pk=key.pk).disabled_at is None


def test_deleting_is_refused_with_a_better_offer(people, client):
    client.force_login(people.owner)
    project = Project.objects.get(tag="app")
    page = f"/admin/accounts/project/{project.pk}/delete/"

    answer = client.post(page, {"post": "yes"}, follow=True).content.decode()

    assert "Archive it" in answer
    client.force_login(people.outsider)
    assert client.post(page, {"post": "yes"}).status_code == 404
    assert Project.objects.filter(pk=project.pk).exists()


def test_reloading_the_answer_issues_no_second_token(people, client):
    client.force_login(people.owner)
    page = "/admin/accounts/accesstoken/add/"
    once = client.get(page).context["adminform"].form.initial["once"]
    form = {"account": people.acme.pk, "name": "gateway", "scopes": ["ingest"], "once": once}
    form |= {"expires_at_0": "", "expires_at_1": ""}

    first = client.post(page, form).content.decode()
    again = client.post(page, form, follow=True).content.decode()

    assert "tb_" in first
    assert "issued already" in again
    assert AccessToken.objects.filter(name="gateway").count() == 1
