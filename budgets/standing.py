"""Where budgets stand now: one query over every budget within reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.db import connection

from accounts.access import Reach
from usage.reports.catalogue import shortened


class State(StrEnum):
    """How a budget is doing, worst first. Paused: it refuses calls until it is raised or resets."""

    PAUSED = "paused"
    OVER = "over"
    WARNED = "warned"
    OK = "ok"
    NO_LIMIT = "no limit"
    NOT_IN_FORCE = "not in force"


def state_of(
    *,
    limit: Decimal | None,
    consumed: Decimal,
    held: Decimal,
    refuses: bool,
    is_in_force: bool,
    thresholds: Sequence[int],
) -> State:
    if not is_in_force:
        return State.NOT_IN_FORCE
    if limit is None:
        return State.NO_LIMIT
    if refuses and consumed + held >= limit:
        return State.PAUSED
    if consumed >= limit:
        return State.OVER
    reached = any(consumed * 100 >= limit * threshold for threshold in thresholds)
    return State.WARNED if reached else State.OK


class Figures:
    """What follows from a budget's figures, wherever they were read."""

    limit: Decimal | None
    spent: Decimal
    estimated: Decimal
    held: Decimal
    refuses: bool
    is_in_force: bool
    is_archived: bool
    thresholds: list[int]
    __slots__ = ()

    @property
    def consumed(self) -> Decimal:
        return self.spent + self.estimated

    @property
    def percent(self) -> Decimal | None:
        """Consumed percent of the limit, to a tenth; None without a limit."""
        if self.limit is None:
            return None
        if not self.limit:
            return Decimal(100)
        return (self.consumed * 100 / self.limit).quantize(Decimal("0.1"))

    @property
    def remaining(self) -> Decimal | None:
        if self.limit is None:
            return None
        return max(self.limit - self.consumed - self.held, Decimal(0))

    @property
    def state(self) -> State:
        return state_of(
            limit=self.limit,
            consumed=self.consumed,
            held=self.held,
            refuses=self.refuses,
            is_in_force=self.is_in_force and not self.is_archived,
            thresholds=self.thresholds,
        )


@dataclass(frozen=True, slots=True)
class Standing(Figures):
    """A budget and its current period, local days `[start_on, end_on)`; money in US dollars.

    `limit` is the one that counts now: while a raise lasts not the usual one. `refuses` is whether
    a hard limit is one now: its workspace enforces such limits, and it is in force.
    """

    id: int
    name: str
    account_id: int
    account: str
    scope: str
    scope_key: str
    scope_label: str
    limit: Decimal | None
    usual_limit: Decimal | None
    raised_until: datetime | None
    raised_reason: str
    period: str
    hard: bool
    refuses: bool
    in_force_from: date | None
    in_force_until: date | None
    is_in_force: bool
    is_archived: bool
    thresholds: list[int]
    recipients: list[str]
    tell_managers: bool
    tell_member: bool
    spent: Decimal
    estimated: Decimal
    held: Decimal
    start_on: date
    end_on: date | None
    resets_at: datetime | None


# A budget over a workspace's things needs the workspace in reach; one over an account or member
# spends everywhere in the account, so all of the account's workspaces must be.
SQL = f"""
SELECT b.id, b.name, b.account_id, a.slug, b.scope,
    CASE b.scope WHEN 'account' THEN a.slug WHEN 'workspace' THEN w.slug
        WHEN 'project' THEN p.tag WHEN 'member' THEN m.identifier ELSE k.identifier END,
    CASE b.scope WHEN 'account' THEN a.name WHEN 'workspace' THEN w.name
        WHEN 'project' THEN coalesce(nullif(p.name, ''), p.tag)
        WHEN 'member' THEN coalesce(nullif(m.name, ''), m.identifier)
        ELSE coalesce(nullif(k.name, ''), {shortened("k.identifier")}) END,
    budgets_limit_at(b."limit", b.raised_limit, b.raised_until, %(now)s), b."limit",
    CASE WHEN b.raised_until > %(now)s THEN b.raised_until END,
    CASE WHEN b.raised_until > %(now)s THEN b.raised_reason ELSE '' END,
    b.period, b.hard, b.hard AND coalesce(w.enforce_hard_limits, true) AND f.is_in_force,
    b.in_force_from, b.in_force_until, f.is_in_force, b.archived_at IS NOT NULL,
    b.thresholds, b.recipients, b.tell_managers, b.tell_member,
    coalesce(c.spent, 0), coalesce(c.estimated, 0), coalesce(c.held, 0),
    s.start_on, budgets_period_end(b.period, s.start_on),
    budgets_period_end(b.period, s.start_on)::timestamp AT TIME ZONE a.time_zone
FROM budgets_budget b
JOIN accounts_account a ON a.id = b.account_id
CROSS JOIN LATERAL (
    SELECT budgets_period_start(b.period, (%(now)s AT TIME ZONE a.time_zone)::date) AS start_on
) s
CROSS JOIN LATERAL (SELECT budgets_in_force(
    b.in_force_from, b.in_force_until, (%(now)s AT TIME ZONE a.time_zone)::date) AS is_in_force
) f
LEFT JOIN budgets_budgetperiod c ON c.budget_id = b.id AND c.start_on = s.start_on
LEFT JOIN accounts_project p ON p.id = b.project_id
LEFT JOIN accounts_apikey k ON k.id = b.api_key_id
LEFT JOIN accounts_member m ON m.id = b.member_id
LEFT JOIN accounts_workspace w ON w.id = coalesce(b.workspace_id, p.workspace_id, k.workspace_id)
WHERE b.account_id = ANY(%(accounts)s)
AND (%(archived)s OR b.archived_at IS NULL) AND (%(id)s::bigint IS NULL OR b.id = %(id)s)
AND (%(above)s::integer[] IS NULL OR budgets_is_above(b.scope, b.scope_id,
    (%(above)s::integer[])[1], (%(above)s::integer[])[2], (%(above)s::integer[])[3],
    (%(above)s::integer[])[4]))
AND CASE WHEN w.id IS NOT NULL THEN w.id = ANY(%(workspaces)s)
    ELSE NOT EXISTS (
        SELECT FROM accounts_workspace o
        WHERE o.account_id = b.account_id AND o.id <> ALL(%(workspaces)s)) END
ORDER BY (coalesce(c.spent, 0) + coalesce(c.estimated, 0))
    / nullif(budgets_limit_at(b."limit", b.raised_limit, b.raised_until, %(now)s), 0)
    DESC NULLS LAST, b.name, b.id
"""


def standings(
    reach: Reach,
    *,
    now: datetime,
    budget_id: int | None = None,
    archived: bool = False,
    above: tuple[int | None, ...] | None = None,
) -> list[Standing]:
    """The budgets within reach, the most consumed first.

    `above` is a request's workspace, project, member and API key: only the budgets above it.
    """
    parameters: dict[str, Any] = {
        "now": now,
        "accounts": reach.account_ids,
        "workspaces": reach.workspace_ids,
        "id": budget_id,
        "archived": archived,
        "above": None if above is None else list(above),
    }
    with connection.cursor() as cursor:
        cursor.execute(SQL, parameters)
        return [Standing(*row) for row in cursor.fetchall()]
