"""The API's routes for logs and reports: who gets in, what is answered, and how errors look."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from accounts.models import AccessToken, Account, Scope
from accounts.tokens import issue, revoke
from tests.factories import bearer, count, make_account, native, post, small_price_book
from tests.usage.calls import LITELLM, OLD, REQUESTS, SCHEMA, USAGE, error, row, send
from usage import requests as request_log
from usage.rollups.fold import fold_all


@pytest.mark.parametrize("path", [REQUESTS, USAGE, SCHEMA, f"{REQUESTS}some-id/"])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer garbage"}, {"authorization": "x"}]
)
def test_without_a_token_nothing_is_read(client, db, path, headers):
    response = client.get(path, headers=headers)

    assert response.status_code == 401
    assert error(response)[1] in ("not_authenticated", "authentication_failed")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", [REQUESTS, LITELLM])
def test_without_a_token_nothing_is_stored(client, db, path):
    assert error(send(client, path, [row()], {})) == (401, "not_authenticated")
    assert count("usage_requestlog") == count("usage_quarantinedrow") == 0


def test_a_revoked_and_an_expired_token_are_refused(client, account):
    now = datetime.now(UTC)
    revoked, first = issue(account=account, name="a", scopes=["read"])
    revoke(revoked, now=now)
    expired, second = issue(account=account, name="b", scopes=["read"])
    AccessToken.objects.filter(pk=expired.pk).update(expires_at=now - timedelta(seconds=1))

    for text in (first, second):
        response = client.get(USAGE, headers={"authorization": f"Bearer {text}"})
        assert error(response) == (401, "authentication_failed")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("post", REQUESTS, "ingest"),
        ("post", LITELLM, "ingest"),
        ("get", REQUESTS, "read"),
        ("get", f"{REQUESTS}some-id/", "read"),
        ("get", USAGE, "read"),
        ("get", SCHEMA, "read"),
    ],
)
def test_each_route_needs_its_scope(client, account, method, path, scope):
    others = [other for other in Scope.values if other != scope]

    refused = getattr(client, method)(path, headers=bearer(account, *others))

    assert error(refused) == (403, "permission_denied")
    assert repr(scope) in refused.json()["error"]["message"]
    allowed = getattr(client, method)(path, headers=bearer(account, scope))
    assert allowed.status_code not in (401, 403)


@pytest.mark.parametrize("path", [REQUESTS, USAGE])
def test_what_may_be_read_has_a_head(client, account, path):
    assert client.head(path, headers=bearer(account, "read")).status_code == 200
    assert client.head(path, headers=bearer(account, "ingest")).status_code == 403


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_do_not_exist(client, account, method):
    response = getattr(client, method)(REQUESTS, headers=bearer(account))

    assert response.status_code in (403, 405)
    error(response)


def test_a_token_narrowed_to_a_workspace_writes_and_reads_there(
    client, account, workspace, colleagues_workspace
):
    headers = bearer(account, "ingest", "read", workspaces=[workspace])
    post(account, native(request_id="colleagues", workspace="support", occurred_at=OLD))

    answer = send(
        client,
        REQUESTS,
        [row(request_id="mine"), row(request_id="no", workspace="support")],
        headers,
    ).json()

    assert (answer["accepted"], answer["rejected"][0]["request_id"]) == (1, "no")
    found = client.get(REQUESTS, headers=headers).json()["results"]
    assert [(r["request_id"], r["workspace"]) for r in found] == [("mine", "research")]
    assert client.get(f"{REQUESTS}colleagues/", headers=headers).status_code == 404
    usage = client.get(f"{USAGE}?from=2025-01-01&metrics=requests", headers=headers).json()
    assert usage["totals"] == {"requests": 1}


def test_an_outsiders_request_does_not_exist(client, account, outsiders_workspace):
    post(outsiders_workspace.account, native(request_id="theirs", workspace="research"))

    response = client.get(f"{REQUESTS}theirs/", headers=bearer(account, "read"))

    assert error(response) == (404, "not_found")
    assert client.get(REQUESTS, headers=bearer(account, "read")).json()["results"] == []


@pytest.mark.parametrize(
    "request_id", ["plain", "a/b", "a b", "a?b&c", "100%", "💸", "../x", "a:b"]
)
def test_a_request_is_found_by_any_id(client, account, request_id):
    post(account, native(request_id=request_id))

    found = client.get(f"{REQUESTS}{quote(request_id, safe='')}/", headers=bearer(account, "read"))

    assert (found.status_code, found.json().get("request_id")) == (200, request_id)


@pytest.mark.parametrize("request_id", ["nobody", "a%00b", "x" * 5000])
def test_a_request_that_is_not_there(client, account, request_id):
    response = client.get(f"{REQUESTS}{request_id}/", headers=bearer(account, "read"))

    assert error(response) == (404, "not_found")


def test_a_request_as_json(client, account):
    small_price_book()
    post(account, native(request_id="r"))

    found = client.get(f"{REQUESTS}r/", headers=bearer(account, "read")).json()

    assert (found["cost"], found["occurred_at"]) == ("0.0035", "2026-11-20T12:00:00Z")
    assert not {"account_id", "workspace_id"} & set(found)


def test_pages_lead_to_each_other(client, account):
    headers = bearer(account, "read")
    post(account, *(native(request_id=f"r{n}") for n in range(5)))

    first = client.get(f"{REQUESTS}?page_size=2&model=gpt-4o", headers=headers).json()
    second = client.get(first["next"], headers=headers).json()
    back = client.get(second["previous"], headers=headers).json()

    assert [r["request_id"] for r in first["results"] + second["results"]] == [
        "r4",
        "r3",
        "r2",
        "r1",
    ]
    assert (back["results"], first["previous"]) == (first["results"], None)
    assert "model=gpt-4o" in first["next"]
    assert first["searched_to"] is None


def test_a_search_that_takes_long_goes_on_with_the_next_page(client, account, monkeypatch):
    monkeypatch.setattr(request_log, "PATIENCE_SECONDS", -1)
    headers = bearer(account, "read")
    post(account, native(request_id="r", tags={"team": "x"}, occurred_at=OLD))
    post(account, native())
    fold_all()

    first = client.get(f"{REQUESTS}?tag=team", headers=headers).json()
    second = client.get(first["next"], headers=headers).json()

    assert (first["results"], first["searched_to"][:7]) == ([], "2026-11")
    assert [r["request_id"] for r in second["results"]] == ["r"]


@pytest.mark.parametrize(
    "query",
    [
        "page_size=x",
        "page_size=0",
        "page_size=%C2%B2",
        "page_size=" + "9" * 5000,
        "cursor=garbage",
        "model=%00",
        "modell=x",
        "cost_min=1e-999999999",
        "to=0001-01-01T00:00:00%2B10:00",
    ],
)
def test_a_list_that_cannot_be_asked_for_is_a_bad_question(client, account, query):
    response = client.get(f"{REQUESTS}?{query}", headers=bearer(account, "read"))

    assert error(response) == (400, "bad_question")


@pytest.mark.parametrize(
    "query",
    [
        "group_by=modle",
        "order=none",
        "limit=%C2%B2",
        "to=0001-01-05",
        "model=%00",
        "metrics=latency_ms_p50,latency_ms_p50",
        "group_by=model,model",
        "streamed_id=1",
        "timezone=%00",
        "granularity=%00",
        "granularity=minute",
        "from=0001-01-01&to=9999-12-31&granularity=hour",
        "from=0001-01-02&to=2026-01-01&compare=previous",
    ],
)
def test_a_report_that_cannot_be_asked_for_is_a_bad_question(client, account, query):
    response = client.get(f"{USAGE}?{query}", headers=bearer(account, "read"))

    assert error(response) == (400, "bad_question")


@pytest.mark.parametrize(
    "query",
    [
        "from=0001-01-01&to=9999-12-31&granularity=day&group_by=model,client",
        "from=0001-01-01&to=9999-12-31&granularity=month",
        "from=0001-01-01&to=9999-12-31&granularity=day&timezone=Asia/Kolkata",
        "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z&granularity=week",
        "status_class=&model=none&none=",
    ],
)
def test_the_ends_of_time_break_nothing(client, account, query):
    post(account, native())

    response = client.get(f"{USAGE}?{query}", headers=bearer(account, "read"))

    assert response.status_code == (400 if "none=" in query.split("&") else 200)


def test_a_report_as_json(client, account):
    small_price_book()
    post(account, native(), native(model="brand-new"))

    found = client.get(
        f"{USAGE}?from=2026-11-20&to=2026-11-21&group_by=model&metrics=cost,requests&order=model",
        headers=bearer(account, "read"),
    ).json()

    assert set(found) == {"query", "columns", "rows", "other", "totals", "row_count", "warnings"}
    assert [(r["model"], r["cost"], r["requests"]) for r in found["rows"]] == [
        ("brand-new", None, 1),
        ("gpt-4o", "0.0035", 1),
    ]
    assert found["totals"] == {"cost": "0.0035", "requests": 2}
    assert found["query"]["accounts"] == ["acme"]


def test_the_schema_of_reports(client, account):
    found = client.get(SCHEMA, headers=bearer(account, "read")).json()

    assert set(found) == {"metrics", "dimensions", "granularities", "comparisons"}


def test_queries_stay_few_however_long_the_list(client, account, django_assert_num_queries):
    headers = bearer(account, "read")
    post(account, *(native(member=f"m{n}", project=f"p{n}") for n in range(40)))
    client.get(REQUESTS, headers=headers)  # notes the token's use

    for path in (f"{REQUESTS}?page_size=2", f"{REQUESTS}?page_size=40", f"{USAGE}?group_by=member"):
        with django_assert_num_queries(3):  # the token, its workspaces, the answer
            assert client.get(path, headers=headers).status_code == 200


def test_an_archived_accounts_tokens_open_nothing(client, account):
    headers = bearer(account)
    Account.objects.filter(pk=account.pk).update(archived_at=datetime.now(UTC))

    assert error(client.get(USAGE, headers=headers)) == (401, "authentication_failed")


def test_accounts_do_not_see_each_other(client, account):
    globex = make_account("globex")
    post(account, native())
    post(globex, native(), native())

    for owner, requests in ((account, 1), (globex, 2)):
        found = client.get(f"{USAGE}?from=2026-11-01&to=2026-12-01", headers=bearer(owner, "read"))
        assert found.json()["totals"]["requests"] == requests


def test_the_openapi_document_is_valid_and_without_warnings(db):
    GENERATOR_STATS.reset()

    schema = SchemaGenerator().get_schema(request=None, public=True)
    validate_schema(schema)

    assert dict(GENERATOR_STATS._warn_cache) == dict(GENERATOR_STATS._error_cache) == {}
    assert {"/api/v1/requests/", "/api/v1/usage/"} <= set(schema["paths"])


def test_the_api_is_described_to_everyone(client, db):
    assert client.get("/api/schema/").status_code == 200
    assert b"unpkg.com" not in client.get("/api/docs/").content
