"""From thresholds crossed to mails: who is told, and what the mail says."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Role, User
from budgets.ledger import question_of
from budgets.models import Alert, Delivery
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


def recipients_of(alert: Alert) -> list[str]:
    """The budget's recipients; where it names none, the account's owners."""
    budget = alert.period.budget
    if budget.recipients:
        return sorted(set(budget.recipients))
    owners = Role.objects.filter(account=budget.account_id, workspace=None, name=Role.Name.OWNER)
    users = User.objects.filter(is_active=True, pk__in=owners.values("user")).exclude(email="")
    return sorted(set(users.values_list("email", flat=True)))


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


def enforced(budget: Any) -> bool:
    workspace = budget.workspace or getattr(budget.project or budget.api_key, "workspace", None)
    return workspace is None or workspace.enforce_hard_limits


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
