"""The series that spikes are looked for in: the hours and the last minutes of each key, member,
project, model and workspace, out of the request log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from psycopg import Cursor

from usage.insight.seasons import HISTORY_HOURS, SHORT_MINUTES, Spent
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

MEASURED = {"cost": "l.cost", "tokens": TOKENS, "requests": "1"}
WINDOWS = [
    (
        f"{name}_{minutes}",
        f"coalesce(sum({sql})"
        f" FILTER (WHERE l.occurred_at > %(now)s - interval '{minutes} minutes'), 0)",
    )
    for minutes in SHORT_MINUTES
    for name, sql in MEASURED.items()
]

RECENT = f"""
SELECT g.workspace_id, s.kind, s.subject_id, {", ".join(f"sum(g.{name})" for name, _ in WINDOWS)}
FROM (
    SELECT {GROUPS}, {", ".join(f"{sql} AS {name}" for name, sql in WINDOWS)}
    FROM usage_requestlog l
    WHERE l.workspace_id = ANY(%(workspaces)s)
        AND l.occurred_at > %(now)s - interval '{max(SHORT_MINUTES)} minutes'
        AND l.occurred_at <= %(now)s
    GROUP BY {GROUPS}
) g CROSS JOIN LATERAL (VALUES {KINDS}) AS s(kind, subject_id)
WHERE s.subject_id IS NOT NULL
GROUP BY g.workspace_id, s.kind, s.subject_id
"""

# A workspace at a time: its arrays fit in memory. Not ordered, for sorting would take longer than
# all the rest; the index gives the hours in order anyway, mostly.
HISTORIES = """
SELECT kind, subject_id,
    array_agg((extract(epoch FROM %(end)s - hour) / 3600)::int),
    array_agg(requests), array_agg(cost::float8),
    array_agg(tokens::float8)
FROM usage_serieshour
WHERE workspace_id = %(workspace)s AND hour >= %(start)s AND hour < %(end)s
GROUP BY kind, subject_id
"""


class Series(NamedTuple):
    workspace_id: int
    kind: str
    subject_id: int


@dataclass(frozen=True, slots=True)
class History:
    """Hours oldest first, from the first that is known to the last whole one."""

    series: Series
    requests: list[int]
    cost: list[float]
    tokens: list[float]

    def of(self, measure: str) -> list[float]:
        return self.cost if measure == Measure.SPEND else self.tokens

    def request(self, measure: str) -> float:
        """What one request usually adds."""
        return sum(self.of(measure)) / (sum(self.requests) or 1)


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


Recent = dict[tuple[Series, str], dict[int, Spent]]


def recent(workspaces: Sequence[int], *, now: datetime) -> Recent:
    """What each series that was active in the last hour spent in its last minutes, by measure."""
    found: Recent = {}
    for row in rows(RECENT, {"workspaces": list(workspaces), "now": now}):
        series, sums = Series(*row[:3]), row[3:]
        costs, tokens, requests = (sums[i :: len(MEASURED)] for i in range(len(MEASURED)))
        for measure, amounts in ((Measure.SPEND, costs), (Measure.TOKENS, tokens)):
            found[series, measure.value] = {
                minutes: Spent(float(amount), int(count))
                for minutes, amount, count in zip(SHORT_MINUTES, amounts, requests, strict=True)
            }
    return found


def histories(workspaces: Sequence[int], *, end: datetime) -> Iterator[History]:
    given = {"start": end - HISTORY_HOURS * HOUR, "end": end}
    for workspace in workspaces:
        for kind, subject, backs, *values in arrays(HISTORIES, given | {"workspace": workspace}):
            yield History(
                Series(workspace, kind, subject),
                *(in_order(found, backs) for found in values),
            )


def in_order(values: list[Any], backs: list[int]) -> list[Any]:
    """Oldest first, with zero for hours that are not there; `backs` are how many hours before the
    end the others are."""
    length = max(backs)
    if backs == [*range(length, 0, -1)]:
        return values
    found = [0] * length
    for back, value in zip(backs, values, strict=True):
        found[length - back] = value
    return found


def arrays(sql: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Long arrays are read several times as fast as they are, not as text."""
    connection.ensure_connection()
    with Cursor(connection.connection) as cursor:
        return cursor.execute(sql, given, binary=True).fetchall()


def rows(sql: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall()
