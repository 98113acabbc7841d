"""From thresholds crossed to mails: who is told, and what the mail says."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Role, User, Workspace
from budgets.ledger import make_alerts, question_of
from budgets.models import Alert, Budget, Delivery
from usage.formatting import money
from usage.reports.run import ask


@dataclass(frozen=True, slots=True)
class Message:
    subject: str
    text: str
    html: str


def address_new_alerts(*, now: datetime) -> int:
    """Make the deliveries of alerts that have none yet; how many alerts."""
    addressed = 0
    ids = Alert.objects.filter(addressed_at=None).values_list("pk", flat=True)
    for alert_id in ids[:200]:
        addressed += address(alert_id, now=now)
    return addressed


@transaction.atomic
def address(alert_id: int, *, now: datetime) -> bool:
    """Make an alert's deliveries, once; whether this call made them."""
    if Alert.objects.filter(pk=alert_id, addressed_at=None).update(addressed_at=now) != 1:
        return False
    alert = Alert.objects.select_related("period__budget").get(pk=alert_id)
    Delivery.objects.bulk_create(
        [
            Delivery(alert=alert, recipient=recipient, next_attempt_at=now)
            for recipient in recipients_of(alert)
        ],
        ignore_conflicts=True,
    )
    return True


# Thresholds may be reached without a request: a raise has ended, or a budget comes into force.
REACHED_BY_THE_CLOCK = """
SELECT p.id FROM budgets_budget b JOIN accounts_account a ON a.id = b.account_id
JOIN budgets_budgetperiod p ON p.budget_id = b.id
    AND p.start_on = budgets_period_start(b.period, (%(now)s AT TIME ZONE a.time_zone)::date)
WHERE b.archived_at IS NULL AND (
    b.raised_until BETWEEN %(now)s::timestamptz - interval '1 hour' AND %(now)s
    OR b.in_force_from = (%(now)s AT TIME ZONE a.time_zone)::date)
"""


def make_by_the_clock(*, now: datetime) -> None:
    """Make the alerts that only time passing calls for."""
    with connection.cursor() as cursor:
        cursor.execute(REACHED_BY_THE_CLOCK, {"now": now})
        period_ids = [period_id for (period_id,) in cursor.fetchall()]
    if period_ids:
        make_alerts(period_ids, now=now)


def recipients_of(alert: Alert) -> list[str]:
    """Whom the budget names; where that is nobody, the account's owners."""
    budget = alert.period.budget
    told = set(budget.recipients)
    if budget.tell_managers:
        told |= managers_of(budget)
    if budget.tell_member:
        told |= member_concerned(budget)
    return sorted(told or owners_of(budget.account_id))


def owners_of(account_id: int) -> set[str]:
    return emails(account_id, Role.Name.OWNER, workspace=None)


def managers_of(budget: Budget) -> set[str]:
    """Of the workspace that the budget is over or in; without any, and else, of the account."""
    workspace = workspace_of(budget)
    of_workspace = (
        emails(budget.account_id, Role.Name.MANAGER, workspace=workspace) if workspace else set()
    )
    return of_workspace or emails(budget.account_id, Role.Name.MANAGER, workspace=None)


def emails(account_id: int, role: str, *, workspace: Workspace | None) -> set[str]:
    roles = Role.objects.filter(account=account_id, workspace=workspace, name=role)
    users = User.objects.filter(is_active=True, pk__in=roles.values("user")).exclude(email="")
    return set(users.values_list("email", flat=True))


def member_concerned(budget: Budget) -> set[str]:
    member = budget.member or (budget.api_key.member if budget.api_key else None)
    return {member.email} if member and member.email else set()


def workspace_of(budget: Budget) -> Workspace | None:
    return budget.workspace or getattr(budget.project or budget.api_key, "workspace", None)


def message_of(alert: Alert, *, now: datetime) -> Message:
    """One clear sentence, the figures, what drove them, and a link."""
    period = alert.period
    budget = period.budget
    figures = {
        "alert": alert,
        "budget": budget,
        "subject": budget.subject,
        "scope": budget.get_scope_display(),
        "consumed": money(alert.consumed),
        "limit": money(alert.limit),
        "percent": percent(alert.consumed, alert.limit),
        # As text: a template would turn the moment back into the server's own zone.
        "crossed_at": f"{timezone.localtime(alert.crossed_at, budget.account.zone):%Y-%m-%d %H:%M}",
        "hard": budget.hard and enforced(budget),
        "why_again": why_again(alert),
        "over": alert.consumed >= alert.limit,
        "resets_on": period.end_on,
        "drivers": drivers(alert, now=now),
        "link": f"{settings.PUBLIC_URL}/admin/budgets/budget/{budget.pk}/change/",
    }
    used = f"{figures['consumed']} of {figures['limit']} used"
    subject = f"{budget.name} passed {alert.threshold} %: {used}"
    return Message(
        " ".join(subject.split()),
        render_to_string("budgets/alert.txt", figures),
        render_to_string("budgets/alert.html", figures),
    )


def enforced(budget: Budget) -> bool:
    workspace = workspace_of(budget)
    return workspace is None or workspace.enforce_hard_limits


def why_again(alert: Alert) -> str:
    """Where the threshold was told before in this period: what has changed since, in a sentence."""
    before = (
        Alert.objects.filter(period=alert.period_id, threshold=alert.threshold, pk__lt=alert.pk)
        .order_by("-pk")
        .first()
    )
    if before is None:
        return ""
    budget = alert.period.budget
    if budget.raised_until and before.crossed_at < budget.raised_until <= alert.crossed_at:
        return f"It was told before under a limit of {money(before.limit)}; that raise has ended."
    moved = "raised" if alert.limit > before.limit else "lowered"
    sentence = f"It was told before under a limit of {money(before.limit)}, which was {moved} since"
    change = budget.changes.filter(
        what__in=("limit", "raise"), changed_at__lte=alert.crossed_at
    ).first()
    if change is None:
        return f"{sentence}."
    why = f": {change.reason}" if change.reason else ""
    return f"{sentence} by {change.changed_by}{why}."


def drivers(alert: Alert, *, now: datetime) -> list[dict[str, Any]]:
    """What cost the most since the period began: the top models, members and projects."""
    period = alert.period
    found = []
    for dimension in ("model", "member", "project"):
        question = question_of(
            period.budget, period.start_on, period.end_on, group_by=(dimension,), limit=3
        )
        rows = [
            {
                "name": row.get(f"{dimension}_name") or row[dimension] or "none",
                "cost": money(row["cost"]),
            }
            for row in ask(question, now=now).rows
            if row["cost"]
        ]
        if rows:
            found.append({"dimension": dimension, "rows": rows})
    return found


def percent(part: Decimal, whole: Decimal) -> str:
    return f"{part * 100 / whole:.0f}" if whole else "more than 100"
