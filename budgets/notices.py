"""Mails about what insight found: the same outbox as alerts, each notice once."""

from datetime import datetime

from django.db import transaction

from budgets.alerts import owners_of
from budgets.models import Delivery, Notice
from usage.insight import notices


@transaction.atomic
def keep(told: notices.Notice, *, now: datetime) -> None:
    """Make the notice and its deliveries, unless it was made before."""
    notice, is_new = Notice.objects.get_or_create(
        key=told.key,
        defaults={
            "account_id": told.account_id,
            "workspace_id": told.workspace_id,
            "kind": told.kind,
            "subject": " ".join(told.subject.split())[:300],
            "text": told.text,
            "html": told.html,
            "created_at": now,
        },
    )
    if is_new:
        recipients = sorted(set(told.recipients) or owners_of(told.account_id))
        Delivery.objects.bulk_create(
            Delivery(notice=notice, recipient=recipient, next_attempt_at=now)
            for recipient in recipients
        )
