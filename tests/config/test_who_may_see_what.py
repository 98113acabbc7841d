"""Who may see what: every address of the platform for every role, and every scope of a token.

The addresses come from the URL conf, so that a new one without a line in `who_may_see_what.txt`
fails here, with the line to write: what it answers now. Read it before you paste it: 200 and 302
let somebody in, 403 says that there is something, 404 does not even say that.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404, HttpRequest
from django.test import RequestFactory
from django.urls import resolve

from accounts import scoped_admin, tokens
from accounts.models import Scope
from tests.config.routes import Route, address_of, furnish, routes
from tests.factories import fetch
from tests.people import People

TABLE = Path(__file__).with_name("who_may_see_what.txt")
PEOPLE = (
    *("stranger", "newcomer", "outsider", "viewer", "accountant", "manager", "owner"),
    *("support_manager", "staff"),
)
OURS = ("accounts_", "usage_", "budgets_", "exports_", "config_")
CALLERS = (*("nobody", *Scope.values), "elsewhere", "outsider")
PUBLIC = ("docs", "schema", "healthz", "readyz", "metrics")
METHODS = {
    "api:authorize": "POST",
    "api:ingest-litellm": "POST",
    "api:otlp-traces": "POST",
    "api:hold": "DELETE",
}


@pytest.fixture
def people(db: None, without_menus: None, monkeypatch: pytest.MonkeyPatch) -> People:
    """Nobody's roles change here, so that whom they reach is asked once."""
    monkeypatch.setattr(scoped_admin, "reach_of_user", cache(scoped_admin.reach_of_user))
    return furnish()


def is_api(route: Route) -> bool:
    return route.name.startswith("api:") or route.name in PUBLIC


def written() -> dict[str, str]:
    lines = [line for line in TABLE.read_text().splitlines() if line and line[0] != "#"]
    return {name: " ".join(answers) for name, *answers in (line.split() for line in lines)}


def observed(people: People) -> dict[str, str]:
    known = {route.name: route for route in routes()}
    found = {}
    for route in known.values():
        ask = api_answers if is_api(route) else page_answers
        found[route.name or "/"] = " ".join(map(str, ask(route, people)))
    return found


def page_answers(route: Route, people: People) -> list[int]:
    address = address_of(route)
    return [status(request_of(person(people, name), address)) for name in PEOPLE]


def person(people: People, name: str) -> Any:
    return getattr(people, name, None) or AnonymousUser()


def api_answers(route: Route, people: People) -> list[int]:
    address = address_of(route)
    if route.name in PUBLIC:
        return [status(RequestFactory().get(address))]
    return [status(call_of(name, people, address, route)) for name in CALLERS]


def status(request: HttpRequest) -> int:
    """What the view answers, without the time that its template would take."""
    match = resolve(request.path)
    request.resolver_match = match
    try:
        return match.func(request, *match.args, **match.kwargs).status_code
    except Http404:
        return 404
    except PermissionDenied:
        return 403


def request_of(user: Any, address: str, method: str = "GET") -> HttpRequest:
    request = RequestFactory().generic(method, address)
    request.user, request._dont_enforce_csrf_checks = user, True  # type: ignore[attr-defined]
    request.session = SessionStore()
    request._messages = CookieStorage(request)  # type: ignore[attr-defined]
    return request


def call_of(name: str, people: People, address: str, route: Route) -> HttpRequest:
    """Of a token with that scope; elsewhere and outsider have all of them."""
    scopes = [name] if name in Scope.values else Scope.values
    account = people.globex if name == "outsider" else people.acme
    narrowed = [people.support] if name == "elsewhere" else []
    header = {}
    if name != "nobody":
        _, text = tokens.issue(account=account, name="t", scopes=scopes, workspaces=narrowed)
        header = {"HTTP_AUTHORIZATION": f"Bearer {text}"}
    method = METHODS.get(route.name, "GET")
    body = {"data": "{}", "content_type": "application/json"} if method == "POST" else {}
    return RequestFactory().generic(method, address, **body, **header)  # type: ignore[arg-type]


def test_everybody_sees_what_the_table_says_and_nothing_else(people):
    table, found = written(), observed(people)

    wrong = {name: answers for name, answers in found.items() if table.get(name) != answers}
    gone = set(table) - set(found)
    lines = [f"{name} {answers}" for name, answers in sorted(wrong.items())]
    if wrong or gone:
        pytest.fail("\n".join(["Not as the table says:", *lines, "No longer there:", *gone]))


@pytest.mark.parametrize("name", ["viewer", "outsider"])
def test_who_may_only_look_changes_nothing_by_posting(people, name):
    before = contents()

    for route in {route.name: route for route in routes()}.values():
        if not is_api(route) and (name != "outsider" or "object_id" in route.arguments):
            status(request_of(person(people, name), address_of(route), "POST"))

    assert contents() == before


def contents() -> dict[str, str]:
    """A digest of every table of what people configure and what is recorded."""
    known = connection.introspection.table_names()
    tables = [t for t in known if t.startswith(OURS) and t != "config_auditentry"]  # log-outs
    digest = "SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) AS md5 FROM {} t"
    return {table: fetch(digest.format(table))[0]["md5"] for table in tables}
