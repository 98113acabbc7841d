"""What budgets know of one request: those above it, and what is held for it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db import connection
from django.http import HttpRequest

from budgets.models import Budget, Hold


@dataclass(frozen=True, slots=True)
class BudgetAbove:
    """A budget that counts the request, and what it has counted in that period."""

    id: int
    name: str
    scope: str
    period: str
    hard: bool
    limit: Decimal | None
    start_on: date
    consumed: Decimal


ABOVE = """
SELECT b.id, b.name, replace(b.scope, '_', ' '), b.period, b.hard, b."limit", s.start_on,
       coalesce(p.spent + p.estimated, 0)
FROM budgets_budget b JOIN accounts_account a ON a.id = b.account_id
CROSS JOIN LATERAL (
    SELECT budgets_period_start(b.period, (%(occurred_at)s AT TIME ZONE a.time_zone)::date)
    AS start_on) s
LEFT JOIN budgets_budgetperiod p ON p.budget_id = b.id AND p.start_on = s.start_on
WHERE b.account_id = %(account_id)s AND b.id = ANY(%(visible)s) AND b.archived_at IS NULL
    AND budgets_is_above(b.scope, b.scope_id, %(workspace_id)s, %(project_id)s, %(member_id)s,
        %(api_key_id)s)
ORDER BY budgets_lock_rank(b.scope), b.name, b.id
"""


def policy_of(request: HttpRequest, row: dict[str, Any]) -> dict[str, Any]:
    """For the request's page: budgets that the reader may see, and the open hold."""
    visible = admin.site.get_model_admin(Budget).get_queryset(request)
    ids = list(visible.filter(account=row["account_id"]).order_by().values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(ABOVE, {**row, "visible": ids})
        budgets = [BudgetAbove(*found) for found in cursor.fetchall()]
    # Found by the index of open holds; what is settled was charged to the budgets.
    held = Hold.objects.filter(
        workspace=row["workspace_id"], request_id=row["request_id"], state=Hold.State.OPEN
    )
    return {"budgets": budgets, "hold": held.first()}
