import json

import pytest

from accounts.models import Role
from tests.factories import make_role, make_user

pytestmark = pytest.mark.django_db(transaction=True)

FILES = ["requests.csv", "requests.json", "usage.csv", "usage.json"]


def exported(client, **parameters):
    response = client.get("/admin/exports/requests.json", parameters)
    assert response.status_code == 200
    return [row["request_id"] for row in json.loads(b"".join(response.streaming_content))]


def test_strangers_are_asked_to_log_in(client):
    for name in FILES:
        response = client.get(f"/admin/exports/{name}")
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_staff_without_a_role_may_not(client, requests):
    client.force_login(make_user())

    assert {client.get(f"/admin/exports/{name}").status_code for name in FILES} == {403}


def test_a_viewer_sees_and_may_not_export(client, requests, acme):
    user = make_user()
    make_role(user, Role.Name.VIEWER, acme)
    client.force_login(user)

    assert client.get("/admin/exports/requests.csv").status_code == 403


def test_an_accountant_exports_the_account_and_no_other(client, requests, acme):
    user = make_user()
    make_role(user, Role.Name.ACCOUNTANT, acme)
    client.force_login(user)

    assert sorted(exported(client)) == ["a", "b", "c", "d"]
    assert exported(client, account="rival") == []


def test_of_two_workspaces_only_the_one_that_the_role_exports(client, requests, acme):
    user = make_user()
    research, support = (acme.workspaces.get(slug=slug) for slug in ("research", "support"))
    make_role(user, Role.Name.VIEWER, acme, research)
    make_role(user, Role.Name.MANAGER, acme, support)
    client.force_login(user)

    assert exported(client) == ["c"]


def test_platform_staff_export_everything(client, requests):
    client.force_login(make_user(is_superuser=True))

    assert sorted(exported(client)) == ["a", "b", "c", "d", "secret"]
    assert exported(client, account="rival") == ["secret"]


def test_a_wrong_parameter_is_told_in_a_sentence(client, requests):
    client.force_login(make_user(is_superuser=True))

    response = client.get("/admin/exports/usage.csv", {"metrics": "cots"})
    assert response.status_code == 400
    assert response.content.decode() == "There is no metric 'cots': did you mean cost?"
