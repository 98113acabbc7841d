"""Saved views: one's own, shared ones, and never more than the opener's own reach."""

import pytest
from django.contrib.messages import get_messages
from django.db import IntegrityError

from tests.factories import native, post, small_price_book
from tests.people import People, make_people
from usage.explorer.saved_models import SavedView

EXPLORER, SAVE, DELETE = "/admin/explorer/", "/admin/explorer/save/", "/admin/explorer/delete/"
QUERY = "from=2026-11-14&to=2026-11-21&metrics=requests&group_by=workspace"


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    people = make_people()
    post(people.acme, native(workspace="research"), native(workspace="support"))
    post(people.globex, native(workspace="launch"))
    return people


def save(client, user, name="Mine", query=QUERY, **more):
    client.force_login(user)
    return client.post(SAVE, {"name": name, "query": query} | more)


def listed(client, user):
    client.force_login(user)
    return [view.name for view in client.get(EXPLORER).context["views"]]


def told(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_view_is_saved_opened_and_found_again(client, people):
    answer = save(client, people.viewer)

    page = client.get(answer["Location"])

    assert page.context["view"].name == "Mine"
    assert page.context["view_is_own"]
    assert not page.context["view_is_changed"]
    assert page.context["grid"].total.figures[0] == {"requests": 2}
    assert told(answer) == ["Saved as “Mine”."]


def test_what_is_changed_since_is_said(client, people):
    query = save(client, people.viewer)["Location"].partition("?")[2]

    page = client.get(f"{EXPLORER}?{query}&compare=previous")

    assert page.context["view_is_changed"]


def test_a_named_range_stays_a_range(client, people):
    save(client, people.viewer, query="range=30d&metrics=cost")

    assert SavedView.objects.get().query.startswith("account=acme&range=30d&metrics=cost")


def test_who_sees_a_view(client, people):
    save(client, people.manager, "Private")
    save(client, people.manager, "Shared", shared="1")

    everybody = ("manager", "viewer", "support_manager", "outsider", "newcomer")
    assert {who: listed(client, getattr(people, who)) for who in everybody} == {
        "manager": ["Private", "Shared"],
        "viewer": ["Shared"],
        "support_manager": ["Shared"],
        "outsider": [],
        "newcomer": [],
    }


def test_a_shared_view_shows_nobody_more_than_they_may_see(client, people):
    save(client, people.manager, shared="1")
    view = SavedView.objects.get()

    totals = {}
    for user in (people.manager, people.support_manager, people.outsider):
        client.force_login(user)
        page = client.get(f"{EXPLORER}?{view.query}&view={view.pk}")
        totals[user.username] = page.context["grid"].total.figures[0]["requests"]
        assert page.context["view_is_own"] == (user == people.manager)

    assert totals == {"marcus": 2, "sven": 1, "oscar": 0}


def test_the_number_of_somebody_elses_view_tells_nothing(client, people):
    view = SavedView.objects.create(
        owner=people.manager, account=people.acme, name="Secret plans", query=QUERY
    )
    client.force_login(people.viewer)

    page = client.get(f"{EXPLORER}?{QUERY}&view={view.pk}")

    assert page.context["view"] is None
    assert "Secret plans" not in page.content.decode()


@pytest.mark.parametrize("who", ["viewer", "owner", "staff", "outsider"])
def test_only_its_owner_changes_or_deletes_a_view(client, people, who):
    save(client, people.manager, shared="1")
    view = SavedView.objects.get()

    changed = save(client, getattr(people, who), "Theirs", view=str(view.pk))
    deleted = client.post(DELETE, {"view": str(view.pk)})

    assert (changed.status_code, deleted.status_code) == (404, 404)
    assert [v.name for v in SavedView.objects.all()] == ["Mine"]


def test_its_owner_renames_and_deletes_it(client, people):
    save(client, people.viewer)
    view = SavedView.objects.get()

    save(client, people.viewer, "Ours", view=str(view.pk), shared="1")
    view.refresh_from_db()
    assert (view.name, view.is_shared) == ("Ours", True)

    client.post(DELETE, {"view": str(view.pk)})
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "  "}, "Give the view a name"),
        ({"name": "x" * 81}, "at most 80"),
        ({"name": "Taken"}, "already"),
    ],
)
def test_what_cannot_be_saved_is_said(client, people, fields, words):
    save(client, people.viewer, "Taken")

    answer = save(client, people.viewer, **fields)

    assert words in told(answer)[-1]
    assert SavedView.objects.count() == 1


def test_a_view_of_several_accounts_is_not_shared(client, people):
    answer = save(client, people.staff, "All", shared="1")

    assert "Choose one account" in told(answer)[-1]


def test_no_view_is_shared_without_an_account(people):
    with pytest.raises(IntegrityError, match="saved_view_is_shared_within_an_account"):
        SavedView.objects.create(owner=people.staff, name="All", query="", is_shared=True)


@pytest.mark.parametrize("view", ["0", "x", "9" * 400, "\x00"])
def test_numbers_that_are_none_are_not_found(client, people, view):
    client.force_login(people.viewer)

    assert client.post(DELETE, {"view": view}).status_code == 404
    assert client.get(EXPLORER, {"view": view}, follow=True).status_code == 200


def test_an_address_is_no_way_to_save_or_delete(client, people):
    client.force_login(people.viewer)

    assert (client.get(SAVE).status_code, client.get(DELETE).status_code) == (405, 405)


@pytest.mark.parametrize("path", [SAVE, DELETE])
def test_strangers_are_asked_to_log_in(client, db, path):
    assert client.post(path)["Location"].startswith("/admin/login/")
