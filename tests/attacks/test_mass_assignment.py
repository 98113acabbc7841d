"""Nobody sets what a route or a form does not name, nor puts a row into what is not theirs."""

from typing import Any

import pytest
from django.contrib import admin
from django.forms import ModelChoiceField
from django.test import Client
from django.urls import get_resolver

from accounts.models import Account
from budgets.models import Budget, BudgetPeriod
from tests.config.routes import furnish
from tests.config.test_who_may_see_what import request_of
from tests.factories import bearer, count, native
from tests.people import People

# Which columns there are is told by the API's own answers and by the source.
FORBIDDEN = (
    "account",
    "account_id",
    "id",
    "spent",
    "held",
    "counted_from",
    "requested_by",
    "state",
)


@pytest.fixture
def people(db: None, without_menus: None) -> People:
    return furnish()


def sent(path: str, body: dict[str, Any], people: People, method: str = "post") -> Any:
    call = getattr(Client(headers=bearer(people.globex)), method)
    return call(f"/api/v1/{path}", body, content_type="application/json")


def test_what_a_writing_route_does_not_name_is_refused(people):
    budget = {"name": "x", "scope": "account", "limit": "1"}
    own = sent("budgets/", budget, people).json()["id"]
    before = Budget.objects.count(), BudgetPeriod.objects.count(), count("usage_requestlog")

    for evil in ({field: people.acme.pk} for field in FORBIDDEN):
        refused = [
            sent("budgets/", budget | evil, people),
            sent(f"budgets/{own}/", {"limit": "2"} | evil, people, "patch"),
            sent("exports/", {"dataset": "requests", "format": "csv"} | evil, people),
            sent("authorize/", {"request_id": "a", "max_cost": "1"} | evil, people),
        ]
        row = sent("requests/", native() | evil, people).json()
        assert [answer.status_code for answer in refused] == [400] * 4, evil
        assert (row["accepted"], len(row["rejected"])) == (0, 1), evil

    after = Budget.objects.count(), BudgetPeriod.objects.count(), count("usage_requestlog")
    assert after == before


def account_of(row: Any) -> Account | None:
    """Whose it is; nobody's what all accounts share."""
    if isinstance(row, Account):
        return row
    place = getattr(row, "workspace", None) or row
    return getattr(place, "account", None)


def test_no_form_offers_another_accounts_rows(people):
    """What is not offered is refused when it is posted all the same."""
    request, offered, asked = request_of(people.outsider, "/"), [], 0
    for model, model_admin in admin.site._registry.items():
        if not model_admin.has_add_permission(request):
            continue
        for name, field in model_admin.get_form(request)().fields.items():
            if isinstance(field, ModelChoiceField):
                asked += 1
                theirs = [row for row in field.queryset if account_of(row) == people.acme]
                offered += [(model.__name__, name, str(row)) for row in theirs]

    assert asked > 10
    assert offered == []


def test_a_role_is_given_by_those_who_may_and_in_what_is_theirs_only(people, client):
    client.force_login(people.manager)
    role = {"user": people.newcomer.pk, "account": people.acme.pk, "name": "owner"}

    for given in (role, role | {"account": people.globex.pk}):
        client.post("/admin/accounts/role/add/", given)

    assert not people.newcomer.roles.exists()


def test_no_page_takes_a_post_that_another_site_sent(people):
    """Every page that takes posts asks for the token that only our own pages have."""
    exempt = [name for name, view in pages() if getattr(view, "csrf_exempt", False)]
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.staff)
    answers = [
        client.post(path).status_code
        for path in ("/admin/accounts/workspace/add/", "/admin/logout/", "/admin/explorer/save/")
    ]

    assert exempt == []
    assert answers == [403] * 3


def pages(patterns: Any = None) -> Any:
    """Every view of the admin, with what its pattern is called."""
    for each in get_resolver().url_patterns if patterns is None else patterns:
        if patterns is None and not str(each.pattern).startswith("admin/"):
            continue
        if hasattr(each, "url_patterns"):
            yield from pages(each.url_patterns)
        else:
            yield each.name, each.callback
