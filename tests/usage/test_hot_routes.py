"""The routes beneath Django's middleware answer what the views answer, and no more than they."""

import gzip
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from accounts import authentication, tokens
from accounts.models import Scope
from config.urls import HOT_ROUTES
from config.wsgi import application
from tests.factories import bearer, native
from usage.hot_routes import HotRoute, HotRoutes, Posted
from usage.models import RequestLog

REQUESTS = "/api/v1/requests/"


@pytest.fixture(autouse=True)
def forgotten_tokens() -> None:
    authentication.TOKENS.forget()


def environ(path: str, body: bytes, **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    } | more


def post(path: str, body: Any, *, to: Callable = application, **more: Any) -> tuple[int, Any]:
    """Status and decoded answer of a call of the WSGI application."""
    started: list[str] = []
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = to(environ(path, body, **more), lambda status, headers: started.append(status))
    return int(started[0].partition(" ")[0]), json.loads(b"".join(answer))


def authorized(account, *scopes: str, **more: Any) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": bearer(account, *scopes, **more)["authorization"]}


def test_a_row_posted_without_the_slash_is_stored_too(account, workspace):
    status, answer = post(REQUESTS.removesuffix("/"), native(), **authorized(account))

    assert (status, answer["accepted"]) == (200, 1)


@pytest.mark.parametrize("path", [path for path in HOT_ROUTES if path.endswith("/")])
def test_each_hot_route_is_a_view_too_and_wants_the_same_scope(path):
    view = resolve(path).func.view_class

    assert view.scopes["POST"] == HOT_ROUTES[path].scope


def test_a_posted_row_is_stored(account, workspace):
    status, answer = post(REQUESTS, native(request_id="r-1"), **authorized(account))

    assert (status, answer) == (200, {"accepted": 1, "duplicates": 0, "rejected": []})
    assert RequestLog.objects.get().request_id == "r-1"


def test_a_compressed_body_is_read(account, workspace):
    body = gzip.compress(json.dumps([native(), native()]).encode())

    _, answer = post(REQUESTS, body, HTTP_CONTENT_ENCODING="gzip", **authorized(account))

    assert answer["accepted"] == 2


CASES: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "no token": (REQUESTS, b"{}", {"HTTP_AUTHORIZATION": ""}),
    "no bearer": (REQUESTS, b"{}", {"HTTP_AUTHORIZATION": "Basic x"}),
    "unknown": (REQUESTS, b"{}", {"HTTP_AUTHORIZATION": "Bearer tb_0123456789abcdef_x"}),
    "not JSON": (REQUESTS, b"{", {}),
    "empty": (REQUESTS, b"", {}),
    "encoding": (REQUESTS, b"{}", {"HTTP_CONTENT_ENCODING": "br"}),
    "not gzip": (REQUESTS, b"{}", {"HTTP_CONTENT_ENCODING": "gzip"}),
    "bad row": (REQUESTS, b'[{"model": 7}]', {}),
    "bad ask": ("/api/v1/authorize/", b"{}", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hot_route_answers_as_its_view_does(case, account, workspace):
    path, body, more = CASES[case]
    headers = authorized(account) | more

    hot = post(path, body, **headers)
    cold = Client().post(path, body, content_type="application/json", **headers)

    assert hot == (cold.status_code, cold.json())


def test_a_token_without_the_scope_is_refused(account):
    status, answer = post(REQUESTS, native(), **authorized(account, Scope.READ))

    assert (status, answer["error"]["code"]) == (403, "permission_denied")
    assert not RequestLog.objects.exists()


def test_an_outsiders_token_stores_nothing_here(account, workspace, outsiders_workspace):
    outsider = authorized(outsiders_workspace.account, workspaces=[outsiders_workspace])

    status, answer = post(REQUESTS, native(workspace="support"), **outsider)

    assert (status, len(answer["rejected"])) == (200, 1)
    assert not RequestLog.objects.exists()


@pytest.mark.parametrize(
    "more",
    [
        {"REQUEST_METHOD": "GET"},
        {"PATH_INFO": "/api/v1/usage/"},
        {"CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": str(2**40)},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"HTTP_AUTHORIZATION": ""},
        {"HTTP_HOST": "elsewhere.test"},
    ],
    ids=str,
)
def test_what_is_not_ordinary_goes_on_to_django(more):
    reached = []
    routes = HotRoutes(HOT_ROUTES, otherwise=lambda environ, start: reached.append(environ) or [])

    routes(environ(REQUESTS, b"{}", HTTP_AUTHORIZATION="Bearer tb_a_b") | more, lambda *_: None)

    assert len(reached) == 1


def test_behind_tls_what_came_without_it_goes_on_to_django(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    reached = []
    routes = HotRoutes(HOT_ROUTES, otherwise=lambda environ, start: reached.append(environ) or [])
    plain = environ(REQUESTS, b"{}", HTTP_AUTHORIZATION="Basic x")

    routes(plain, lambda *_: None)
    routes(plain | {"HTTP_X_FORWARDED_PROTO": "https"}, lambda *_: None)

    assert len(reached) == 1


def test_a_body_that_is_cut_off_is_refused_and_nothing_is_stored(account, workspace):
    body = json.dumps(native()).encode()

    status, answer = post(REQUESTS, body, CONTENT_LENGTH="9999", **authorized(account))

    assert (status, answer["error"]["code"]) == (400, "unreadable_body")
    assert not RequestLog.objects.exists()


class NeverComing:
    """A body that nobody sends."""

    def read(self, size: int) -> bytes:
        pytest.fail("the body was waited for")


@pytest.mark.parametrize("token", ["Bearer tb_nobody_knows", "Basic x", "scope"])
def test_a_strangers_body_is_not_waited_for(account, token):
    if token == "scope":
        token = authorized(account, "read")["HTTP_AUTHORIZATION"]

    status, _ = post(
        REQUESTS, b"", CONTENT_LENGTH="9", HTTP_AUTHORIZATION=token, **{"wsgi.input": NeverComing()}
    )

    assert status in (401, 403)


def failing(error: Exception) -> HotRoutes:
    def answer(call: Posted) -> None:
        raise error

    return HotRoutes({"/x/": HotRoute(Scope.INGEST, answer)}, otherwise=application)


def test_a_bug_is_a_500_in_the_one_shape_and_in_the_log(account, caplog):
    status, answer = post("/x/", {}, to=failing(KeyError("oops")), **authorized(account))

    assert (status, answer["error"]["code"]) == (500, "error")
    assert "oops" in caplog.text
    assert "oops" not in str(answer)


@pytest.mark.django_db(transaction=True)
def test_a_store_that_is_down_is_a_503(account):
    status, answer = post("/x/", {}, to=failing(OperationalError()), **authorized(account))

    assert (status, answer["error"]["code"]) == (503, "unavailable")


@pytest.mark.django_db(transaction=True)
def test_a_restart_of_the_database_is_not_noticed(account, workspace):
    token = authorized(account)
    post(REQUESTS, native(), **token)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    end_backend(pid)

    status, _ = post(REQUESTS, native(), **token)

    assert (status, RequestLog.objects.count()) == (200, 2)


def end_backend(pid: int) -> None:
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    from accounts import versions
    from tests.factories import Clock

    stopped = Clock()
    monkeypatch.setattr(versions, "time", stopped)
    return stopped


def test_a_remembered_token_costs_no_query(account, clock, django_assert_num_queries):
    header = authorized(account)["HTTP_AUTHORIZATION"]
    authentication.remembered_token(header, now=timezone.now())

    with django_assert_num_queries(0):
        authentication.remembered_token(header, now=timezone.now())


@pytest.mark.parametrize(
    "change",
    [
        lambda token: tokens.revoke(token, now=timezone.now()),
        lambda token: token.delete(),
    ],
    ids=["revoked", "deleted"],
)
def test_a_second_after_it_ended_a_remembered_token_lets_nobody_in(account, clock, change):
    token, text = tokens.issue(account=account, name="gateway", scopes=["ingest"])
    authentication.remembered_token(f"Bearer {text}", now=timezone.now())

    change(token)
    clock.now += 1

    with pytest.raises(authentication.AuthenticationFailed):
        authentication.remembered_token(f"Bearer {text}", now=timezone.now())


def test_a_remembered_token_of_an_archived_account_lets_nobody_in(account, clock):
    header = authorized(account)["HTTP_AUTHORIZATION"]
    authentication.remembered_token(header, now=timezone.now())

    account.archived_at = timezone.now()
    account.save()
    clock.now += 1

    with pytest.raises(authentication.AuthenticationFailed):
        authentication.remembered_token(header, now=timezone.now())


def test_a_remembered_token_that_is_narrowed_is_narrowed_a_second_later(account, workspace, clock):
    token, text = tokens.issue(account=account, name="gateway", scopes=["ingest"])
    authentication.remembered_token(f"Bearer {text}", now=timezone.now())

    token.workspaces.add(workspace)
    clock.now += 1

    found = authentication.remembered_token(f"Bearer {text}", now=timezone.now())
    assert found.narrowed_to == [workspace.pk]


def test_a_remembered_token_ends_at_its_expiry(account, clock):
    now = timezone.now()
    expires_at = now + timedelta(hours=1)
    _, text = tokens.issue(account=account, name="g", scopes=["ingest"], expires_at=expires_at)
    authentication.remembered_token(f"Bearer {text}", now=now)

    with pytest.raises(authentication.AuthenticationFailed):
        authentication.remembered_token(f"Bearer {text}", now=expires_at)


def test_a_wrong_secret_of_a_remembered_token_is_refused(account, clock):
    header = authorized(account)["HTTP_AUTHORIZATION"]
    authentication.remembered_token(header, now=timezone.now())

    with pytest.raises(authentication.AuthenticationFailed):
        authentication.remembered_token(header[:-1] + "!", now=timezone.now())
