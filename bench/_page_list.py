"""Which pages are opened, what they must not exceed, and what must be there to be shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.utils import timezone

from accounts.models import Member, Project
from bench._traffic import Traffic
from budgets import ledger
from budgets.models import Budget
from usage import requests
from usage.insight import savings

PAGE_THOUSAND = 999 * requests.PAGE_SIZE
MEMBERS_WITH_BUDGETS = 20

HOME_MS, HOME_QUERIES, HOME_BYTES = 1_000, 12, 500_000
EXPLORER_MS, LOG_MS = 300, 200
# Where nothing but each request tells: a search goes on for a second, then says how far it came.
SEARCH_MS = 2_000


@dataclass(frozen=True)
class Page:
    """`most_ms` to the last byte and `most_queries` are goals; None where there is none."""

    name: str
    path: str
    most_ms: int | None = None
    most_queries: int | None = None


def pages(traffic: Traffic) -> Iterator[Page]:
    yield from homes(traffic)
    yield from explorations(traffic)
    yield from logs(traffic)
    for name, path in OTHERS.items():
        yield Page(name, f"/admin/{path}")
    budget = Budget.objects.order_by("pk").values_list("pk", flat=True)[0]
    yield Page("one budget", f"/admin/budgets/budget/{budget}/change/")


OTHERS = {
    "budgets": "budgets/budget/",
    "savings": "insight/savings/",
    "spikes": "insight/spikes/",
    "latency": "insight/latency/",
    "availability": "insight/availability/",
    "models without a price": "prices/unpriced/",
    "projects": "accounts/project/",
    "members": "accounts/member/",
    "API keys": "accounts/apikey/",
    "prices": "usage/price/",
}


def homes(traffic: Traffic) -> Iterator[Page]:
    account = {"account": traffic.account.slug}
    largest = account | {"workspace": traffic.workspaces[0].slug}
    for name, parameters in {
        "7 days": {},
        "today": {"range": "today"},
        "30 days": {"range": "30d"},
        "90 days": {"range": "90d"},
        "30 days by project": {"range": "30d", "by": "project"},
        "30 days, one account": {"range": "30d", **account},
        "30 days, largest workspace": {"range": "30d", **largest},
    }.items():
        yield Page(f"home, {name}", f"/admin/?{urlencode(parameters)}", HOME_MS, HOME_QUERIES)


def explorations(traffic: Traffic) -> Iterator[Page]:
    """Those that sums answer have a goal; single requests take as long as they are many."""
    three = "workspace,project,model"
    heat = {"group_by": "member", "columns": "model", "chart": "heat", "limit": "100"}
    speed = "latency_ms_p95,requests"
    for name, parameters in {
        "as it opens": {},
        "3 dimensions by day": {"group_by": three, "granularity": "day"},
        "3 dimensions, days as columns": {"group_by": three, "columns": "time", "limit": "25"},
        "days by model, compared": {"group_by": "model", "columns": "time", "compare": "previous"},
        "heat map, 100 members by model": heat,
        "heat map, 60 projects by day": heat
        | {"group_by": "project", "columns": "time", "limit": "60"},
        "p95 by model": {"metrics": speed, "group_by": "model"},
    }.items():
        yield Page(f"explorer, {name}", explorer(parameters), EXPLORER_MS)
    for name, parameters in {
        "by status": {"metrics": "requests", "group_by": "status_class"},
        "p95 by member": {"metrics": speed, "group_by": "member"},
        "p95 by member, 7 days": {"metrics": speed, "group_by": "member", "range": "7d"},
    }.items():
        yield Page(f"explorer from single requests, {name}", explorer(parameters))


def explorer(parameters: dict[str, str]) -> str:
    usual = {"metrics": "cost,requests", "range": "30d"} if parameters else {}
    return f"/admin/explorer/?{urlencode(usual | parameters)}"


def logs(traffic: Traffic) -> Iterator[Page]:
    member = {"member_id": traffic.member.pk}
    week = {"from": (traffic.today - timedelta(7)).isoformat()}
    for name, parameters in {
        "page 1": {},
        "page 1,000": {"cursor": cursor_of(PAGE_THOUSAND)},
        "failed ones": {"status_class": "5xx"},
        "failed ones of one member": member | {"status_class": "5xx"},
        "one member, 7 days": member | week,
        "one model and member": member | {"model": "gpt-4o"},
        "largest workspace": {"workspace": traffic.workspaces[0].slug},
    }.items():
        yield Page(f"request log, {name}", log(parameters), LOG_MS)
    for name, parameters in rare(traffic).items():
        yield Page(f"request log, rare: {name}", log(parameters), LOG_MS)
    for name, parameters in {
        "dearest": {"cost_min": "0.5"},
        "a status that none has": {"status": "599"},
        "a tag that none has": {"tag": "team:nobody"},
        "an id that none has": {"request_id__startswith": "nobody"},
        "slow ones of one member": member | {"latency_min": "60000"},
    }.items():
        yield Page(f"request log, by turns: {name}", log(parameters), SEARCH_MS)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT request_id FROM usage_requestlog ORDER BY occurred_at DESC OFFSET 5 LIMIT 1"
        )
        (request_id,) = cursor.fetchone()
    yield Page("one request", f"/admin/requests/one/?{urlencode({'id': request_id})}", LOG_MS)


def log(parameters: dict[str, Any]) -> str:
    return f"/admin/requests/?{urlencode(parameters)}"


def rare(traffic: Traffic) -> dict[str, dict[str, Any]]:
    """Filters that few requests meet or none, on as many days as there are."""
    project, key = rarest("project_id"), rarest("api_key_id")
    quiet = {"workspace": traffic.workspaces[-1].slug}
    return {
        "a project": {"project_id": project},
        "a project's failed ones": {"project_id": project, "status_class": "5xx"},
        "a key": {"api_key_id": key},
        "a key at one provider": {"api_key_id": key, "provider": "openai"},
        "failed ones of a quiet workspace": quiet | {"status_class": "5xx"},
        "an error type that none has": {"error_type": "Nobody"},
        "an error type": {"error_type": "ServerError"},
        "a cost that nobody reaches": {"cost_min": "1000"},
        "a latency that nobody reaches": {"latency_min": "100000000"},
        "a model that none has": {"model": "nobody"},
    }


def rarest(column: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM usage_day_key WHERE {column} IS NOT NULL "
            f"GROUP BY {column} ORDER BY sum(requests), {column} LIMIT 1"
        )
        return cursor.fetchone()[0]


def cursor_of(offset: int) -> str:
    """Where a page begins: found once by counting, which the page itself never does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT occurred_at, workspace_id, request_id FROM usage_requestlog "
            "ORDER BY occurred_at DESC, request_id DESC, workspace_id DESC OFFSET %s LIMIT 1",
            [offset],
        )
        row = dict(
            zip(("occurred_at", "workspace_id", "request_id"), cursor.fetchone(), strict=True)
        )
    return requests.make_cursor(row, backwards=False)


def furnish(traffic: Traffic) -> None:
    """Budgets at every level, and what can be saved: once."""
    if Budget.objects.exists():
        return
    now = timezone.now()
    for scope, limit, subjects in (
        ("workspace", 60_000, traffic.workspaces),
        ("project", 9_000, Project.objects.order_by("pk")),
        ("member", 2_000, Member.objects.order_by("pk")[:MEMBERS_WITH_BUDGETS]),
    ):
        for one in subjects:
            budget = Budget(account=traffic.account, name=f"{scope} {one}", scope=scope)
            budget.limit = Decimal(limit)
            setattr(budget, scope, one)
            ledger.open_budget(budget, now=now)
    savings.refresh(traffic.account, now=traffic.end)
