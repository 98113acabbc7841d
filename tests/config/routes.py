"""Every address of the platform, by name, and a world in which each has something to show."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import (
    AccessToken,
    ApiKey,
    Client,
    Member,
    Project,
    Reattribution,
    Role,
    User,
)
from tests.config.furnishing import furnish_exports, furnish_insight
from tests.factories import native, post, small_price_book
from tests.people import People, make_people
from usage.models import Anomaly, Repricing, Saving


class Route(NamedTuple):
    """A pattern of the URL conf: its name with its namespace, and the names of its arguments."""

    name: str
    arguments: tuple[str, ...]


def routes() -> Iterator[Route]:
    """All of them; a pattern without a name is called by its own text."""
    yield from below(get_resolver().url_patterns, "")


def below(patterns: list[Any], namespace: str) -> Iterator[Route]:
    for each in patterns:
        if isinstance(each, URLResolver):
            inner = f"{namespace}{each.namespace}:" if each.namespace else namespace
            yield from below(each.url_patterns, inner)
        elif isinstance(each, URLPattern):
            name = f"{namespace}{each.name or each.pattern}"
            yield Route(name, tuple(each.pattern.converters or each.pattern.regex.groupindex))


def model_of(name: str) -> type | None:
    """The model whose admin a route such as `admin:usage_price_change` belongs to."""
    for model in admin.site._registry:
        meta = model._meta
        if name.startswith(f"admin:{meta.app_label}_{meta.model_name}_"):
            return model
    return None


def furnish() -> People:
    """Of each kind of thing one, in Acme's workspace research."""
    small_price_book()
    people = make_people()
    acme, research, now = people.acme, people.research, datetime.now(UTC)
    client = Client.objects.create(account=acme, name="Initech", slug="initech")
    member = Member.objects.create(account=acme, identifier="ada@acme.test")
    project = Project.objects.create(workspace=research, tag="apollo", client=client)
    key = ApiKey.objects.create(workspace=research, identifier="k1", member=member)
    token = AccessToken(account=acme, name="gateway", scopes=["read"])
    token.renew_secret()
    token.save()
    Reattribution.objects.create(workspace=research, api_key=key, requested_at=now)
    row = {"workspace": "research", "request_id": "r1", "project": project.tag, "api_key": "k1"}
    post(acme, native(**row, occurred_at=None), native(input_tokens=-1), now=now)
    furnish_budgets(acme, research, now)
    furnish_exports(people, now)
    furnish_insight(people, now)
    return people


def furnish_budgets(acme: Any, research: Any, now: datetime) -> None:
    from budgets.ledger import open_budget
    from budgets.models import Alert, Budget, Delivery

    budget = open_budget(
        Budget(account=acme, scope="workspace", workspace=research, limit=Decimal(5), name="team"),
        now=now,
    )
    alert = Alert.objects.create(
        period=budget.periods.get(), threshold=80, limit=Decimal(5), consumed=Decimal(4)
    )
    Delivery.objects.create(alert=alert, recipient="ada@acme.test", next_attempt_at=now)
    days = {"start_on": date(2026, 1, 1), "end_on": date(2026, 1, 2)}
    Repricing.objects.create(account=acme, only_unpriced=True, requested_at=now, **days)


def argument_of(route: Route, name: str) -> Any:
    """What stands for an argument: of a model's page the row in Acme, else an example."""
    model = model_of(route.name) or OF_PAGES.get(route.name.split("_")[0])
    if name in ("object_id", "pk") and model is not None:
        return key_of(model)
    return EXAMPLES[name]() if name in EXAMPLES else "nothing"


def key_of(model: Any) -> Any:
    """The key of Acme's row; where there is none, of a row that nobody has."""
    found = model._default_manager.order_by("pk")
    if model is Role:
        found = found.filter(user__username="vera")
    return found.values_list("pk", flat=True).first() or 1


# Pages beside those of a model's admin, by how their names begin.
OF_PAGES: dict[str, type] = {
    "admin:spike": Anomaly,
    "admin:repricing": Repricing,
    "admin:savings": Saving,
}

EXAMPLES: dict[str, Callable[[], Any]] = {
    "app_label": lambda: "accounts",
    "dataset": lambda: "requests",
    "export_id": lambda: UUID(int=7),
    "extension": lambda: "csv",
    "request_id": lambda: "r1",
    "content_type_id": lambda: 1,
    "object_id": lambda: 1,
    "pk": lambda: 1,
    "id": lambda: key_of(User),
    "budget_id": lambda: key_of(apps.get_model("budgets.Budget")),
    "hold_id": lambda: UUID(int=1),
}


# Addresses that have no name, or that no argument of the world above reaches.
UNNAMED = {
    "": "/",
    "healthz": "/healthz",
    "readyz": "/readyz",
    "admin:(?P<url>.*)$": "/admin/nothing/of/the/kind/",
    "admin:<path:object_id>/": "/admin/accounts/project/1/",
}


def address_of(route: Route) -> str:
    if route.name in UNNAMED:
        return UNNAMED[route.name]
    if "/" in route.name:
        return f"/api/v1/{route.name.removeprefix('api:')}"
    values = {name: argument_of(route, name) for name in route.arguments}
    return QUERIES.get(route.name, "{}").format(reverse(route.name, kwargs=values))


QUERIES = {
    "admin:request_detail": "{}?id=r1",
    "admin:unpriced_price": "{}?provider=openai&model=gpt-4o",
    "admin:unpriced_answers": "{}?provider=openai&model=gpt-4o",
    "admin:autocomplete": "{}?app_label=accounts&model_name=apikey&field_name=member",
}
