"""The queue of requests that wait for a price: which models, how much, since when, and why.

The figures are those of the report service where none of a workspace's requests to a model has a
price, as is usual. Where some have one, the others are added up from the log by its index of
requests without a cost.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Q

from accounts.access import Reach
from accounts.models import Workspace
from usage.models import PricedModel
from usage.pricing.names import providers_to_ask, spellings
from usage.pricing.patterns import names_of
from usage.pricing.ratecard import RateCard, Unpriced
from usage.reports.question import Filter, Question, today_in
from usage.reports.run import ask

WINDOW = timedelta(days=90)
MOST_MODELS = 100
CLOSEST = 8

Key = tuple[int, int | None]  # ids of model and provider, as requests name them

SOME_PRICED = """
SELECT l.model_id, l.provider_id, sum(l.input + l.cache_read + l.cache_write_5m + l.cache_write_1h),
    sum(l.output), sum(l.reported_cost)
FROM unnest(%(workspaces)s::int[], %(models)s::int[], %(providers)s::int[])
    AS m(workspace_id, model_id, provider_id)
JOIN usage_requestlog l ON l.workspace_id = m.workspace_id AND l.model_id = m.model_id
    AND l.provider_id IS NOT DISTINCT FROM m.provider_id
WHERE l.cost IS NULL AND l.occurred_at >= %(since)s
GROUP BY l.model_id, l.provider_id
"""

# The partitions of a day: each pair's newest request is in its last day, or the day beside it.
NEWEST = """
SELECT m.model_id, m.provider_id, l.*, w.account_id
FROM unnest(%(models)s::int[], %(providers)s::int[], %(days)s::date[])
    AS m(model_id, provider_id, day)
CROSS JOIN LATERAL (
    SELECT l.occurred_at, l.workspace_id, l.status, l.service_tier, l.meters, l.input,
        l.cache_read, l.cache_write_5m, l.cache_write_1h, l.output, l.reasoning
    FROM usage_requestlog l
    WHERE l.cost IS NULL AND l.workspace_id = ANY(%(workspaces)s) AND l.model_id = m.model_id
        AND l.provider_id IS NOT DISTINCT FROM m.provider_id
        AND l.occurred_at >= m.day::timestamp AT TIME ZONE 'UTC' - interval '15 hours'
        AND l.occurred_at < m.day::timestamp AT TIME ZONE 'UTC' + interval '39 hours'
    ORDER BY l.occurred_at DESC LIMIT 1
) l
JOIN accounts_workspace w ON w.id = l.workspace_id
"""

QUANTITIES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


@dataclass
class Waiting:
    """The requests of one model at one provider that have no price, within a reader's reach."""

    model_id: int
    provider_id: int | None
    model: str
    provider: str | None
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    ceiling_cost: Decimal = Decimal(0)
    reported_cost: Decimal | None = None
    workspaces: list[Workspace] = field(default_factory=list)
    first_day: date | None = None
    last_day: date | None = None
    why: "Why | None" = None

    @property
    def key(self) -> Key:
        return self.model_id, self.provider_id

    @property
    def price_from(self) -> date | None:
        """The UTC day to price all of them from: east of Greenwich days begin a day before."""
        return self.first_day and self.first_day - timedelta(1)

    def add(self, *, input_tokens: int, output_tokens: int, reported: Decimal | None) -> None:
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        if reported is not None:
            self.reported_cost = (self.reported_cost or Decimal(0)) + reported


@dataclass(frozen=True, slots=True)
class Why:
    """Why the newest of the requests has no price.

    `kind` is no_provider, no_model, no_price, no_meter, not_then, unmeasured, priced_since or
    gone, which is a request that is no longer in the log.
    """

    kind: str
    meter: str = ""
    priced_model: PricedModel | None = None
    drafts: int = 0
    has_likes: bool = False  # other models of the provider, which it may be a spelling of


def waiting(reach: Reach, card: RateCard, *, now: datetime) -> list[Waiting]:
    """The queue over the last 90 days, the most requests first; `MOST_MODELS` of it at most."""
    end = today_in(reach, now=now) + timedelta(1)
    period = (end - WINDOW, end)
    found = sums(reach, period, now=now)
    set_days(found, reach, period, now=now)
    set_reasons(found, reach, card, now=now)
    return list(found.values())


def sums(reach: Reach, period: tuple[date, date], *, now: datetime) -> dict[Key, Waiting]:
    asked = Question(
        reach=reach,
        start=period[0],
        end=period[1],
        group_by=("model", "provider", "workspace"),
        metrics=(
            *("unpriced_requests", "requests", "input_tokens", "output_tokens"),
            *("ceiling_cost", "reported_cost"),
        ),
    )
    rows = [row for row in ask(asked, now=now).rows if row["unpriced_requests"]]
    workspaces = {workspace.pk: workspace for workspace in reach.workspaces}
    found: dict[Key, Waiting] = {}
    mixed = []
    for row in rows:
        key = row["model_id"], row["provider_id"]
        one = found.setdefault(key, Waiting(*key, row["model"], row["provider"]))
        one.requests += row["unpriced_requests"]
        one.ceiling_cost += row["ceiling_cost"]
        one.workspaces.append(workspaces[row["workspace_id"]])
        if row["requests"] == row["unpriced_requests"]:
            one.add(
                input_tokens=row["input_tokens"],
                output_tokens=row["output_tokens"],
                reported=row["reported_cost"],
            )
        else:
            mixed.append(row)
    first = sorted(found.values(), key=lambda one: -one.requests)[:MOST_MODELS]
    shown = {one.key: one for one in first}
    add_from_log(shown, mixed, since=period[0])
    return shown


def add_from_log(found: Mapping[Key, Waiting], rows: Iterable[Any], *, since: date) -> None:
    """Add what the roll-ups cannot tell apart from requests to the same model that have a price."""
    rows = [row for row in rows if (row["model_id"], row["provider_id"]) in found]
    if not rows:
        return
    parameters: dict[str, Any] = {
        "workspaces": [row["workspace_id"] for row in rows],
        "models": [row["model_id"] for row in rows],
        "providers": [row["provider_id"] for row in rows],
        "since": datetime.combine(since, datetime.min.time(), tzinfo=UTC) - timedelta(hours=15),
    }
    with connection.cursor() as cursor:
        cursor.execute(SOME_PRICED, parameters)
        for model, provider, input_tokens, output_tokens, reported in cursor.fetchall():
            found[model, provider].add(
                input_tokens=int(input_tokens), output_tokens=int(output_tokens), reported=reported
            )


def set_days(
    found: Mapping[Key, Waiting], reach: Reach, period: tuple[date, date], *, now: datetime
) -> None:
    if not found:
        return
    asked = Question(
        reach=reach,
        start=period[0],
        end=period[1],
        granularity="day",
        group_by=("model", "provider"),
        metrics=("unpriced_requests",),
        filters={"model": Filter(ids=tuple({model for model, _ in found}))},
    )
    for row in ask(asked, now=now).rows:
        one = found.get((row["model_id"], row["provider_id"]))
        if one is not None and row["unpriced_requests"]:
            one.first_day = min(one.first_day or row["day"], row["day"])
            one.last_day = max(one.last_day or row["day"], row["day"])


def set_reasons(
    found: Mapping[Key, Waiting], reach: Reach, card: RateCard, *, now: datetime
) -> None:
    newest = newest_requests(found, reach)
    asked = {name for one in found.values() for name in providers_to_ask(one.provider)}
    book = Book.of(asked)
    for one in found.values():
        one.why = why(one, newest.get(one.key), card, book, now=now)


def newest_requests(found: Mapping[Key, Waiting], reach: Reach) -> dict[Key, dict[str, Any]]:
    dated = [one for one in found.values() if one.last_day]
    if not dated:
        return {}
    parameters: dict[str, Any] = {
        "models": [one.model_id for one in dated],
        "providers": [one.provider_id for one in dated],
        "days": [one.last_day for one in dated],
        "workspaces": reach.workspace_ids,
    }
    with connection.cursor() as cursor:
        cursor.execute(NEWEST, parameters)
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {(row["model_id"], row["provider_id"]): row for row in rows}


@dataclass(frozen=True)
class Book:
    """The priced models of some providers, those with approved prices first, as a card has them."""

    models: Mapping[str, Sequence[PricedModel]]

    @classmethod
    def of(cls, providers: Iterable[str]) -> "Book":
        rows = PricedModel.objects.filter(provider__in=list(providers)).annotate(
            approved=Count("prices", filter=Q(prices__status="approved")),
            drafts=Count("prices", filter=Q(prices__status="draft")),
        )
        models: dict[str, list[PricedModel]] = {}
        for model in sorted(rows, key=lambda model: (not model.approved, model.pk)):
            models.setdefault(model.provider, []).append(model)
        return cls(models)

    def answering(self, provider: str | None, name: str) -> PricedModel | None:
        """The model that answers to a name, whether it has a price or not."""
        for asked in providers_to_ask(provider):
            patterns = [(names_of(model), model) for model in self.models.get(asked, ())]
            for spelling in spellings(name):
                for pattern, model in patterns:
                    if pattern.search(spelling):
                        return model
        return None

    def closest(self, provider: str | None, name: str) -> list[PricedModel]:
        """Models whose names are most like it, the likest first."""
        asked = [model for key in providers_to_ask(provider) for model in self.models.get(key, ())]
        by_name = {model.name: model for model in reversed(asked) if model.approved}  # type: ignore[attr-defined]
        near = difflib.get_close_matches(spellings(name)[-1], by_name, n=CLOSEST, cutoff=0.3)
        return [by_name[found] for found in near]


def why(
    one: Waiting, newest: dict[str, Any] | None, card: RateCard, book: Book, *, now: datetime
) -> Why:
    if not one.provider:
        return Why("no_provider")
    if newest is None:
        return Why("gone")
    quantities = quantities_of(newest)
    if not any(quantities.values()):
        return Why("unmeasured")
    missing = missing_meter(one, newest, quantities, card, moment=newest["occurred_at"])
    if missing is None:
        return Why("priced_since")
    known = book.answering(one.provider, one.model)
    if known is None:
        return Why("no_model", has_likes=bool(book.closest(one.provider, one.model)))
    if not known.approved:  # type: ignore[attr-defined]
        return Why("no_price", priced_model=known, drafts=known.drafts)  # type: ignore[attr-defined]
    if missing_meter(one, newest, quantities, card, moment=now) is None:
        return Why("not_then", meter=missing, priced_model=known)
    return Why("no_meter", meter=missing, priced_model=known)


def quantities_of(row: Mapping[str, Any]) -> dict[str, int]:
    """What a row of the log is billed for."""
    return {name: row[name] for name in QUANTITIES} | json.loads(row["meters"] or "{}")


def missing_meter(
    one: Waiting,
    row: Mapping[str, Any],
    quantities: Mapping[str, int],
    card: RateCard,
    *,
    moment: datetime,
) -> str | None:
    """The first meter of a request that has no price at that moment; None where all have one."""

    def has_price(billed: Mapping[str, int]) -> bool:
        try:
            card.bill(
                billed,
                provider=one.provider,
                model=one.model,
                account_id=row["account_id"],
                service_tier=row["service_tier"],
                moment=moment,
            )
        except Unpriced:
            return False
        return True

    if has_price(quantities):
        return None
    return next(
        (meter for meter, number in quantities.items() if not has_price({meter: number})), "input"
    )
