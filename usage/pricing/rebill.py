"""Bill the requests of one workspace and local day anew.

A preview and its application are the same walk over the same rows with the same rate card; they
differ in what is done with the changes that it finds.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from operator import attrgetter
from typing import NamedTuple

from django.db import connection

from usage.ingest import arrays
from usage.pricing.day_bill import Change, DayBill, Logged, changes_in
from usage.pricing.ratecard import RateCard
from usage.reports.rows import UNFOLDED
from usage.rollups.tables import LOCAL_DAY, ZONE_JOIN
from usage.rollups.whole import IN_DAY, place, rebuild_whole_day

ROWS_AT_ONCE = 5_000


class Selection(NamedTuple):
    """Which requests: of these workspaces and models (none named: all), on days `[start, end)`."""

    account_id: int
    workspace_ids: Sequence[int]
    model_ids: Sequence[int]
    start_on: date
    end_on: date
    only_unpriced: bool


class WorkspaceDay(NamedTuple):
    """A local day of a workspace, and how many of its requests are to be looked at."""

    day: date
    workspace_id: int
    requests: int


# No models named: all of them.
CHOSEN = """(cardinality(%(models)s::int[]) = 0 OR {t}.model_id = ANY(%(models)s::int[]))"""

PLAN = f"""
SELECT day, workspace_id, sum(requests)::bigint FROM (
    SELECT t.day, t.workspace_id,
           CASE WHEN %(only_unpriced)s THEN t.unpriced ELSE t.requests END AS requests
    FROM usage_day_model t
    WHERE t.workspace_id = ANY(%(workspaces)s) AND t.day >= %(start)s AND t.day < %(end)s
        AND {CHOSEN.format(t="t")}
    UNION ALL
    SELECT {LOCAL_DAY} AS day, l.workspace_id, 1
    FROM {UNFOLDED} l {ZONE_JOIN}
    WHERE l.workspace_id = ANY(%(workspaces)s)
        AND {LOCAL_DAY} >= %(start)s AND {LOCAL_DAY} < %(end)s
        AND {CHOSEN.format(t="l")} AND (l.cost IS NULL OR NOT %(only_unpriced)s)
) found GROUP BY day, workspace_id HAVING sum(requests) > 0 ORDER BY day, workspace_id
"""

ROWS = f"""
SELECT l.occurred_at, l.request_id, l.project_id, l.member_id, l.api_key_id, l.model_id,
       m.name, p.name, l.service_tier, l.status,
       l.input, l.cache_read, l.cache_write_5m, l.cache_write_1h, l.output, l.reasoning,
       l.meters::text, (l.cost * 10000000000)::bigint, (l.ceiling_cost * 10000000000)::bigint
FROM usage_requestlog l {ZONE_JOIN}
JOIN usage_llmmodel m ON m.id = l.model_id LEFT JOIN usage_provider p ON p.id = l.provider_id
WHERE {IN_DAY} AND {CHOSEN.format(t="l")} AND (l.cost IS NULL OR NOT %(only_unpriced)s)
ORDER BY l.occurred_at
"""

# A row that somebody else changed or deleted since it was read is left out, and not counted.
WRITE = """
UPDATE usage_requestlog l SET cost = c.new_cost * 0.0000000001, ceiling_cost = NULL
FROM unnest(%(occurred_at)s::timestamptz[], %(request_id)s::text[], %(old_cost)s::bigint[],
            %(new_cost)s::bigint[]) WITH ORDINALITY
    AS c(occurred_at, request_id, old_cost, new_cost, number)
WHERE l.workspace_id = %(workspace)s
    AND l.occurred_at >= %(least)s AND l.occurred_at <= %(greatest)s
    AND l.occurred_at = c.occurred_at AND l.request_id = c.request_id
    AND l.cost IS NOT DISTINCT FROM c.old_cost * 0.0000000001
RETURNING c.number
"""


def workspace_days(selection: Selection) -> list[WorkspaceDay]:
    """The days with requests to look at, in order, by the roll-ups and what is not in them yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            PLAN,
            {
                "workspaces": list(selection.workspace_ids),
                "models": list(selection.model_ids),
                "start": selection.start_on,
                "end": selection.end_on,
                "only_unpriced": selection.only_unpriced,
            },
        )
        return [WorkspaceDay(*row) for row in cursor.fetchall()]


def preview_day(selection: Selection, unit: WorkspaceDay, card: RateCard) -> DayBill:
    """What applying would do, with nothing written; in the caller's transaction."""
    return walk(selection, unit, card, write=lambda changes: changes)


def apply_day(selection: Selection, unit: WorkspaceDay, card: RateCard) -> DayBill:
    """Write the new costs and make the day's roll-ups anew, in the caller's transaction.

    Raises NothingToRebuildFrom where the roll-ups count requests that the log has no more.
    """

    def write(changes: Sequence[Change]) -> Sequence[Change]:
        return written(unit.workspace_id, changes) if changes else ()

    bill = walk(selection, unit, card, write=write)
    if bill.is_changed:
        rebuild_whole_day(unit.workspace_id, unit.day)
    return bill


def walk(
    selection: Selection,
    unit: WorkspaceDay,
    card: RateCard,
    *,
    write: Callable[[Sequence[Change]], Sequence[Change]],
) -> DayBill:
    """Bill the day's rows anew, so many at a time, and count those changes that `write` gives."""
    bill = DayBill(unit.workspace_id, unit.day)
    for rows in chunks(selection, unit):
        bill.look_at(rows)
        bill.change(write(changes_in(rows, card, account_id=selection.account_id)))
    return bill


def chunks(selection: Selection, unit: WorkspaceDay) -> Iterator[list[Logged]]:
    """The day's rows as they are when the first are read: later writes do not disturb it."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            ROWS,
            {
                **place(unit.workspace_id, unit.day),
                "models": list(selection.model_ids),
                "only_unpriced": selection.only_unpriced,
            },
        )
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield [Logged._make(row) for row in rows]


def written(workspace_id: int, changes: Sequence[Change]) -> list[Change]:
    """Store the new costs; the changes that were made."""
    rows = [change.row for change in changes]
    moments = [row.occurred_at for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE,
            {
                "workspace": workspace_id,
                "least": min(moments),
                "greatest": max(moments),
                "occurred_at": arrays.moments(moments),
                "request_id": arrays.texts(map(attrgetter("request_id"), rows)),
                "old_cost": arrays.numbers(map(attrgetter("cost"), rows)),
                "new_cost": arrays.numbers(map(attrgetter("cost"), changes)),
            },
        )
        return [changes[number - 1] for (number,) in cursor.fetchall()]
