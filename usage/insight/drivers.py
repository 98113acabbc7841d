"""Why a series spends more: which key, model, endpoint, member and project, and in which way."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from usage.insight.series import COLUMNS, TOKENS, Series, rows
from usage.spike_models import Anomaly, SeriesKind

DAY, WEEK = timedelta(days=1), timedelta(days=7)
SHOWN = 3
LEAST_SHARE = Decimal("0.05")

PROMPT = "(l.input + l.cache_read + l.cache_write_5m + l.cache_write_1h)"
# dimension -> (column of the log, table, what its rows are called)
DIMENSIONS = {
    "api_key": ("api_key_id", "accounts_apikey", "coalesce(nullif(d.name, ''), d.identifier)"),
    "model": ("model_id", "usage_llmmodel", "d.name"),
    "endpoint": ("endpoint_id", "usage_endpoint", "d.name"),
    "member": ("member_id", "accounts_member", "coalesce(nullif(d.name, ''), d.identifier)"),
    "project": ("project_id", "accounts_project", "coalesce(nullif(d.name, ''), d.tag)"),
}
NAMES = {
    SeriesKind.API_KEY: DIMENSIONS["api_key"],
    SeriesKind.MEMBER: DIMENSIONS["member"],
    SeriesKind.PROJECT: DIMENSIONS["project"],
    SeriesKind.MODEL: DIMENSIONS["model"],
    SeriesKind.WORKSPACE: ("workspace_id", "accounts_workspace", "d.name"),
}

# A request is of the episode, or of the same time of day in the days before.
PERIODS = """(l.occurred_at >= %(start)s AND l.occurred_at < %(end)s) AS is_now"""
WITHIN = """l.workspace_id = %(workspace)s AND l.{column} = %(subject)s
    AND l.occurred_at >= %(before)s AND l.occurred_at < %(end)s
    AND (l.occurred_at >= %(start)s OR mod(extract(epoch FROM l.occurred_at - %(before)s)::bigint,
        %(every)s) < %(seconds)s)"""

BY_DIMENSION = """
SELECT {grouping}, {columns},
    coalesce(sum({amount}) FILTER (WHERE u.is_now), 0),
    coalesce(sum({amount}) FILTER (WHERE NOT u.is_now), 0)
FROM (SELECT l.*, {periods} FROM usage_requestlog l WHERE {within}) u
GROUP BY GROUPING SETS ({sets})
"""

FACTORS = """
SELECT u.is_now, count(*), coalesce(sum(u.cost), 0), sum(u.tokens), sum(u.prompt), sum(u.cache_read)
FROM (SELECT l.cost, l.cache_read, {tokens} AS tokens, {prompt} AS prompt, {periods}
    FROM usage_requestlog l WHERE {within}) u
GROUP BY u.is_now
"""

TOTAL = """
SELECT coalesce(sum(l.cost), 0), coalesce(sum({tokens}), 0) FROM usage_requestlog l
WHERE l.workspace_id = %(workspace)s AND l.{column} = %(subject)s
    AND l.occurred_at >= %(start)s AND l.occurred_at < %(end)s
"""

SHARED = """
SELECT coalesce(sum({amount}) FILTER (WHERE l.{other_column} = %(other)s), 0)
FROM usage_requestlog l
WHERE l.workspace_id = %(workspace)s AND l.{column} = %(subject)s
    AND l.occurred_at > %(start)s AND l.occurred_at <= %(end)s
"""


def drivers_of(
    series: Series, measure: str, start: datetime, end: datetime, *, known_since: datetime
) -> dict[str, Any]:
    """As JSON: `by` dimension who brings the excess, and the `factors` of spending more.

    Compared is the same time of up to seven days before; of more than a day, the week before.
    """
    compared = comparison(series, start, end, known_since=known_since)
    days = compared.pop("days")
    amount = "u.cost" if measure == Anomaly.Measure.SPEND else TOKENS.replace("l.", "u.")
    return {
        "compared_days": days,
        "by": by_dimension(series, amount, compared, days=days),
        "factors": factors(series, compared, days=days),
    }


def comparison(
    series: Series, start: datetime, end: datetime, *, known_since: datetime
) -> dict[str, Any]:
    """The query's parameters. `days`: how many such spans lie before the episode."""
    length = end - start
    every = DAY if length <= DAY else WEEK
    most = 7 if every == DAY else 1
    days = max(min(int((start - known_since) / every), most), 0)
    return {
        "workspace": series.workspace_id,
        "subject": series.subject_id,
        "before": start - days * every,
        "start": start,
        "end": end,
        "every": int(every.total_seconds()),
        "seconds": int(length.total_seconds()),
        "days": days,
    }


def by_dimension(
    series: Series, amount: str, given: dict[str, Any], *, days: int
) -> dict[str, list[dict[str, Any]]]:
    columns = [f"u.{column}" for column, _, _ in DIMENSIONS.values()]
    sql = BY_DIMENSION.format(
        grouping=f"grouping({', '.join(columns)})",
        columns=", ".join(columns),
        amount=amount,
        periods=PERIODS,
        within=WITHIN.format(column=COLUMNS[SeriesKind(series.kind)]),
        sets=", ".join([*(f"({column})" for column in columns), "()"]),
    )
    found: dict[str, list[tuple[Any, Decimal]]] = {name: [] for name in DIMENSIONS}
    whole = Decimal(0)
    bits = {(1 << len(columns)) - 1 - (1 << (len(columns) - 1 - i)): i for i in range(len(columns))}
    for mask, *ids, now, before in rows(sql, given):
        more = Decimal(now) - (Decimal(before) / days if days else 0)
        if mask in bits:
            found[list(DIMENSIONS)[bits[mask]]].append((ids[bits[mask]], more))
        else:
            whole = more
    return {name: shares(name, values, whole) for name, values in found.items()}


def shares(
    dimension: str, values: list[tuple[Any, Decimal]], whole: Decimal
) -> list[dict[str, Any]]:
    """The values that bring most of it, and how much: of 1, the whole excess."""
    if whole <= 0:
        return []
    top = sorted(values, key=lambda pair: -pair[1])[:SHOWN]
    _, table, label = DIMENSIONS[dimension]
    names = named(table, label, [pk for pk, _ in top if pk])
    return [
        {
            "id": pk,
            "name": names.get(pk, "none"),
            "excess": f"{more:.10f}",
            "share": f"{more / whole:.4f}",
        }
        for pk, more in top
        if more / whole >= LEAST_SHARE
    ]


def factors(series: Series, given: dict[str, Any], *, days: int) -> dict[str, Any]:
    """Before and now: how many requests, how large, how dear, and how much came from a cache."""
    sql = FACTORS.format(
        tokens=TOKENS,
        prompt=PROMPT,
        periods=PERIODS,
        within=WITHIN.format(column=COLUMNS[SeriesKind(series.kind)]),
    )
    sides = {
        "now" if is_now else "before": side(*sums, spans=1 if is_now else days)
        for is_now, *sums in rows(sql, given)
    }
    return {"before": sides.get("before"), "now": sides.get("now")}


def side(
    requests: int, cost: Decimal, tokens: int, prompt: int, cached: int, *, spans: int
) -> dict[str, Any]:
    return {
        "requests": f"{Decimal(requests) / (spans or 1):.1f}",
        "cost": f"{cost / (spans or 1):.10f}",
        "cost_per_request": f"{cost / requests:.10f}",
        "tokens_per_request": f"{Decimal(tokens) / requests:.0f}",
        "cached": f"{Decimal(cached) / prompt:.4f}" if prompt else None,
    }


def spent_in(series: Series, start: datetime, end: datetime) -> tuple[Decimal, Decimal]:
    """(dollars, tokens) of the series in `[start, end)`."""
    sql = TOTAL.format(tokens=TOKENS, column=COLUMNS[SeriesKind(series.kind)])
    given = {"workspace": series.workspace_id, "subject": series.subject_id}
    [(cost, tokens)] = rows(sql, given | {"start": start, "end": end})
    return Decimal(cost), Decimal(tokens)


def shared_with(
    series: Series, other: Series, measure: str, *, start: datetime, end: datetime
) -> Decimal:
    """How much of what one series spent is another's too."""
    sql = SHARED.format(
        amount="l.cost" if measure == Anomaly.Measure.SPEND else TOKENS,
        column=COLUMNS[SeriesKind(series.kind)],
        other_column=COLUMNS[SeriesKind(other.kind)],
    )
    given = {
        "workspace": series.workspace_id,
        "subject": series.subject_id,
        "other": other.subject_id,
        "start": start,
        "end": end,
    }
    [(amount,)] = rows(sql, given)
    return Decimal(amount)


def name_of(series: Series) -> str:
    _, table, label = NAMES[SeriesKind(series.kind)]
    return named(table, label, [series.subject_id]).get(series.subject_id, "unknown")[:200]


def named(table: str, label: str, ids: list[int]) -> dict[int, str]:
    if not ids:
        return {}
    return dict(
        rows(f"SELECT d.id, {label} FROM {table} d WHERE d.id = ANY(%(ids)s)", {"ids": ids})
    )
