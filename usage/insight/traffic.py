"""An account's traffic of a span, summed so that it can be priced on any model, with evidence."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from usage.insight.repriced import Band
from usage.models import Price
from usage.pricing.meters import CONTEXT_METERS, FURTHER_METER_NAMES, LOG_METERS

LOG_METER_NAMES = tuple(meter.name for meter in LOG_METERS)
INPUT_COLUMNS = tuple(name for name in LOG_METER_NAMES if name in CONTEXT_METERS)
FURTHER_INPUT = sorted(CONTEXT_METERS & FURTHER_METER_NAMES)

PROMPT = " + ".join(f"l.{name}" for name in INPUT_COLUMNS)
# What decides the price tier, as in `RateCard.charges`.
CONTEXT = f"""({PROMPT} + CASE WHEN l.meters IS NULL THEN 0 ELSE {
    " + ".join(f"coalesce((l.meters->>'{name}')::int, 0)" for name in FURTHER_INPUT)
} END)"""
# A price tier holds strictly above its threshold.
BAND = f"width_bucket({CONTEXT} - 1, %(thresholds)s::int[])"
USED_ANY = f"({' + '.join(f'l.{name}' for name in LOG_METER_NAMES)} > 0 OR l.meters IS NOT NULL)"

KEYS = "l.workspace_id, l.project_id, l.endpoint_id, l.model_id, l.provider_id"
# The list of one workspace's requests by time is the index.
SPAN = """l.workspace_id = ANY(%(workspaces)s)
    AND l.occurred_at >= %(since)s AND l.occurred_at < %(until)s"""

BANDS = f"""
SELECT {KEYS}, coalesce(l.service_tier, '') AS tier, {BAND} AS band,
    {", ".join(f"sum(l.{name})::bigint" for name in LOG_METER_NAMES)},
    count(*) FILTER (WHERE l.status < 400 AND {USED_ANY})
FROM usage_requestlog l
WHERE {SPAN} AND l.cost IS NOT NULL
GROUP BY {KEYS}, tier, band
"""

FURTHER = f"""
SELECT {KEYS}, coalesce(l.service_tier, '') AS tier, {BAND} AS band,
    m.key, sum(m.value::bigint)::bigint
FROM usage_requestlog l CROSS JOIN LATERAL jsonb_each_text(l.meters) m
WHERE {SPAN} AND l.cost IS NOT NULL AND l.meters IS NOT NULL
GROUP BY {KEYS}, tier, band, m.key
"""

FIGURES = f"""
SELECT {KEYS}, grouping(l.workspace_id) = 1 AS is_of_all, count(*) AS requests,
    count(*) FILTER (WHERE l.status >= 400) AS errors,
    count(*) FILTER (WHERE l.cost IS NULL) AS unpriced,
    sum(l.cost) AS paid,
    min(l.occurred_at) AS first_at, max(l.occurred_at) AS last_at,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY l.latency_ms) AS latency_p50,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY l.latency_ms) AS latency_p95,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY {PROMPT})
        FILTER (WHERE l.status < 400) AS prompt_p50,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY {PROMPT})
        FILTER (WHERE l.status < 400) AS prompt_p95,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY l.output)
        FILTER (WHERE l.status < 400) AS output_p50,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY l.output)
        FILTER (WHERE l.status < 400) AS output_p95,
    max({CONTEXT} + l.output) AS context_most
FROM usage_requestlog l
WHERE {SPAN}
GROUP BY GROUPING SETS (({KEYS}), (l.model_id, l.provider_id))
"""


class Key(NamedTuple):
    """Which traffic: whose, for what, and on which model."""

    workspace_id: int
    project_id: int | None
    endpoint_id: int | None
    model_id: int
    provider_id: int | None


class Served(NamedTuple):
    """A model at a provider, by ids."""

    model_id: int
    provider_id: int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of some traffic; times and sizes are null where nobody reported them."""

    requests: int
    errors: int
    unpriced: int
    paid: Decimal | None
    first_at: datetime
    last_at: datetime
    latency_p50: int | None
    latency_p95: int | None
    prompt_p50: int | None
    prompt_p95: int | None
    output_p50: int | None
    output_p95: int | None
    context_most: int

    @property
    def error_rate(self) -> Decimal:
        return Decimal(self.errors) / self.requests


@dataclass(frozen=True, slots=True)
class Traffic:
    """All of an account's traffic in `[since, until)`."""

    account_id: int
    since: datetime
    until: datetime
    by_key: Mapping[Key, Figures]
    by_model: Mapping[Served, Figures]
    bands: Mapping[Key, Sequence[Band]]
    models: Mapping[int, str]
    providers: Mapping[int, str]

    @property
    def days(self) -> Decimal:
        """How long there was any, in days: at least one, so that no minute becomes a month."""
        first = min((f.first_at for f in self.by_key.values()), default=self.since)
        seconds = Decimal((self.until - max(first, self.since)).total_seconds())
        return max(seconds / 86_400, Decimal(1))

    def name(self, key: Key | Served) -> tuple[str | None, str]:
        """(provider, model) as requests name them."""
        provider = self.providers[key.provider_id] if key.provider_id else None
        return provider, self.models[key.model_id]


def traffic_of(
    account_id: int, workspace_ids: Sequence[int], *, since: datetime, until: datetime
) -> Traffic:
    thresholds = price_thresholds()
    given = {
        "workspaces": list(workspace_ids),
        "since": since,
        "until": until,
        "thresholds": thresholds,
    }
    by_key, by_model = figures(given)
    return Traffic(
        account_id,
        since,
        until,
        by_key,
        by_model,
        bands(given, thresholds),
        names("usage_llmmodel", [served.model_id for served in by_model]),
        names("usage_provider", [served.provider_id for served in by_model]),
    )


def price_thresholds() -> list[int]:
    found = Price.objects.approved().filter(from_input_tokens__gt=0).order_by("from_input_tokens")
    return list(found.values_list("from_input_tokens", flat=True).distinct())


def figures(given: dict[str, Any]) -> tuple[dict[Key, Figures], dict[Served, Figures]]:
    by_key, by_model = {}, {}
    for row in rows(FIGURES, given):
        key, is_of_all, found = Key(*row[:5]), row[5], Figures(*row[6:])
        if is_of_all:
            by_model[Served(key.model_id, key.provider_id)] = found
        else:
            by_key[key] = found
    return by_key, by_model


@dataclass
class Sums:
    """The bands of each key while they are put together."""

    thresholds: Sequence[int]
    found: dict[Key, dict[tuple[str, int], dict[str, int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def of(self, key: Sequence[Any], tier: str, band: int) -> dict[str, int]:
        return self.found[Key(*key)].setdefault((tier, band), {})

    def bands(self) -> dict[Key, list[Band]]:
        return {
            key: [
                Band(tier, self.thresholds[band - 1] + 1 if band else 0, quantities)
                for (tier, band), quantities in by_band.items()
            ]
            for key, by_band in self.found.items()
        }


def bands(given: dict[str, Any], thresholds: Sequence[int]) -> dict[Key, list[Band]]:
    sums = Sums(thresholds)
    for *head, charged in rows(BANDS, given):
        key, (tier, band), used = head[:5], head[5:7], head[7:]
        quantities = dict(zip(LOG_METER_NAMES, used, strict=True)) | {"request": charged}
        sums.of(key, tier, band).update(quantities)
    for *key, tier, band, meter, quantity in rows(FURTHER, given):
        sums.of(key, tier, band)[meter] = quantity
    return sums.bands()


def rows(sql: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall()


def names(table: str, ids: Sequence[int | None]) -> dict[int, str]:
    return dict(rows(f"SELECT id, name FROM {table} WHERE id = ANY(%(ids)s)", {"ids": list(ids)}))
