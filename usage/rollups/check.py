"""Whether the books of usage balance: the log = every roll-up and what is not folded yet.

Everything is compared by its whole key and to the last digit, a workspace at a time, in SQL. Call
it inside one snapshot (REPEATABLE READ), so that whoever records, folds or re-prices meanwhile
changes nothing of what is compared.

Sums are kept for ever, single requests are not. Which days are compared with the log:

- All days from `strict_from` on. That day is past the retention and past the oldest request that
  the workspace has, so that nothing of it was deleted.
- Of the days before it, and of those that retention removed requests of (`GoneDay`), the ones for
  which the log has as many requests as the roll-ups count, or more.
- The others are gone, or partly gone: there the roll-ups are compared with each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import Workspace
from usage.rollups.fold import base_of, counts_of, measured
from usage.rollups.tables import DURATIONS, HISTOGRAMS, MEASURES, ROLLUPS, Histogram, Rollup
from usage.rollups.whole import FOLDED

# The day on which retention cuts, and two for accounts whose zone was another one by then.
SLACK_DAYS = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """What one place says otherwise than it should; `rows` of its rows differ on that day.

    Where `expected` is what was `found`, the day's sum is right and its rows share it out wrongly.
    """

    place: str
    workspace_id: int | None
    day: date | None
    measure: str
    expected: Decimal
    found: Decimal
    rows: int
    subject: str = ""
    subject_id: int | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What there was to compare in a workspace."""

    requests: int
    unfolded: int
    days: int
    days_gone: int


def check_workspace(workspace: Workspace, *, now: datetime) -> tuple[Compared, list[Difference]]:
    """Compare the log, its keys, the ledger and every roll-up of the workspace."""
    parameters = {"workspace": workspace.pk, "strict_from": strict_from(workspace, now=now)}
    found = [*differing_keys(parameters), *differing_batches(parameters)]
    compared = None
    for place, *rest in fetch(COMPARE, parameters):
        if place == COVERAGE:
            compared = Compared(*map(int, rest[1]))
        else:
            found += measures_of(place, workspace.pk, *rest)
    assert compared is not None  # noqa: S101 (the statement always has that row)
    return compared, found


def strict_from(workspace: Workspace, *, now: datetime) -> date:
    """The first local day of which nothing can have been deleted by retention."""
    sql = "SELECT min(occurred_at) FROM usage_requestlog WHERE workspace_id = %(workspace)s"
    ((oldest_at,),) = fetch(sql, {"workspace": workspace.pk})
    kept_from = now - timedelta(days=workspace.retention_days)
    edge_at = max(kept_from, oldest_at) if oldest_at else now
    return edge_at.astimezone(workspace.account.zone).date() + timedelta(SLACK_DAYS)


# Every request has one key, on every day: who deletes requests deletes their keys along.
KEYS = """
SELECT day, sum(rows), sum(keys), count(*) FROM (
    SELECT (coalesce(min(l.occurred_at), min(k.occurred_at)) AT TIME ZONE min(z.time_zone))::date
               AS day,
           count(l.request_id) AS rows, count(k.request_id) AS keys
    FROM (SELECT * FROM usage_requestkey WHERE workspace_id = %(workspace)s) k
    FULL JOIN (SELECT * FROM usage_requestlog WHERE workspace_id = %(workspace)s) l
        ON l.request_id = k.request_id
    CROSS JOIN (
        SELECT a.time_zone FROM accounts_workspace w JOIN accounts_account a ON a.id = w.account_id
        WHERE w.id = %(workspace)s
    ) z
    GROUP BY coalesce(l.request_id, k.request_id)
    HAVING count(l.request_id) <> 1 OR count(k.request_id) <> 1
) wrong GROUP BY day ORDER BY day
"""


def differing_keys(parameters: dict[str, Any]) -> Iterator[Difference]:
    for day, rows, keys, number in fetch(KEYS, parameters):
        place = ("usage_requestkey", parameters["workspace"], day, "requests")
        yield Difference(*place, Decimal(rows), Decimal(keys), number)


# A batch that is not folded yet says truly how many rows it has, and from when to when.
BATCHES = """
SELECT day, sum(rows), sum(row_count), count(*) FROM (
    SELECT (b.least_at AT TIME ZONE z.time_zone)::date AS day, b.row_count,
           count(l.request_id) AS rows
    FROM usage_batch b
    JOIN accounts_workspace w ON w.id = b.workspace_id JOIN accounts_account z ON z.id = w.account_id
    LEFT JOIN usage_requestlog l ON l.workspace_id = b.workspace_id AND l.batch_id = b.batch_id
    WHERE b.workspace_id = %(workspace)s
    GROUP BY b.workspace_id, b.batch_id, z.time_zone
    HAVING count(l.request_id) <> b.row_count OR min(l.occurred_at) <> b.least_at
        OR max(l.occurred_at) <> b.greatest_at
) wrong GROUP BY day ORDER BY day
"""  # noqa: E501


def differing_batches(parameters: dict[str, Any]) -> Iterator[Difference]:
    for day, rows, said, number in fetch(BATCHES, parameters):
        place = ("usage_batch", parameters["workspace"], day, "requests")
        yield Difference(*place, Decimal(rows), Decimal(said), number)


COVERAGE = "coverage"
TABLES: dict[str, tuple[str, ...]] = {
    **{rollup.table: tuple(MEASURES) for rollup in ROLLUPS},
    **{histogram.table: tuple(DURATIONS.values()) for histogram in HISTOGRAMS},
}


def measures_of(
    place: str,
    workspace_id: int,
    day: date,
    expected: Sequence[Decimal],
    found: Sequence[Decimal],
    rows: Sequence[int],
) -> Iterator[Difference]:
    """What differs on a day of a table: for every measure, both sums and how many rows differ."""
    for measure, wanted, there, number in zip(TABLES[place], expected, found, rows, strict=True):
        if number:
            yield Difference(place, workspace_id, day, measure, wanted, there, number)


def listed(pattern: str, measures: Sequence[str]) -> str:
    """A list with the pattern once for each measure, which stands in for `{}`."""
    return ", ".join(pattern.replace("{}", measure) for measure in measures)


def array(pattern: str, measures: Sequence[str], kind: str = "numeric") -> str:
    return f"ARRAY[{listed(pattern, measures)}]::{kind}[]"


def compared_with_log(rollup: Rollup, *, source: str) -> str:
    """The days on which the table differs from the rows of the log that it should have."""
    key, measures = ", ".join(rollup.key), TABLES[rollup.table]
    day, days = "day", "gone"
    if rollup.grain == "hour":
        # Hours near a day that is gone may be of that day, by the zone that was the account's then.
        day, days = "(hour AT TIME ZONE (TABLE zone))::date", "near_gone"
    return f"""
    SELECT '{rollup.table}', day, {array("sum(e_{})", measures)}, {array("sum(f_{})", measures)},
           {array("count(*) FILTER (WHERE e_{} <> f_{})", measures, "bigint")}
    FROM (
        SELECT {day} AS day,
               {listed("sum(e_{}) AS e_{}", measures)}, {listed("sum(f_{}) AS f_{}", measures)}
        FROM (
            SELECT {key}, {listed("{} AS e_{}", measures)}, {listed("0 AS f_{}", measures)}
            FROM {source}
            UNION ALL
            SELECT {key}, {listed("0", measures)}, {listed("{}", measures)}
            FROM {rollup.table} WHERE workspace_id = %(workspace)s
        ) both_sides GROUP BY {key}
    ) by_key
    WHERE day NOT IN (SELECT day FROM {days})
    GROUP BY day HAVING bool_or(({listed("e_{}", measures)}) <> ({listed("f_{}", measures)}))"""


DAYS = [rollup for rollup in ROLLUPS if rollup.grain == "day"]
FOLDED_ROWS = f"l.workspace_id = %(workspace)s AND {FOLDED}"


def counts_in_log(histogram: Histogram) -> str:
    return f"({counts_of(histogram, source=f'({measured(FOLDED_ROWS)}) rows')}) counts"


BY_TABLE = " UNION ALL ".join(
    f"SELECT '{rollup.table}' AS place, day, {listed('sum({}) AS {}', tuple(MEASURES))} "
    f"FROM {rollup.table} WHERE workspace_id = %(workspace)s GROUP BY day"
    for rollup in DAYS
)

# Of days that are gone from the log: the tables that say otherwise than most of them.
COMPARED_WITH_EACH_OTHER = f"""
    SELECT place, day, {array("said.{}", tuple(MEASURES))}, {array("s.{}", tuple(MEASURES))},
           {array("(said.{} <> s.{})::int", tuple(MEASURES), "bigint")}
    FROM says s JOIN (
        SELECT day, {listed("mode() WITHIN GROUP (ORDER BY {}) AS {}", tuple(MEASURES))}
        FROM says GROUP BY day
    ) said USING (day)
    WHERE ({listed("said.{}", tuple(MEASURES))}) <> ({listed("s.{}", tuple(MEASURES))})"""

COMPARISONS = [
    *(compared_with_log(rollup, source="folded") for rollup in ROLLUPS),
    *(compared_with_log(histogram, source=counts_in_log(histogram)) for histogram in HISTOGRAMS),
    COMPARED_WITH_EACH_OTHER,
]

COMPARE = f"""
WITH folded AS MATERIALIZED ({base_of(FOLDED_ROWS)}),
zone AS (
    SELECT a.time_zone FROM accounts_workspace w JOIN accounts_account a ON a.id = w.account_id
    WHERE w.id = %(workspace)s
), in_log AS (SELECT day, sum(requests) AS requests FROM folded GROUP BY day),
by_table AS ({BY_TABLE}),
counted AS (SELECT day, max(requests) AS requests FROM by_table GROUP BY day),
gone AS (
    SELECT day FROM counted LEFT JOIN in_log USING (day)
    WHERE (day < %(strict_from)s OR day IN (
            SELECT g.day FROM usage_goneday g WHERE g.workspace_id = %(workspace)s))
        AND counted.requests > coalesce(in_log.requests, 0)
), says AS (  -- a table without the day says nothing of it, which is zero
    SELECT p.place, g.day, {listed("coalesce(t.{}, 0) AS {}", tuple(MEASURES))}
    FROM gone g CROSS JOIN unnest(ARRAY[{", ".join(f"'{r.table}'" for r in DAYS)}]) AS p(place)
    LEFT JOIN by_table t ON t.place = p.place AND t.day = g.day
), near_gone AS (
    SELECT DISTINCT day + near AS day FROM gone CROSS JOIN generate_series(-2, 2) AS near
)
SELECT '{COVERAGE}', NULL::date, ARRAY[
    (SELECT coalesce(sum(requests), 0) FROM folded),
    (SELECT coalesce(sum(row_count), 0) FROM usage_batch WHERE workspace_id = %(workspace)s),
    (SELECT count(*) FROM (SELECT day FROM counted UNION SELECT day FROM in_log) d),
    (SELECT count(*) FROM gone)
]::numeric[], NULL::numeric[], NULL::bigint[]
UNION ALL {" UNION ALL ".join(f"({sql})" for sql in COMPARISONS)}
ORDER BY 1, 2
"""


def fetch(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()
