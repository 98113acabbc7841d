"""What budgets know of one request: those above it, and what was held for it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db import connection
from django.http import HttpRequest

from budgets.models import Budget, BudgetPeriod, Hold


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


@dataclass(frozen=True, slots=True)
class HoldOfIt:
    """Money that was set aside for the request, in which periods of budgets one may see."""

    hold: Hold
    periods: list[BudgetPeriod]


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
    """For the request's page: budgets that the reader may see, and the hold asked under its id."""
    visible = admin.site.get_model_admin(Budget).get_queryset(request)
    ids = list(visible.filter(account=row["account_id"]).order_by().values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(ABOVE, {**row, "visible": ids})
        budgets = [BudgetAbove(*found) for found in cursor.fetchall()]
    return {"budgets": budgets, "hold": hold_of(row, ids)}


def hold_of(row: dict[str, Any], budget_ids: list[int]) -> HoldOfIt | None:
    """The open hold of the request, else the last that ended; each by its own partial index."""
    asked = Hold.objects.filter(workspace=row["workspace_id"], request_id=row["request_id"])
    hold = (
        asked.filter(state=Hold.State.OPEN).first()
        or asked.exclude(state=Hold.State.OPEN).order_by("-created_at").first()
    )
    if hold is None:
        return None
    periods = BudgetPeriod.objects.filter(pk__in=hold.period_ids, budget__in=budget_ids)
    return HoldOfIt(hold, list(periods.select_related("budget").order_by("budget__name", "pk")))
