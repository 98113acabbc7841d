"""What is paused now, for gateways that cannot ask before every call.

A hard budget that is used up pauses all that is under it until it is raised or its next period
begins; a disabled API key is paused until somebody enables it.
"""

from datetime import datetime
from typing import Any

from django.db import connection

from accounts.access import Reach

# Of an account or a member every caller of the account hears: nothing of theirs may pass either.
PAUSED = """
SELECT b.scope,
    CASE b.scope WHEN 'account' THEN a.slug WHEN 'workspace' THEN w.slug
        WHEN 'project' THEN p.tag WHEN 'member' THEN m.identifier ELSE k.identifier END,
    w.slug, b.id, b.name, b.period,
    budgets_period_end(b.period, s.start_on)::timestamp AT TIME ZONE a.time_zone
FROM budgets_budget b
JOIN accounts_account a ON a.id = b.account_id
CROSS JOIN LATERAL (
    SELECT budgets_period_start(b.period, (%(now)s AT TIME ZONE a.time_zone)::date) AS start_on
) s
LEFT JOIN budgets_budgetperiod c ON c.budget_id = b.id AND c.start_on = s.start_on
LEFT JOIN accounts_project p ON p.id = b.project_id
LEFT JOIN accounts_apikey k ON k.id = b.api_key_id
LEFT JOIN accounts_member m ON m.id = b.member_id
LEFT JOIN accounts_workspace w ON w.id = coalesce(b.workspace_id, p.workspace_id, k.workspace_id)
WHERE b.account_id = ANY(%(accounts)s) AND b.archived_at IS NULL
AND b.hard AND coalesce(w.enforce_hard_limits, true) AND budgets_in_force(
    b.in_force_from, b.in_force_until, (%(now)s AT TIME ZONE a.time_zone)::date)
AND (w.id IS NULL OR w.id = ANY(%(workspaces)s))
AND coalesce(c.spent + c.estimated + c.held, 0)
    >= budgets_limit_at(b."limit", b.raised_limit, b.raised_until, %(now)s)
ORDER BY b.scope, 2, w.slug, b.id
"""

DISABLED = """
SELECT k.identifier, w.slug
FROM accounts_apikey k JOIN accounts_workspace w ON w.id = k.workspace_id
WHERE k.disabled_at IS NOT NULL AND w.id = ANY(%(workspaces)s) ORDER BY w.slug, k.identifier
"""


def blocks(reach: Reach, *, now: datetime) -> list[dict[str, Any]]:
    """What of the reach may not spend now; in a stable order, so that equal answers are equal."""
    parameters: dict[str, Any] = {
        "now": now,
        "accounts": reach.account_ids,
        "workspaces": reach.workspace_ids,
    }
    with connection.cursor() as cursor:
        cursor.execute(PAUSED, parameters)
        paused = cursor.fetchall()
        cursor.execute(DISABLED, parameters)
        disabled = cursor.fetchall()
    return [of_budget(*row) for row in paused] + [
        block("api_key", identifier, workspace, reason="The API key is disabled.")
        for identifier, workspace in disabled
    ]


def of_budget(
    scope: str,
    key: str,
    workspace: str | None,
    budget_id: int,
    name: str,
    period: str,
    resets_at: datetime | None,
) -> dict[str, Any]:
    when = "" if period == "total" else f" this {period}"
    return block(
        scope,
        key,
        workspace,
        reason=f"The {scope.replace('_', ' ')} budget {name!r} is used up{when}.",
        budget_id=budget_id,
        resets_at=resets_at,
    )


def block(
    scope: str,
    key: str,
    workspace: str | None,
    *,
    reason: str,
    budget_id: int | None = None,
    resets_at: datetime | None = None,
) -> dict[str, Any]:
    return {
        "scope": scope,
        "key": key,
        "workspace": workspace,
        "reason": reason,
        "budget_id": budget_id,
        "resets_at": resets_at.isoformat().replace("+00:00", "Z") if resets_at else None,
    }
