"""What a filter of the request log is in SQL, and what it says of days that have such requests."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from accounts.access import Reach
from usage.reports.catalogue import DIMENSIONS, RAW_COLUMNS
from usage.reports.question import BadQuestion, Filter, parse_edge, readable
from usage.rollups.tables import bucket_of

RANGES = {
    "cost_min": ("l.cost >= %s", Decimal),
    "cost_max": ("l.cost <= %s", Decimal),
    "latency_min": ("l.latency_ms >= %s", int),
    "latency_max": ("l.latency_ms <= %s", int),
    "status": ("l.status = %s", int),
}
YES, NO = ("1", "true", "yes"), ("0", "false", "no")
FAILED = re.compile(r"[4-9]xx")
LEAST_FAILED = 400
# PostgreSQL's and ours.
INSTANT = timedelta(microseconds=1)
FOREVER = datetime.max.replace(tzinfo=UTC)

ZONE_OF_ROW = """(
    SELECT oa.time_zone FROM accounts_workspace ow JOIN accounts_account oa ON oa.id = ow.account_id
    WHERE ow.id = l.workspace_id)"""


@dataclass(frozen=True, slots=True)
class Clue:
    """SQL that is true of the sums `l` of every day and group that has such a request.

    It may be true of others: sums say where to look, the log what there is. `columns` are those of
    a roll-up that it needs; clues of histograms are about rows of those.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    columns: frozenset[str] = frozenset()
    of_histogram: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over the log `l` alone, and its parameters.

    Requests that meet it lie in `[since, until)`; None where it says nothing of that. It `searches`
    where nothing but looking at each request tells whether it is met.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    clues: tuple[Clue, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    searches: bool = True


SOME_FAILED = Clue("l.errors > 0")
SOME_SUCCEEDED = Clue("l.requests > l.errors")
SOME_UNPRICED = Clue("l.unpriced > 0")
SOME_PRICED = Clue("l.requests > l.unpriced")


def tag_condition(text: str) -> Condition:
    """`name:value`, as text or as what it says in JSON; a name alone: whatever its value."""
    readable("tag", [text])
    name, _, value = text.partition(":")
    if not name:
        raise BadQuestion("tag is name:value, or a name alone.")
    if not value:
        return Condition("l.tags ? %s", (name,))
    return Condition("l.tags->>%s = %s", (name, value))


def price_condition(text: str) -> Condition:
    if text.lower() not in (*YES, *NO):
        raise BadQuestion("unpriced is true or false.")
    if text.lower() in YES:
        return Condition("l.cost IS NULL", clues=(SOME_UNPRICED,))
    return Condition("l.cost IS NOT NULL", clues=(SOME_PRICED,))


def dimension_condition(name: str, wanted: Filter) -> Condition:
    dimension = DIMENSIONS[name]
    column = RAW_COLUMNS.get(name) or dimension.column.replace("u.", "l.")
    ways, parameters = [], []
    if name == "client":
        column = "(SELECT client_id FROM accounts_project WHERE id = l.project_id)"
    if wanted.none:
        ways.append(f"{column} IS NULL")
    if wanted.keys or wanted.ids:
        if dimension.table:
            ways.append(
                f"{column} = ANY(ARRAY(SELECT id FROM {dimension.table} "
                f"WHERE {dimension.key} = ANY(%s::text[]) OR id = ANY(%s::int[])))"
            )
            parameters += [list(wanted.keys), list(wanted.ids)]
        else:
            ways.append(f"{column} = ANY(%s)")
            parameters.append(list(wanted.keys))
    sql, values = " OR ".join(ways), tuple(parameters)
    if name == "status_class":
        return status_class_condition(sql, values, wanted)
    # Roll-ups have the log's columns by the same names.
    clue = Clue(sql, values, frozenset(dimension.needs))
    return Condition(sql, values, clues=() if dimension.raw_only else (clue,))


def status_class_condition(sql: str, values: tuple[Any, ...], wanted: Filter) -> Condition:
    failed = [bool(FAILED.fullmatch(key)) for key in wanted.keys]
    if wanted.none or len(set(failed)) != 1:
        return Condition(sql, values)
    if not failed[0]:
        return Condition(sql, values, clues=(SOME_SUCCEEDED,))
    # Said once more, for the index of failed requests.
    return Condition(f"({sql}) AND l.status >= {LEAST_FAILED}", values, clues=(SOME_FAILED,))


def range_condition(name: str, text: str) -> Condition:
    sql, kind = RANGES[name]
    try:
        value = kind(text)
        if not -(10**9) <= value <= 10**9 or value != round(value, 15):
            raise ValueError
    except (ValueError, InvalidOperation) as error:
        raise BadQuestion(f"{name}={text!r} is not a number that can be used here.") from error
    return Condition(sql, (value,), clues=range_clues(name, value))


def range_clues(name: str, value: Any) -> tuple[Clue, ...]:
    if name == "status":
        return (SOME_FAILED if value >= LEAST_FAILED else SOME_SUCCEEDED,)
    if name.startswith("cost_"):
        # No cost is negative: of requests that cost this much, the sum is no less.
        return (SOME_PRICED, *([Clue("l.cost >= %s", (value,))] if name == "cost_min" else []))
    if value <= 0:
        return ()
    sign = ">=" if name == "latency_min" else "<="
    sql = f"l.latency_count > 0 AND l.bucket {sign} {bucket_of(str(value))}"
    return (Clue(sql, of_histogram=True),)


def edge_condition(name: str, operator: str, text: str, reach: Reach) -> Condition:
    """From or to: a moment, or the midnight that begins a day of the row's own account."""
    edge = parse_edge(name, text)
    if isinstance(edge, datetime):
        return edge_at(operator, edge)
    zones = {account.time_zone for account in reach.accounts} or {"UTC"}
    midnight = datetime.combine(edge, datetime.min.time())
    edges = [midnight.replace(tzinfo=ZoneInfo(zone)) for zone in zones]
    # The widest edge finds partitions and index; where zones differ each row's own decides.
    widest = min(edges) if operator == ">=" else max(edges)
    if len(zones) == 1:
        return edge_at(operator, widest)
    sql = f" AND l.occurred_at {operator} (%s AT TIME ZONE {ZONE_OF_ROW})"
    return edge_at(operator, widest, sql, (midnight,))


def edge_at(
    operator: str, moment: datetime, more: str = "", parameters: tuple[Any, ...] = ()
) -> Condition:
    sql, values = f"l.occurred_at {operator} %s{more}", (moment, *parameters)
    if operator == ">=":
        return Condition(sql, values, since=moment, searches=False)
    return Condition(sql, values, until=moment, searches=False)


def known_id(request_ids: Sequence[str]) -> Condition:
    """By id through the keys, which know the time and with it the partition and the index."""
    return Condition(
        "(l.workspace_id, l.occurred_at, l.request_id) IN (SELECT workspace_id, occurred_at, "
        "request_id FROM usage_requestkey WHERE request_id = ANY(%s) AND workspace_id = ANY("
        "ARRAY(SELECT id FROM accounts_workspace)))",
        (list(request_ids),),
        searches=False,
    )


def position_condition(position: tuple[datetime, str, int], *, backwards: bool) -> Condition:
    """What comes after a position, or backwards before it."""
    sign, moment = (">" if backwards else "<"), position[0].astimezone(UTC)
    # No request is without an id: where a search was left is a moment, not a request of that.
    at_it = min(INSTANT, FOREVER - moment) if position[1] else timedelta()
    # Said once more by the time alone: row comparison does not choose partitions.
    return Condition(
        f"(l.occurred_at, l.request_id, l.workspace_id) {sign} (%s, %s, %s)"
        f" AND l.occurred_at {sign}= %s",
        (*position, moment),
        since=moment if backwards else None,
        until=None if backwards else moment + at_it,
        searches=False,
    )
