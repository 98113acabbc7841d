"""The series that spikes are looked for in: the hours and the last minutes of each key, member,
project, model and workspace, out of the request log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from usage.insight.seasons import HISTORY_HOURS, SHORT_MINUTES
from usage.spike_models import Anomaly, SeriesKind

HOUR = timedelta(hours=1)
# Rows that arrive later than that still count everywhere but in baselines.
LATE = timedelta(hours=3)
# Memory is filled so much at a time: each statement stays short.
STEP = timedelta(hours=24)
KEPT = timedelta(hours=HISTORY_HOURS + 48)

Measure = Anomaly.Measure

COLUMNS = {
    SeriesKind.API_KEY: "api_key_id",
    SeriesKind.MEMBER: "member_id",
    SeriesKind.PROJECT: "project_id",
    SeriesKind.MODEL: "model_id",
    SeriesKind.WORKSPACE: "workspace_id",
}
TOKENS = "(l.input + l.cache_read + l.cache_write_5m + l.cache_write_1h + l.output)"
KINDS = ", ".join(f"('{kind}', g.{column})" for kind, column in COLUMNS.items())
GROUPS = "l.workspace_id, l.project_id, l.member_id, l.api_key_id, l.model_id"

# The log's index is by workspace and time.
FILL = f"""
INSERT INTO usage_serieshour (workspace_id, hour, kind, subject_id, requests, tokens, cost)
SELECT g.workspace_id, g.hour, s.kind, s.subject_id, sum(g.requests), sum(g.tokens), sum(g.cost)
FROM (
    SELECT {GROUPS}, date_trunc('hour', l.occurred_at, 'UTC') AS hour,
        count(*) AS requests, sum({TOKENS}) AS tokens, coalesce(sum(l.cost), 0) AS cost
    FROM usage_requestlog l
    WHERE l.workspace_id = ANY(%(workspaces)s)
        AND l.occurred_at >= %(start)s AND l.occurred_at < %(end)s
    GROUP BY {GROUPS}, hour
) g CROSS JOIN LATERAL (VALUES {KINDS}) AS s(kind, subject_id)
WHERE s.subject_id IS NOT NULL
GROUP BY g.workspace_id, g.hour, s.kind, s.subject_id
ON CONFLICT (workspace_id, hour, kind, subject_id) DO UPDATE SET
    requests = excluded.requests, tokens = excluded.tokens, cost = excluded.cost
"""

RECENT = f"""
SELECT g.workspace_id, s.kind, s.subject_id,
    {", ".join(f"sum(g.{m}_{w})" for m in ("cost", "tokens") for w in SHORT_MINUTES)}
FROM (
    SELECT {GROUPS}, {
    ", ".join(
        f"coalesce(sum({sql}) FILTER (WHERE l.occurred_at > %(now)s - interval '{w} minutes'), 0)"
        f" AS {m}_{w}"
        for m, sql in (("cost", "l.cost"), ("tokens", TOKENS))
        for w in SHORT_MINUTES
    )
}
    FROM usage_requestlog l
    WHERE l.workspace_id = ANY(%(workspaces)s)
        AND l.occurred_at > %(now)s - interval '60 minutes' AND l.occurred_at <= %(now)s
    GROUP BY {GROUPS}
) g CROSS JOIN LATERAL (VALUES {KINDS}) AS s(kind, subject_id)
WHERE s.subject_id IS NOT NULL
GROUP BY g.workspace_id, s.kind, s.subject_id
"""

# Only series that a day has seen: others cannot spike, and are read when they come back.
HISTORIES = """
SELECT workspace_id, kind, subject_id,
    array_agg((extract(epoch FROM %(end)s - hour) / 3600)::int),
    array_agg(cost::float8), array_agg(tokens::float8), sum(requests)
FROM usage_serieshour
WHERE workspace_id = ANY(%(workspaces)s) AND hour >= %(start)s AND hour < %(end)s
GROUP BY workspace_id, kind, subject_id
"""


class Series(NamedTuple):
    workspace_id: int
    kind: str
    subject_id: int


@dataclass(frozen=True, slots=True)
class History:
    """Hours oldest first, from the first that is known to the last whole one."""

    series: Series
    requests: int
    cost: list[float]
    tokens: list[float]

    def of(self, measure: str) -> list[float]:
        return self.cost if measure == Measure.SPEND else self.tokens

    def request(self, measure: str) -> float:
        """What one request usually adds."""
        return sum(self.of(measure)) / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Recent:
    """The last 5, 15 and 60 minutes: measure -> minutes -> amount."""

    series: Series
    amounts: dict[str, dict[int, Any]]


def fill(workspaces: Sequence[int], *, end: datetime) -> None:
    """Have every whole hour before `end` in memory, as far as it reaches back.

    Doing it again gives the same: the last hours are made anew each time, for rows that came late.
    """
    given: dict[str, Any] = {"workspaces": list(workspaces), "end": end}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(hour) FROM usage_serieshour WHERE workspace_id = ANY(%(workspaces)s)"
            " AND hour < %(end)s",
            given,
        )
        [last] = cursor.fetchone()
        start = max(end - HISTORY_HOURS * HOUR, (last - LATE) if last else end - KEPT)
        while start < end:
            step = min(start + STEP, end)
            cursor.execute(FILL, given | {"start": start, "end": step})
            start = step


def forget(*, before: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_serieshour WHERE hour < %s", [before - KEPT])


def recent(workspaces: Sequence[int], *, now: datetime) -> list[Recent]:
    """What each series that was active in the last hour spent in its last minutes."""
    found = []
    for *series, c5, c15, c60, t5, t15, t60 in rows(
        RECENT, {"workspaces": list(workspaces), "now": now}
    ):
        amounts = {
            Measure.SPEND.value: dict(zip(SHORT_MINUTES, (c5, c15, c60), strict=True)),
            Measure.TOKENS.value: dict(zip(SHORT_MINUTES, (t5, t15, t60), strict=True)),
        }
        found.append(Recent(Series(*series), amounts))
    return found


def histories(workspaces: Sequence[int], *, end: datetime) -> Iterator[History]:
    given = {
        "workspaces": list(workspaces),
        "start": end - HISTORY_HOURS * HOUR,
        "end": end,
    }
    for *series, backs, costs, tokens, requests in rows(HISTORIES, given):
        length = max(backs)
        cost, used = [0.0] * length, [0.0] * length
        for back, dollars, count in zip(backs, costs, tokens, strict=True):
            cost[length - back], used[length - back] = dollars, count
        yield History(Series(*series), requests, cost, used)


def rows(sql: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall()
