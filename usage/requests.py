"""Lists of the request log: filters, and pages by key that cost the same on page 1 and 1,000."""

import base64
import binascii
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db import OperationalError, connection
from psycopg.errors import QueryCanceled

from accounts.access import Reach
from usage.reports.catalogue import DIMENSIONS, shortened
from usage.reports.question import (
    BadQuestion,
    Parameters,
    closed_list,
    parse_filters,
    readable,
    whole_number,
    without_id,
)
from usage.request_conditions import (
    RANGES,
    Condition,
    dimension_condition,
    edge_condition,
    known_id,
    position_condition,
    price_condition,
    range_condition,
    tag_condition,
)
from usage.request_search import Walk, Window, stretches_with

PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

# A request that succeeded and whose use nobody reported: it is stored as zeros without a cost.
UNMEASURED = (
    "l.cost IS NULL AND l.ceiling_cost = 0 AND l.meters IS NULL"
    " AND greatest(l.input, l.cache_read, l.cache_write_5m, l.cache_write_1h, l.output) = 0"
)

# Column of a list -> SQL over the log `l` and the names joined to it
FIELDS: dict[str, str] = {
    "request_id": "l.request_id",
    "occurred_at": "l.occurred_at",
    "received_at": "l.received_at",
    "workspace": "w.slug",
    "workspace_name": "w.name",
    "project": "p.tag",
    "project_name": "coalesce(nullif(p.name, ''), p.tag)",
    "client": "c.slug",
    "client_name": "c.name",
    "member": "m.identifier",
    "member_name": "coalesce(nullif(m.name, ''), m.identifier)",
    "api_key": "k.identifier",
    "api_key_name": f"coalesce(nullif(k.name, ''), {shortened('k.identifier')})",
    "model": "lm.name",
    "requested_model": "rm.name",
    "provider": "pr.name",
    "endpoint": "e.name",
    "status": "l.status",
    "error_type": "l.error_type",
    "service_tier": "l.service_tier",
    "streamed": "l.streamed",
    "input_tokens": f"CASE WHEN NOT ({UNMEASURED}) THEN"
    " l.input + l.cache_read + l.cache_write_5m + l.cache_write_1h END",
    "cache_read_tokens": "l.cache_read",
    "cache_write_tokens": "l.cache_write_5m",
    "cache_write_1h_tokens": "l.cache_write_1h",
    "output_tokens": f"CASE WHEN NOT ({UNMEASURED}) THEN l.output END",
    "reasoning_tokens": "l.reasoning",
    "latency_ms": "l.latency_ms",
    "time_to_first_token_ms": "l.time_to_first_token_ms",
    "cost": "l.cost",
    "ceiling_cost": "l.ceiling_cost",
    "reported_cost": "l.reported_cost",
    "meters": "l.meters",
    "tags": "l.tags",
}

NAMES = """
    JOIN accounts_workspace w ON w.id = l.workspace_id
    JOIN accounts_account a ON a.id = w.account_id
    JOIN usage_llmmodel lm ON lm.id = l.model_id
    LEFT JOIN accounts_project p ON p.id = l.project_id
    LEFT JOIN accounts_client c ON c.id = p.client_id
    LEFT JOIN accounts_member m ON m.id = l.member_id
    LEFT JOIN accounts_apikey k ON k.id = l.api_key_id
    LEFT JOIN usage_llmmodel rm ON rm.id = l.requested_model_id
    LEFT JOIN usage_provider pr ON pr.id = l.provider_id
    LEFT JOIN usage_endpoint e ON e.id = l.endpoint_id"""

OTHER = ("from", "to", "account", "request_id", "request_id__startswith", "unpriced", "tag")
# No statement looks for requests for longer than this, and none that looks for few of many.
LONGEST_SEARCH_MS = 8_000
LONGEST_WINDOW_MS = 2_000
# After so long whoever searches is shown what there is, and may go on from there.
PATIENCE_SECONDS = 0.8
PAGING = ("page_size", "cursor", "format")


# What a page is ordered by, and what a cursor names. Ids repeat in other workspaces.
POSITION = ("occurred_at", "request_id", "workspace_id")
Position = tuple[datetime, str, int]


@dataclass(frozen=True, slots=True)
class RequestQuery:
    """Which requests are wanted, in which workspaces, newest first."""

    reach: Reach
    conditions: tuple[Condition, ...] = ()

    @property
    def searches(self) -> bool:
        """Whether requests have to be looked at that are not wanted."""
        return any(condition.searches for condition in self.conditions)

    def limited_to(self, condition: Condition) -> "RequestQuery":
        return replace(self, conditions=(*self.conditions, condition))

    def where(self, *more: Condition) -> tuple[str, list[Any]]:
        every = (*self.conditions, *more)
        sql = " AND ".join(f"({condition.sql})" for condition in every) or "true"
        return sql, [value for condition in every for value in condition.parameters]


@dataclass(frozen=True, slots=True)
class Page:
    """One page and the cursors of its neighbours; None where there is none."""

    rows: list[dict[str, Any]]
    next: str | None
    previous: str | None
    # Where the search was left because it took long, with few rows or none; None: it was finished.
    searched_to: datetime | None = None
    backwards: bool = False


def parse(parameters: Parameters, reach: Reach) -> RequestQuery:
    """The query that query parameters describe. Raises BadQuestion."""
    given = {name: parameters.getlist(name) for name in parameters.keys()}  # noqa: SIM118
    given = {name: values for name, values in given.items() if any(values)}
    reach = reach.within(account=parameters.get("account"), workspaces=None)
    known = (*RANGES, *OTHER, *PAGING)
    dimensions = {name: values for name, values in given.items() if name not in known}
    for name in dimensions:
        if without_id(name) not in DIMENSIONS:
            closed_list("parameter", [name], [*DIMENSIONS, *known])
    found = [
        dimension_condition(name, wanted) for name, wanted in parse_filters(dimensions).items()
    ]
    found += [range_condition(name, given[name][-1]) for name in RANGES if name in given]
    if "from" in given:
        found.append(edge_condition("from", ">=", given["from"][-1], reach))
    if "to" in given:
        found.append(edge_condition("to", "<", given["to"][-1], reach))
    for name in ("request_id", "request_id__startswith"):
        readable(name, given.get(name, ()))
    if "request_id" in given:
        found.append(known_id(given["request_id"]))
    if "request_id__startswith" in given:
        found.append(
            Condition("starts_with(l.request_id, %s)", (given["request_id__startswith"][-1],))
        )
    found += [tag_condition(text) for text in given.get("tag", ())]
    if "unpriced" in given:
        found.append(price_condition(given["unpriced"][-1]))
    return RequestQuery(reach, tuple(found))


def page(query: RequestQuery, *, size: int = PAGE_SIZE, cursor: str | None = None) -> Page:
    """One page. The cursor says after (or, going back, before) which row it begins."""
    size = max(1, min(size, MAX_PAGE_SIZE))
    backwards, position = read_cursor(cursor)
    if position:
        query = query.limited_to(position_condition(position, backwards=backwards))
    rows, searched_to = first_rows(query, wanted=size + 1, backwards=backwards)
    onward = (searched_to, "", 0) if searched_to else None
    if len(rows) > size:
        rows = rows[:size]
        onward = position_of(rows[-1])
    back = position and (position_of(rows[0]) if rows else beside(position, backwards=backwards))
    if backwards:
        rows.reverse()
    return Page(
        rows,
        next=cursor_at(back if backwards else onward, backwards=False),
        previous=cursor_at(onward if backwards else back, backwards=True),
        searched_to=searched_to,
        backwards=backwards,
    )


def position_of(row: dict[str, Any]) -> Position:
    return row["occurred_at"], row["request_id"], row["workspace_id"]


def beside(position: Position, *, backwards: bool) -> Position:
    """From where, the other way, the row at the position itself comes first."""
    moment, request_id, workspace_id = position
    return moment, request_id, max(0, workspace_id + (1 if backwards else -1))


def first_rows(
    query: RequestQuery, *, wanted: int, backwards: bool
) -> tuple[list[dict[str, Any]], datetime | None]:
    """Rows, and how far was searched, where that took so long that it was left there."""
    if not query.searches:
        return rows_in(query, None, wanted=wanted, backwards=backwards), None
    stretches = stretches_with(query.reach.workspace_ids, query.conditions)
    walk, rows = Walk(stretches, backwards=backwards), list[dict[str, Any]]()
    until = time.monotonic() + PATIENCE_SECONDS
    while len(rows) < wanted and (window := walk.window()):
        if walk.edge and time.monotonic() > until:
            return rows, walk.edge
        try:
            rows += rows_in(query, window, wanted=wanted - len(rows), backwards=backwards)
            walk.leave(window)
        except SearchTooLong:
            if walk.edge:
                return rows, walk.edge
            if not walk.shorten():
                raise
    return rows, None


def rows_in(
    query: RequestQuery, window: Window | None, *, wanted: int, backwards: bool
) -> list[dict[str, Any]]:
    """The first rows of the window; without one of all time."""
    where, parameters = query.where()
    source, places, limit_ms = "unnest(%s::int[]) AS one(workspace_id)", "true", LONGEST_SEARCH_MS
    sources: list[Any] = [query.reach.workspace_ids]
    if window:
        source, places, limit_ms = IN_STRETCHES, IN_WINDOW, LONGEST_WINDOW_MS
        sources = window.columns()
        parameters = [window.since, window.until, *parameters]
    way = "ASC" if backwards else "DESC"
    order = ", ".join(f"{{0}}.{name} {way}" for name in POSITION)
    # Each workspace's newest by the index of that workspace, then the newest of those.
    sql = f"""
        SELECT {", ".join(f"{sql} AS {name}" for name, sql in FIELDS.items())}, w.id AS workspace_id
        FROM (
            SELECT n.* FROM {source} CROSS JOIN LATERAL (
                SELECT l.* FROM usage_requestlog l
                WHERE l.workspace_id = one.workspace_id AND {places} AND {where}
                ORDER BY {order.format("l")} LIMIT %s
            ) n ORDER BY {order.format("n")} LIMIT %s
        ) l {NAMES}
        ORDER BY {order.format("l")}"""
    return searched(sql, [*sources, *parameters, wanted, wanted], limit_ms=limit_ms)


IN_STRETCHES = """unnest(%s::int[], %s::timestamptz[], %s::timestamptz[])
            AS one(workspace_id, since, until)"""
# The window's own edges, by which the partitions are chosen before the statement runs.
IN_WINDOW = """l.occurred_at >= one.since AND l.occurred_at < one.until
                AND l.occurred_at >= %s AND l.occurred_at < %s"""


def one(reach: Reach, request_id: str, *, workspace_id: int | None = None) -> dict[str, Any] | None:
    """The request with that id within reach; of the same id in several workspaces the newest."""
    if "\x00" in request_id:
        return None
    ids = [i for i in reach.workspace_ids if workspace_id in (None, i)]
    sql = f"""
        SELECT {", ".join(f"{sql} AS {name}" for name, sql in FIELDS.items())},
            w.id AS workspace_id, a.id AS account_id, l.project_id, l.member_id, l.api_key_id
        FROM usage_requestkey q JOIN usage_requestlog l
            ON l.workspace_id = q.workspace_id AND l.occurred_at = q.occurred_at
            AND l.request_id = q.request_id
        {NAMES}
        WHERE q.workspace_id = ANY(%s) AND q.request_id = %s
        ORDER BY l.occurred_at DESC LIMIT 1"""
    rows = fetch(sql, [ids, request_id])
    return rows[0] if rows else None


class SearchTooLong(BadQuestion):
    """Raised where a statement was stopped, which leaves the server to others."""


def searched(sql: str, parameters: Sequence[Any], *, limit_ms: int) -> list[dict[str, Any]]:
    """Raises SearchTooLong."""
    try:
        with connection.cursor() as cursor:
            # In one round trip, which is one transaction where there is no other.
            query = cursor.mogrify(sql, parameters)
            cursor.execute(
                f"SET LOCAL statement_timeout = {limit_ms}; {query}; "
                "SET LOCAL statement_timeout = DEFAULT"
            )
            cursor.nextset()
            return rows_of(cursor)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise SearchTooLong(
            "Too few requests meet these filters to find them in so long a time. Choose fewer "
            "days with from and to, or more that they have in common, such as a workspace or model."
        ) from error


def fetch(sql: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return rows_of(cursor)


def rows_of(cursor: Any) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        for name in ("meters", "tags"):
            if isinstance(row.get(name), str):
                row[name] = json.loads(row[name])
    return rows


def make_cursor(row: dict[str, Any], *, backwards: bool) -> str:
    moment, request_id, workspace_id = position_of(row)
    text = f"{'b' if backwards else 'f'}|{moment.isoformat()}|{workspace_id}|{request_id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def cursor_at(position: Position | None, *, backwards: bool) -> str | None:
    if position is None:
        return None
    return make_cursor(dict(zip(POSITION, position, strict=True)), backwards=backwards)


def read_cursor(text: str | None) -> tuple[bool, Position | None]:
    """Whether it leads backwards, and where from. Raises BadQuestion."""
    if not text:
        return False, None
    try:
        direction, moment, workspace_id, request_id = (
            base64.urlsafe_b64decode(text.encode()).decode().split("|", 3)
        )
        when = datetime.fromisoformat(moment)
        if when.tzinfo is None:
            raise ValueError("a moment without its offset")
        readable("cursor", [request_id])
        return direction == "b", (
            when.astimezone(UTC),
            request_id,
            whole_number("cursor", workspace_id),
        )
    except (ValueError, OverflowError, binascii.Error, BadQuestion) as error:
        raise BadQuestion("This cursor is not one of ours; begin again without it.") from error
