"""What tests are made of: accounts, tokens, price books, requests, and the sums of whole tables."""

import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.db import connection
from genai_prices.data import providers

from accounts import directory, tokens
from accounts.access import Reach
from accounts.models import Account, Role, Scope, User, Workspace
from usage.ingest import resolve
from usage.ingest.receive import Received, receive
from usage.models import Price, PricedModel
from usage.pricing import ratecard
from usage.pricing.catalogue import pattern_of, prices_of
from usage.pricing.ratecard import RateCard, compile_rate_card
from usage.rollups.tables import HISTOGRAMS, MEASURES, ROLLUPS

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINCE_EVER = datetime(2020, 1, 1, tzinfo=UTC)

numbers = itertools.count(1)


class Clock:
    """The clock of copies in memory: it stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def forget() -> None:
    """What this process remembers of rows, where those are gone."""
    for memory in (directory, resolve, ratecard):
        memory.forget()


def make_account(slug: str = "acme", *, time_zone: str = "UTC", **more: Any) -> Account:
    return Account.objects.create(slug=slug, name=slug.title(), time_zone=time_zone, **more)


def make_workspace(account: Account, slug: str = "research", **more: Any) -> Workspace:
    return Workspace.objects.create(
        **{"account": account, "slug": slug, "name": slug.title()} | more
    )


def make_user(username: str = "member", **more: Any) -> User:
    return User.objects.create_user(username, password="correct horse", is_staff=True, **more)


def make_role(user: User, name: str, account: Account, workspace: Workspace | None = None) -> Role:
    return Role.objects.create(user=user, name=name, account=account, workspace=workspace)


def bearer(account: Account, *scopes: str, workspaces: Iterable[Workspace] = ()) -> dict[str, str]:
    """The header of a new access token; without scopes it has all of them."""
    _, text = tokens.issue(
        account=account, name="test", scopes=scopes or Scope.values, workspaces=workspaces
    )
    return {"authorization": f"Bearer {text}"}


def reach_of(*workspaces: Workspace) -> Reach:
    accounts = {workspace.account_id: workspace.account for workspace in workspaces}
    return Reach(tuple(accounts.values()), workspaces)


def make_price(
    meter: str,
    unit_price: str,
    *,
    model: str = "gpt-4o",
    provider: str = "openai",
    priced_model: PricedModel | None = None,
    **more: Any,
) -> Price:
    """An unsaved approved price; `priced_model` says whose, where it is not the model's own."""
    fields: dict[str, Any] = {
        "priced_model": priced_model or unsaved_model(provider, model),
        "valid_from": SINCE_EVER,
        "source": "test",
        "status": Price.Status.APPROVED,
    }
    return Price(meter=meter, unit_price=Decimal(unit_price), **fields | more)


@cache
def unsaved_model(provider: str, name: str) -> PricedModel:
    # Rate cards tell models apart by id, so that even unsaved ones need one.
    return PricedModel(pk=next(numbers), provider=provider, name=name, pattern=f"^{name}$")


def save_prices(*prices: Price) -> None:
    for price in prices:
        model = price.priced_model
        price.priced_model, _ = PricedModel.objects.get_or_create(
            provider=model.provider, name=model.name, defaults={"pattern": model.pattern}
        )
        price.save()
    ratecard.forget()


def small_price_book() -> None:
    """gpt-4o of openai: $2.50 in, $1.25 cache read, $10 out a million; $0.01 a web search."""
    save_prices(
        make_price("input", "2.5"),
        make_price("cache_read", "1.25"),
        make_price("output", "10"),
        make_price("web_search", "0.01", per=1),
    )


@cache
def package_card() -> RateCard:
    """The rate card of the whole genai-prices package, without a database."""
    prices = []
    for provider in providers:
        for model in provider.models:
            priced = PricedModel(
                pk=next(numbers),
                provider=provider.id,
                name=model.id,
                pattern=pattern_of(model.match),
            )
            for price in prices_of(model, priced.pk, "test", Price.Status.APPROVED):
                price.priced_model = priced
                prices.append(price)
    return compile_rate_card(prices)


def native(**fields: Any) -> dict[str, Any]:
    """A native request: 1,000 tokens in and 100 out of gpt-4o, $0.0035 in the small price book."""
    return {
        "request_id": f"request-{next(numbers)}",
        "occurred_at": NOW.isoformat(),
        "model": "gpt-4o",
        "provider": "openai",
        "input_tokens": 1000,
        "output_tokens": 100,
    } | fields


def post(
    account: Account,
    *rows: Any,
    source: str = "native",
    now: datetime = NOW,
    token: Any = None,
) -> Received:
    """What a gateway's call does; a row is an object, or bytes as they are."""
    raw = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return receive(raw, source=source, account=account, token=token, now=now)


def fetch(sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def log(order: str = "request_id") -> list[dict[str, Any]]:
    """Every row of the request log, with the names behind its ids."""
    rows = fetch(
        f"""
        SELECT l.*, w.slug AS workspace, p.tag AS project, m.identifier AS member,
            k.identifier AS api_key, lm.name AS model, rm.name AS requested_model,
            pr.name AS provider, e.name AS endpoint
        FROM usage_requestlog l JOIN accounts_workspace w ON w.id = l.workspace_id
        JOIN usage_llmmodel lm ON lm.id = l.model_id
        LEFT JOIN accounts_project p ON p.id = l.project_id
        LEFT JOIN accounts_member m ON m.id = l.member_id
        LEFT JOIN accounts_apikey k ON k.id = l.api_key_id
        LEFT JOIN usage_llmmodel rm ON rm.id = l.requested_model_id
        LEFT JOIN usage_provider pr ON pr.id = l.provider_id
        LEFT JOIN usage_endpoint e ON e.id = l.endpoint_id
        ORDER BY {order}"""
    )
    for row in rows:
        row |= {name: json.loads(row[name] or "null") for name in ("meters", "tags")}
    return rows


def count(table: str) -> int:
    return fetch(f"SELECT count(*) AS n FROM {table}")[0]["n"]


def sums_of_log() -> dict[str, Any]:
    """The sum of every measure over the whole request log."""
    sums = ", ".join(f"coalesce(sum({sql}), 0) AS {name}" for name, sql in MEASURES.items())
    return fetch(f"SELECT {sums} FROM usage_requestlog l")[0]


def sums_of(table: str) -> dict[str, Any]:
    sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in MEASURES)
    return fetch(f"SELECT {sums} FROM {table}")[0]


def rollup_rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every roll-up, in the order of its key."""
    return {
        rollup.table: fetch(f"SELECT * FROM {rollup.table} ORDER BY {', '.join(rollup.key)}")
        for rollup in ROLLUPS
    }


def histogram_rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every histogram, in the order of its key."""
    return {
        histogram.table: fetch(
            f"SELECT * FROM {histogram.table} ORDER BY {', '.join(histogram.key)}"
        )
        for histogram in HISTOGRAMS
    }
