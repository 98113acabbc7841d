"""Budgets, alerts and prices as tables."""

from datetime import date, datetime
from typing import Any

from accounts.access import Reach
from exports.tables import Copied, Table
from usage.reports.question import BadQuestion, Parameters, closed_list, parse_edge
from usage.reports.run import Column

KNOWN = ("from", "to", "account", "format")

# A budget over a workspace's things needs the workspace in reach; one over an account or member
# spends everywhere in the account, so all of the account's workspaces must be.
BUDGETS = """budgets_budget b
    JOIN accounts_account a ON a.id = b.account_id
    LEFT JOIN accounts_workspace w ON w.id = b.workspace_id
    LEFT JOIN accounts_project p ON p.id = b.project_id
    LEFT JOIN accounts_member m ON m.id = b.member_id
    LEFT JOIN accounts_apikey k ON k.id = b.api_key_id
    JOIN budgets_budgetperiod t ON t.budget_id = b.id"""
REACHED = """b.account_id = ANY(%s) AND CASE
        WHEN b.scope = 'workspace' THEN b.workspace_id = ANY(%s)
        WHEN b.scope = 'project' THEN p.workspace_id = ANY(%s)
        WHEN b.scope = 'api_key' THEN k.workspace_id = ANY(%s)
        ELSE NOT EXISTS (SELECT FROM accounts_workspace o
            WHERE o.account_id = b.account_id AND o.id <> ALL(%s)) END"""

BUDGET_COLUMNS = {
    Column("budget_id", "integer"): "b.id",
    Column("budget", "string"): "b.name",
    Column("account", "string"): "a.slug",
    Column("scope", "string"): "b.scope",
    Column("scope_id", "integer"): "b.scope_id",
    Column("scope_key", "string"): "coalesce(w.slug, p.tag, m.identifier, k.identifier, a.slug)",
    Column("period", "string"): "b.period",
    Column("hard", "boolean"): "b.hard",
    Column("period_start", "date"): "t.start_on",
    Column("period_end", "date"): "t.end_on",
    Column("limit_now", "decimal", "USD"): 'b."limit"',
    Column("spent", "decimal", "USD"): "t.spent",
    Column("estimated", "decimal", "USD"): "t.estimated",
    Column("held", "decimal", "USD"): "t.held",
    Column(
        "remaining", "decimal", "USD"
    ): 'greatest(b."limit" - t.spent - t.estimated - t.held, 0)',
    Column(
        "consumed_percent", "decimal", "percent"
    ): 'round((t.spent + t.estimated) * 100 / nullif(b."limit", 0), 1)',
    Column("archived", "boolean"): "(b.archived_at IS NOT NULL)",
}

ALERT_COLUMNS = {
    Column("alert_id", "integer"): "n.id",
    **{c: sql for c, sql in BUDGET_COLUMNS.items() if c.name not in ("hard", "archived")
       and c.type != "decimal"},
    Column("threshold_percent", "integer", "percent"): "n.threshold",
    Column("limit_then", "decimal", "USD"): 'n."limit"',
    Column("consumed_then", "decimal"): "n.consumed",
    Column("crossed_at", "datetime"): "n.crossed_at",
}  # fmt: skip

PRICE_COLUMNS = {
    Column("price_id", "integer"): "r.id",
    Column("provider", "string"): "m.provider",
    Column("model", "string"): "m.name",
    Column("account", "string"): "a.slug",
    Column("meter", "string"): "r.meter",
    Column("unit_price", "decimal", "USD"): "r.unit_price",
    Column("per", "integer"): "r.per",
    Column("from_input_tokens", "integer"): "r.from_input_tokens",
    Column("service_tier", "string"): "r.service_tier",
    Column("valid_from", "datetime"): "r.valid_from",
    Column("valid_to", "datetime"): "r.valid_to",
    Column("source", "string"): "r.source",
}


def open_budgets(parameters: Parameters, reach: Reach, *, now: datetime) -> Table:
    """The periods that touch the days asked for; all of them where none are."""
    reach, start, end = read(parameters, reach)
    where = "(%s::date IS NULL OR t.end_on IS NULL OR t.end_on > %s::date)"
    where += " AND (%s::date IS NULL OR t.start_on < %s::date)"
    rows = Copied(
        list(BUDGET_COLUMNS.values()),
        f"{BUDGETS} WHERE {REACHED} AND {where}",
        "a.slug, b.name, b.id, t.start_on",
        [*reached(reach), start, start, end, end],
    )
    return table("budgets", reach, start, end, BUDGET_COLUMNS, rows)


def open_alerts(parameters: Parameters, reach: Reach, *, now: datetime) -> Table:
    """Those that were crossed on the days asked for."""
    reach, start, end = read(parameters, reach)
    day = "(n.crossed_at AT TIME ZONE a.time_zone)::date"
    where = f"(%s::date IS NULL OR {day} >= %s::date) AND (%s::date IS NULL OR {day} < %s::date)"
    rows = Copied(
        list(ALERT_COLUMNS.values()),
        f"{BUDGETS} JOIN budgets_alert n ON n.period_id = t.id WHERE {REACHED} AND {where}",
        "n.crossed_at, n.id",
        [*reached(reach), start, start, end, end],
    )
    return table("alerts", reach, start, end, ALERT_COLUMNS, rows)


def open_prices(parameters: Parameters, reach: Reach, *, now: datetime) -> Table:
    """Approved prices that held on the days asked for, in UTC."""
    reach, start, end = read(parameters, reach)
    where = "(%s::date IS NULL OR r.valid_to IS NULL OR r.valid_to > %s::date::timestamptz)"
    where += " AND (%s::date IS NULL OR r.valid_from < %s::date::timestamptz)"
    source = f"""usage_price r JOIN usage_pricedmodel m ON m.id = r.priced_model_id
        LEFT JOIN accounts_account a ON a.id = r.account_id
        WHERE r.status = 'approved' AND (r.account_id IS NULL OR r.account_id = ANY(%s))
            AND {where}"""
    order = "m.provider, m.name, r.meter, r.service_tier, r.from_input_tokens, r.valid_from, r.id"
    parameters_of = [reach.account_ids, start, start, end, end]
    rows = Copied(list(PRICE_COLUMNS.values()), source, order, parameters_of)
    return table("prices", reach, start, end, PRICE_COLUMNS, rows)


def table(
    name: str,
    reach: Reach,
    start: date | None,
    end: date | None,
    columns: dict[Column, str],
    rows: Copied,
) -> Table:
    asked = {"from": start and start.isoformat(), "to": end and end.isoformat()}
    asked |= {"accounts": [account.slug for account in reach.accounts]}  # type: ignore[dict-item]
    return Table(name, reach, start, end, list(columns), rows, asked)


def reached(reach: Reach) -> list[Any]:
    return [reach.account_ids, *([reach.workspace_ids] * 4)]


def read(parameters: Parameters, reach: Reach) -> tuple[Reach, date | None, date | None]:
    """Raises BadQuestion."""
    closed_list("parameter", parameters.keys(), KNOWN)
    start, end = (
        day_of(name, text) if text else None
        for name in ("from", "to")
        for text in [parameters.get(name)]
    )
    if start and end and start >= end:
        raise BadQuestion("from must be before to; to itself is not part of the period.")
    return reach.within(account=parameters.get("account"), workspaces=None), start, end


def day_of(name: str, text: str) -> date:
    edge = parse_edge(name, text)
    if isinstance(edge, datetime):
        raise BadQuestion(f"{name} is a day here, such as {edge.date()}.")
    return edge
