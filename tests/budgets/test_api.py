"""The routes for budgets, authorizations and holds, asked by those who may and who may not."""

import gzip
import json

import pytest
from django.test import Client

from accounts import tokens
from accounts.models import Account, ApiKey, Project, Scope, Workspace
from budgets.models import Hold

pytestmark = pytest.mark.django_db


def client_of(text: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {text}"})


@pytest.fixture
def api(token_text: str, workspace: Workspace) -> Client:
    return client_of(token_text)


@pytest.fixture
def outsider(db: None) -> Client:
    other = Account.objects.create(name="Other", slug="other")
    return client_of(tokens.issue(account=other, name="out", scopes=Scope.values)[1])


def post(client: Client, path: str, body):
    return client.post(f"/api/v1/{path}", body, content_type="application/json")


MONTHLY = {"name": "Team", "scope": "workspace", "key": "finance", "limit": "12.50", "hard": True}


def test_a_budget_is_made_read_changed_and_archived(api: Client):
    made = post(api, "budgets/", MONTHLY)
    assert made.status_code == 201
    path = f"/api/v1/budgets/{made.json()['id']}/"
    changed = api.patch(path, {"limit": "20"}, content_type="application/json")
    assert (changed.json()["limit"], changed.json()["remaining"]) == ("20", "20")
    assert api.get(path).json()["key"] == "finance"
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit": "-1"}, "limit"),
        ({"key": "nowhere"}, "key"),
        ({"period": "fortnight"}, "period"),
        ({"thresholds": [0]}, "thresholds"),
        ({"recipients": ["not an address"]}, "recipients"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_by_field(api: Client, change, field):
    answer = post(api, "budgets/", MONTHLY | change)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["details"]


def test_scope_and_period_stay_as_they_were_made(api: Client):
    made = post(api, "budgets/", MONTHLY).json()
    path = f"/api/v1/budgets/{made['id']}/"
    answer = api.patch(path, {"period": "day"}, content_type="application/json")
    assert answer.status_code == 400


def test_the_outsider_sees_and_changes_nothing(api: Client, outsider: Client):
    made = post(api, "budgets/", MONTHLY).json()
    hold = post(api, "authorize/", {"request_id": "r", "max_cost": "1", "workspace": "finance"})
    path = f"/api/v1/budgets/{made['id']}/"
    assert outsider.get("/api/v1/budgets/").json()["results"] == []
    assert outsider.get(path).status_code == 404
    assert outsider.patch(path, {"limit": "9"}, content_type="application/json").status_code == 404
    assert outsider.delete(path).status_code == 404
    assert outsider.delete(f"/api/v1/holds/{hold.json()['hold_id']}/").status_code == 404
    assert post(outsider, "budgets/", MONTHLY).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("post", "authorize/"), ("get", "budgets/"), ("post", "budgets/"), ("get", "budgets/1/")],
)
def test_without_a_token_401_and_without_the_scope_403(account: Account, method, path):
    _, text = tokens.issue(account=account, name="ingest only", scopes=[Scope.INGEST])
    assert getattr(Client(), method)(f"/api/v1/{path}").status_code == 401
    assert getattr(client_of(text), method)(f"/api/v1/{path}").status_code == 403


def test_a_narrowed_token_cannot_cap_the_account_nor_see_other_workspaces(
    account: Account, workspace: Workspace, project: Project
):
    other = Workspace.objects.create(account=account, name="Other", slug="other")
    _, text = tokens.issue(account=account, name="n", scopes=Scope.values, workspaces=[other])
    client = client_of(text)
    assert post(client, "budgets/", {"name": "x", "scope": "account"}).status_code == 403
    assert post(client, "budgets/", MONTHLY).status_code == 400
    ask = {"request_id": "r", "max_cost": "1", "workspace": "finance"}
    answer = post(client, "authorize/", ask)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "workspace"


def test_a_released_hold_is_free_again(api: Client):
    post(api, "budgets/", MONTHLY | {"limit": "1"})
    ask = {"request_id": "r", "max_cost": "1", "workspace": "finance"}
    hold = post(api, "authorize/", ask).json()["hold_id"]
    assert not post(api, "authorize/", ask | {"request_id": "s"}).json()["allowed"]
    assert api.delete(f"/api/v1/holds/{hold}/").status_code == 204
    assert post(api, "authorize/", ask | {"request_id": "s"}).json()["allowed"]


@pytest.mark.parametrize("body", ["", "{", "[1", '"text"', "[{}]", '{"request_id": 5}'])
def test_what_cannot_be_read_is_400_with_a_message(api: Client, body):
    answer = api.generic("POST", "/api/v1/authorize/", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_page_of_budgets_costs_the_same_queries_however_many(
    api: Client, django_assert_max_num_queries
):
    for number in range(5):
        post(api, "budgets/", MONTHLY | {"name": f"b{number}"})
    with django_assert_max_num_queries(4):
        assert len(api.get("/api/v1/budgets/").json()["results"]) == 5


@pytest.mark.parametrize(
    ("packed", "kind", "answers"),
    [(True, "application/json", 2), (False, "application/x-ndjson", 2), (True, "text/plain", 2)],
)
def test_an_array_gets_a_list_however_it_is_sent(api: Client, packed, kind, answers):
    asks = [{"request_id": f"r{i}", "max_cost": "1", "workspace": "finance"} for i in range(2)]
    text = "\n".join(map(json.dumps, asks)) if "nd" in kind else json.dumps(asks)
    body = gzip.compress(text.encode()) if packed else text.encode()
    more = {"HTTP_CONTENT_ENCODING": "gzip"} if packed else {}
    answer = api.generic("POST", "/api/v1/authorize/", body, content_type=kind, **more)
    assert [one["request_id"] for one in answer.json()] == ["r0", "r1"]


def test_the_ask_that_cannot_be_decided_is_named(api: Client):
    asks = [{"request_id": "a", "max_cost": "1", "workspace": "finance"}, {"request_id": "b"}]
    details = post(api, "authorize/", asks).json()["error"]["details"]
    assert (details["index"], details["field"]) == (1, "max_cost")


def test_spent_means_the_same_in_every_answer(api: Client):
    made = post(api, "budgets/", MONTHLY).json()
    ask = {"request_id": "r", "max_cost": "1", "workspace": "finance"}
    (answered,) = post(api, "authorize/", ask).json()["budgets"]
    assert {answered[name] for name in ("spent", "estimated")} == {made["spent"], "0"} == {"0"}


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_an_id_beyond_every_number_is_not_found(api: Client, method):
    assert getattr(api, method)(f"/api/v1/budgets/{10**20 - 1}/").status_code == 404


def test_a_field_that_does_not_exist_is_refused_by_name(api: Client):
    answer = post(api, "budgets/", MONTHLY | {"limit_usd": "5"})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["limit_usd"]


def test_a_method_that_is_not_there_is_405(api: Client):
    assert api.put("/api/v1/budgets/", "{}", content_type="application/json").status_code == 405


def test_a_raise_is_set_and_ended_through_the_api(api: Client):
    made = post(api, "budgets/", MONTHLY).json()
    path = f"/api/v1/budgets/{made['id']}/"
    higher = {"raised_limit": "50", "raised_until": "2999-01-01T00:00:00Z", "raised_reason": "fair"}
    raised = api.patch(path, higher, content_type="application/json").json()
    assert (raised["limit"], raised["limit_now"], raised["raised_limit"]) == ("12.5", "50", "50")
    ended = {"raised_limit": None, "raised_until": None}
    assert api.patch(path, ended, content_type="application/json").json()["limit_now"] == "12.5"
    answer = api.patch(path, {"raised_limit": "50"}, content_type="application/json")
    assert answer.status_code == 400
    assert "raised_until" in answer.json()["error"]["details"]


def test_a_keys_standing_is_told_without_a_hold(api: Client, workspace: Workspace, spend):
    ApiKey.objects.create(workspace=workspace, identifier="key-1")
    post(api, "budgets/", MONTHLY)
    post(api, "authorize/", {"request_id": "r", "max_cost": "2.5", "api_key": "key-1"})
    path = "/api/v1/authorize/?api_key=key-1"
    answer = api.get(path).json()
    assert (answer["allowed"], answer["reason"]) == (True, "Within every budget.")
    assert [(one["held"], one["remaining"]) for one in answer["budgets"]] == [("2.5", "10")]
    post(api, "authorize/", {"request_id": "s", "max_cost": "10", "api_key": "key-1"})
    answer = api.get(path).json()
    assert not answer["allowed"]
    assert answer["reason"].startswith("The workspace budget 'Team' is used up. It resets at ")
    assert Hold.objects.count() == 2


def test_a_standing_makes_nobody_and_nothing(api: Client, workspace: Workspace):
    for query in ("api_key=new", "workspace=new", "workspace=finance&project=new", "member=%00"):
        assert api.get(f"/api/v1/authorize/?{query}").status_code == 404
    assert api.get("/api/v1/authorize/?key=new").status_code == 400
    assert Project.objects.count() + ApiKey.objects.count() == 0


def test_the_outsiders_standing_is_his_own(api: Client, outsider: Client, workspace: Workspace):
    ApiKey.objects.create(workspace=workspace, identifier="key-1")
    for query in ("api_key=key-1", "workspace=finance"):
        assert outsider.get(f"/api/v1/authorize/?{query}").status_code == 404


def test_a_narrowed_tokens_standing_says_nothing_of_the_account(
    api: Client, account: Account, workspace: Workspace
):
    post(api, "budgets/", {"name": "all", "scope": "account", "limit": "0", "hard": True})
    _, text = tokens.issue(
        account=account, name="n", scopes=[Scope.AUTHORIZE], workspaces=[workspace]
    )
    answer = client_of(text).get("/api/v1/authorize/").json()
    assert (answer["allowed"], answer["budgets"]) == (False, [])
    assert answer["reason"].startswith("A hard account budget above this access token's")


def test_the_schema_says_what_an_ask_and_its_answer_have(client: Client):
    schema = client.get("/api/schema/?format=json").json()
    post = schema["paths"]["/api/v1/authorize/"]["post"]
    ask = post["requestBody"]["content"]["application/json"]["schema"]["oneOf"][0]
    assert {"request_id", "max_cost", "input_tokens"} <= set(ask["properties"])
    assert {"allowed", "reason", "budgets"} <= set(
        schema["components"]["schemas"]["Decision"]["properties"]
    )
