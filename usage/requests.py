"""Lists of the request log: filters, and pages by key that cost the same on page 1 and 1,000."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.db import OperationalError, connection
from psycopg.errors import QueryCanceled

from accounts.access import Reach
from usage.reports.catalogue import DIMENSIONS, RAW_COLUMNS, shortened
from usage.reports.question import (
    BadQuestion,
    Filter,
    Parameters,
    closed_list,
    parse_edge,
    parse_filters,
    readable,
    whole_number,
    without_id,
)

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

ZONE_OF_ROW = """(
    SELECT oa.time_zone FROM accounts_workspace ow JOIN accounts_account oa ON oa.id = ow.account_id
    WHERE ow.id = l.workspace_id)"""

RANGES = {
    "cost_min": ("l.cost >= %s", Decimal),
    "cost_max": ("l.cost <= %s", Decimal),
    "latency_min": ("l.latency_ms >= %s", int),
    "latency_max": ("l.latency_ms <= %s", int),
    "status": ("l.status = %s", int),
}
OTHER = ("from", "to", "account", "request_id", "request_id__startswith", "unpriced", "tag")
# A filter that hardly anything meets looks at every request of its time: not for longer than this.
LONGEST_SEARCH_MS = 8_000
PAGING = ("page_size", "cursor", "format")
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


# What a page is ordered by, and what a cursor names. Ids repeat in other workspaces.
POSITION = ("occurred_at", "request_id", "workspace_id")


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over the log `l` alone, and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestQuery:
    """Which requests are wanted, in which workspaces, newest first."""

    reach: Reach
    conditions: tuple[Condition, ...] = ()

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
    return Condition(f"l.cost IS {'' if text.lower() in YES else 'NOT '}NULL")


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
    return Condition(" OR ".join(ways), tuple(parameters))


def range_condition(name: str, text: str) -> Condition:
    sql, kind = RANGES[name]
    try:
        value = kind(text)
        if not -(10**9) <= value <= 10**9 or value != round(value, 15):
            raise ValueError
    except (ValueError, InvalidOperation) as error:
        raise BadQuestion(f"{name}={text!r} is not a number that can be used here.") from error
    return Condition(sql, (value,))


def edge_condition(name: str, operator: str, text: str, reach: Reach) -> Condition:
    """From or to: a moment, or the midnight that begins a day of the row's own account."""
    edge = parse_edge(name, text)
    if isinstance(edge, datetime):
        return Condition(f"l.occurred_at {operator} %s", (edge,))
    zones = {account.time_zone for account in reach.accounts} or {"UTC"}
    midnight = datetime.combine(edge, datetime.min.time())
    edges = [midnight.replace(tzinfo=ZoneInfo(zone)) for zone in zones]
    # The widest edge finds partitions and index; where zones differ each row's own decides.
    widest = min(edges) if operator == ">=" else max(edges)
    sql, parameters = f"l.occurred_at {operator} %s", [widest]
    if len(zones) > 1:
        sql += f" AND l.occurred_at {operator} (%s AT TIME ZONE {ZONE_OF_ROW})"
        parameters.append(midnight)
    return Condition(sql, tuple(parameters))


def known_id(request_ids: Sequence[str]) -> Condition:
    """By id through the keys, which know the time and with it the partition and the index."""
    return Condition(
        "(l.workspace_id, l.occurred_at, l.request_id) IN (SELECT workspace_id, occurred_at, "
        "request_id FROM usage_requestkey WHERE request_id = ANY(%s) AND workspace_id = ANY("
        "ARRAY(SELECT id FROM accounts_workspace)))",
        (list(request_ids),),
    )


def page(query: RequestQuery, *, size: int = PAGE_SIZE, cursor: str | None = None) -> Page:
    """One page. The cursor says after (or, going back, before) which row it begins."""
    size = max(1, min(size, MAX_PAGE_SIZE))
    backwards, position = read_cursor(cursor)
    more = []
    if position:
        sign = ">" if backwards else "<"
        more.append(
            Condition(
                f"(l.occurred_at, l.request_id, l.workspace_id) {sign} (%s, %s, %s)", position
            )
        )
        # Said once more by itself: row comparison alone does not choose partitions.
        more.append(Condition(f"l.occurred_at {sign}= %s", position[:1]))
    where, parameters = query.where(*more)
    way = "ASC" if backwards else "DESC"
    order = ", ".join(f"{{0}}.{name} {way}" for name in POSITION)
    # Each workspace's newest by the index of that workspace, then the newest of those.
    sql = f"""
        SELECT {", ".join(f"{sql} AS {name}" for name, sql in FIELDS.items())}, w.id AS workspace_id
        FROM (
            SELECT n.* FROM unnest(%s::int[]) AS one(workspace_id) CROSS JOIN LATERAL (
                SELECT l.* FROM usage_requestlog l
                WHERE l.workspace_id = one.workspace_id AND {where}
                ORDER BY {order.format("l")} LIMIT %s
            ) n ORDER BY {order.format("n")} LIMIT %s
        ) l {NAMES}
        ORDER BY {order.format("l")}"""
    rows = searched(sql, [query.reach.workspace_ids, *parameters, size + 1, size + 1])
    there_is_more = len(rows) > size
    rows = rows[:size]
    if backwards:
        rows.reverse()
    has_next = there_is_more or backwards
    has_previous = bool(position) and (there_is_more or not backwards)
    return Page(
        rows,
        next=make_cursor(rows[-1], backwards=False) if rows and has_next else None,
        previous=make_cursor(rows[0], backwards=True) if rows and has_previous else None,
    )


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


def searched(sql: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    """Raises BadQuestion where it takes too long, and leaves the server to others."""
    try:
        with connection.cursor() as cursor:
            # In one round trip, which is one transaction where there is no other.
            limit, query = LONGEST_SEARCH_MS, cursor.mogrify(sql, parameters)
            cursor.execute(
                f"SET LOCAL statement_timeout = {limit}; {query}; "
                "SET LOCAL statement_timeout = DEFAULT"
            )
            cursor.nextset()
            return rows_of(cursor)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise BadQuestion(
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
    direction = "b" if backwards else "f"
    text = f"{direction}|{row['occurred_at'].isoformat()}|{row['workspace_id']}|{row['request_id']}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_cursor(text: str | None) -> tuple[bool, tuple[datetime, str, int] | None]:
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
