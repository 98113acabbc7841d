"""The days of a span of which there is anything, in the log or in a roll-up."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from django.db import connection

from usage.rollups.tables import HISTOGRAMS, LOCAL_DAY, ROLLUPS, ZONE_JOIN, Rollup


class SpanDay(NamedTuple):
    day: date
    workspace_id: int


def days_in(rollup: Rollup) -> str:
    day = "t.day" if rollup.grain == "day" else "(t.hour AT TIME ZONE z.time_zone)::date"
    return f"""
SELECT {day} AS day, t.workspace_id FROM {rollup.table} t
JOIN accounts_workspace w ON w.id = t.workspace_id JOIN accounts_account z ON z.id = w.account_id
WHERE t.workspace_id = ANY(%(workspaces)s) AND {day} >= %(first)s AND {day} < %(end)s
UNION"""


# Also the days that only one of them knows: the log, or a roll-up that should not.
DAYS_OF_SPAN = f"""
{"".join(days_in(rollup) for rollup in (*ROLLUPS, *HISTOGRAMS))}
SELECT {LOCAL_DAY}, l.workspace_id FROM usage_requestlog l {ZONE_JOIN}
WHERE l.workspace_id = ANY(%(workspaces)s)
    AND l.occurred_at >= %(first)s::timestamptz - interval '15 hours'
    AND l.occurred_at < %(end)s::timestamptz + interval '15 hours'
    AND {LOCAL_DAY} >= %(first)s AND {LOCAL_DAY} < %(end)s
ORDER BY 1, 2
"""


def days_of_span(workspace_ids: Sequence[int], first: date, end: date) -> list[SpanDay]:
    """Those of the local days `[first, end)`, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            DAYS_OF_SPAN, {"workspaces": list(workspace_ids), "first": first, "end": end}
        )
        return [SpanDay(*row) for row in cursor.fetchall()]
