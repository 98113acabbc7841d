"""Where in the log such requests can be: few days of few workspaces, looked through by turns.

The log is read newest first until a page is full. Where hardly any request meets the filters that
would be all of it, so roll-ups are asked first on which days there are any: in one statement with
the batches that they have not got yet, so that no request is missed whatever folds meanwhile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from usage.reports.rows import smallest_covering
from usage.request_conditions import Clue, Condition
from usage.rollups.tables import HISTOGRAMS, ROLLUPS, Rollup

# So much time is looked through first, a day and the hour before it; each time that it was not
# enough, twice as much.
FIRST_WIDTH = timedelta(hours=25)
LEAST_WIDTH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time `[since, until)` of one workspace. Those of a workspace do not overlap."""

    workspace_id: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked through at once: nothing else is between its edges."""

    since: datetime
    until: datetime
    stretches: tuple[Stretch, ...]

    def columns(self) -> list[Any]:
        """The workspaces, beginnings and ends of the stretches."""
        return [
            [s.workspace_id for s in self.stretches],
            [s.since for s in self.stretches],
            [s.until for s in self.stretches],
        ]


def stretches_with(workspace_ids: Sequence[int], conditions: Iterable[Condition]) -> list[Stretch]:
    """Where requests that meet all of the conditions can be, and nowhere else."""
    conditions = list(conditions)
    parameters = {
        "workspaces": list(workspace_ids),
        "since": max((c.since for c in conditions if c.since), default=None),
        "until": min((c.until for c in conditions if c.until), default=None),
    }
    clues = [clue for condition in conditions for clue in condition.clues]
    days = " INTERSECT ".join(days_with(clues, parameters))
    with connection.cursor() as cursor:
        cursor.execute(STRETCHES.format(days=days), parameters)
        return [Stretch(*row) for row in cursor.fetchall()]


# Where the clock shows a midnight twice, the day begins at the first.
STRETCHES = """
WITH z AS MATERIALIZED (
    SELECT w.id AS workspace_id, a.time_zone
    FROM accounts_workspace w JOIN accounts_account a ON a.id = w.account_id
    WHERE w.id = ANY(%(workspaces)s)
), days AS ({days}
), spans AS (
    SELECT workspace_id, tstzrange(
        day::timestamp AT TIME ZONE time_zone - interval '1 hour',
        (day + 1)::timestamp AT TIME ZONE time_zone) AS span
    FROM days JOIN z USING (workspace_id)
    UNION ALL
    SELECT workspace_id, tstzrange(min(least_at), max(greatest_at) + interval '1 microsecond')
    FROM usage_batch WHERE workspace_id = ANY(%(workspaces)s)
    GROUP BY workspace_id, date_trunc('day', least_at)
), joined AS (
    SELECT workspace_id, unnest(range_agg(
        span * tstzrange(%(since)s::timestamptz, %(until)s::timestamptz))) AS span
    FROM spans GROUP BY workspace_id
)
SELECT workspace_id, lower(span), upper(span) FROM joined
"""


def days_with(clues: Iterable[Clue], parameters: dict[str, Any]) -> list[str]:
    """SQL for the workspaces and days that the clues point to: of sums, and of histograms."""
    of_sums = [clue for clue in clues if not clue.of_histogram]
    of_histograms = [clue for clue in clues if clue.of_histogram]
    found = [days_of(ROLLUPS, of_sums, parameters)]
    return found + ([days_of(HISTOGRAMS, of_histograms, parameters)] if of_histograms else [])


def days_of(tables: Iterable[Rollup], clues: Sequence[Clue], parameters: dict[str, Any]) -> str:
    needed = {column for clue in clues for column in clue.columns}
    table = smallest_covering(tables, "day", needed)
    where = "".join(f"AND ({named(clue, parameters)})" for clue in clues)
    # A local day lies within the day of UTC, the one before and the one after.
    return f"""
    SELECT DISTINCT l.workspace_id, l.day FROM {table.table} l
    WHERE l.workspace_id = ANY(%(workspaces)s)
    AND l.day >= coalesce((%(since)s::timestamptz AT TIME ZONE 'UTC')::date - 1, '-infinity')
    AND l.day <= coalesce((%(until)s::timestamptz AT TIME ZONE 'UTC')::date + 1, 'infinity')
    {where}"""


def named(clue: Clue, parameters: dict[str, Any]) -> str:
    """The clue's SQL with names for its parameters, which are put beside the others."""
    names = [f"clue{len(parameters) + n}" for n in range(len(clue.parameters))]
    parameters.update(zip(names, clue.parameters, strict=True))
    return clue.sql % tuple(f"%({name})s" for name in names)


class Walk:
    """From the newest stretch on, or backwards from the oldest, a window at a time."""

    def __init__(self, stretches: Sequence[Stretch], *, backwards: bool) -> None:
        self.left, self.backwards = list(stretches), backwards
        self.width = FIRST_WIDTH
        self.edge: datetime | None = None  # how far the walk has come

    def window(self) -> Window | None:
        """The next one. Time without a stretch is left out. None where nothing is left."""
        if not self.left:
            return None
        if self.backwards:
            first = min(s.since for s in self.left)
            since = max(first, self.edge) if self.edge else first
            return window(self.left, since, later(since, self.width))
        last = max(s.until for s in self.left)
        until = min(last, self.edge) if self.edge else last
        return window(self.left, earlier(until, self.width), until)

    def leave(self, window: Window) -> None:
        """Behind the window there is nothing to look for any more; the next is twice as wide."""
        self.width *= 2
        self.edge = edge = window.until if self.backwards else window.since
        self.left = [s for s in self.left if (s.until > edge if self.backwards else s.since < edge)]

    def shorten(self) -> bool:
        """False where the window is as short as there is."""
        was, self.width = self.width, max(LEAST_WIDTH, self.width / 32)
        return self.width < was


def window(stretches: Iterable[Stretch], since: datetime, until: datetime) -> Window:
    cut = [
        Stretch(s.workspace_id, max(s.since, since), min(s.until, until))
        for s in stretches
        if s.since < until and s.until > since
    ]
    return Window(since, until, tuple(cut))


def earlier(moment: datetime, width: timedelta) -> datetime:
    return moment - min(width, moment - datetime.min.replace(tzinfo=moment.tzinfo))


def later(moment: datetime, width: timedelta) -> datetime:
    return moment + min(width, datetime.max.replace(tzinfo=moment.tzinfo) - moment)
