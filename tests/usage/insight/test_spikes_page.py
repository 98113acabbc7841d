"""The pages of spikes and their route: who sees which, who decides, and the key at hand."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import ApiKey
from tests.factories import NOW, bearer, native, post, small_price_book
from tests.people import People, make_people
from usage.models import Anomaly

PAGE, API = "/admin/insight/spikes/", "/api/v1/anomalies/"


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    people = make_people()
    post(people.acme, native(workspace="research", api_key="bot"))
    post(people.globex, native(workspace="launch", api_key="theirs"))
    return people


def anomaly(workspace, **more):
    key = ApiKey.objects.get(workspace=workspace)
    fields = {
        "kind": "api_key",
        "subject_id": key.pk,
        "subject_name": str(key),
        "measure": "spend",
        "started_at": NOW - timedelta(hours=1),
        "detected_at": NOW,
        "last_seen_at": NOW,
        "window_minutes": 5,
        "noticed": Decimal(9),
        "noticed_expected": Decimal(1),
        "noticed_upper": Decimal(3),
        "actual": Decimal(20),
        "expected": Decimal(2),
        "excess_cost": Decimal(18),
    }
    return Anomaly.objects.create(workspace=workspace, **fields | more)


@pytest.fixture
def found(people):
    anomaly(people.launch)
    return anomaly(people.research)


def status(client, user, path):
    client.force_login(user)
    return client.get(path).status_code


def test_each_sees_the_own_workspaces(client, people, found):
    def names(user):
        client.force_login(user)
        return [line.anomaly.subject_name for line in client.get(PAGE).context["lines"]]

    assert names(people.viewer) == ["bot"]
    assert names(people.outsider) == ["theirs"]
    assert names(people.support_manager) == []
    assert names(people.newcomer) == []
    assert sorted(names(people.staff)) == ["bot", "theirs"]


def test_one_is_for_those_who_see_its_workspace(client, people, found):
    path = f"{PAGE}{found.pk}/"

    assert status(client, people.viewer, path) == 200
    assert status(client, people.outsider, path) == 404
    assert status(client, people.support_manager, path) == 404
    assert status(client, people.staff, f"{PAGE}{10**30}/") == 404


def test_it_says_what_happened_in_a_sentence(client, people, found):
    client.force_login(people.viewer)

    page = client.get(f"{PAGE}{found.pk}/").content.decode()

    assert "API key bot spent $9.00 in 5 minutes; about $1.00 is usual then" in page


@pytest.mark.parametrize(
    ("who", "code", "state"),
    [
        ("manager", 302, "expected"),
        ("viewer", 404, "open"),
        ("accountant", 404, "open"),
        ("outsider", 404, "open"),
    ],
)
def test_managers_decide(client, people, found, who, code, state):
    client.force_login(getattr(people, who))

    answer = client.post(f"{PAGE}{found.pk}/decide/", {"state": "expected", "note": "Load test"})

    found.refresh_from_db()
    assert (answer.status_code, found.state) == (code, state)


def test_a_state_that_there_is_not_is_refused(client, people, found):
    client.force_login(people.manager)
    client.post(f"{PAGE}{found.pk}/decide/", {"state": "gone"})

    found.refresh_from_db()
    assert found.state == "open"


@pytest.mark.parametrize(("who", "disabled"), [("manager", True), ("viewer", False)])
def test_managers_disable_the_key_at_hand(client, people, found, who, disabled):
    client.force_login(getattr(people, who))

    client.post(f"{PAGE}{found.pk}/disable-key/")

    assert (ApiKey.objects.get(identifier="bot").disabled_at is not None) is disabled


def test_the_key_of_another_series_is_at_hand_where_it_explains_half(client, people):
    key = ApiKey.objects.get(identifier="bot")
    by = {"api_key": [{"id": key.pk, "name": "bot", "share": "0.9", "excess": "1"}]}
    found = anomaly(
        people.research, kind="workspace", subject_id=people.research.pk, drivers={"by": by}
    )
    client.force_login(people.manager)

    assert b"Disable the key bot" in client.get(f"{PAGE}{found.pk}/").content


def test_the_route_tells_all_of_it(client, people, found):
    [one] = client.get(API, headers=bearer(people.acme, "read")).json()["results"]

    assert one["name"] == "bot"
    assert one["excess_cost"] == "18"
    assert one["state"] == "open"
    assert one["what"].startswith("API key bot spent $9.00")


def test_the_route_is_for_readers_and_knows_no_other_workspace(client, people, found):
    narrow = bearer(people.acme, "read", workspaces=[people.support])

    assert client.get(API, headers=narrow).json()["results"] == []
    assert client.get(API, headers=bearer(people.acme, "ingest")).status_code == 403
    assert client.get(API, {"scope": "planet"}, headers=narrow).status_code == 400


def test_how_a_workspace_is_watched_is_for_its_managers(client, people):
    path = "/admin/usage/spikewatch/add/"
    values = {
        "workspace": people.research.pk,
        "sensitivity": "high",
        "least_dollars": "5",
        "least_tokens": "1000",
        "recipients": "",
    }

    assert status(client, people.viewer, path) == 403
    client.force_login(people.manager)
    assert client.post(path, values).status_code == 302
    client.force_login(people.outsider)
    assert client.post(path, values).status_code == 200  # not a workspace to choose
