"""Hand alerts to the mail server: tried again with growing pauses, each address by itself."""

import logging
import smtplib
from datetime import datetime, timedelta

from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import F
from django_q.tasks import async_task

from budgets.alerts import Message, message_of
from budgets.models import Delivery

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 12
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(hours=1)


def enqueue_due(*, now: datetime) -> int:
    """Give every due delivery to the workers; how many.

    Claiming moves its next attempt, so that nobody else gives it out meanwhile. Queue and claim
    are one transaction.
    """
    with transaction.atomic():
        due = list(
            Delivery.objects.select_for_update(skip_locked=True)
            .filter(state=Delivery.State.WAITING, next_attempt_at__lte=now)
            .order_by("next_attempt_at")[:100]
        )
        for delivery in due:
            Delivery.objects.filter(pk=delivery.pk).update(
                attempts=F("attempts") + 1, next_attempt_at=now + pause_after(delivery.attempts)
            )
            async_task("budgets.tasks.deliver_one", delivery.pk)
    return len(due)


def bring_forward(*, now: datetime) -> None:
    """No pause is longer than the longest: such a moment was set by a clock that was ahead."""
    waiting = Delivery.objects.filter(state=Delivery.State.WAITING)
    waiting.filter(next_attempt_at__gt=now + LONGEST_PAUSE).update(next_attempt_at=now)


def pause_after(attempts: int) -> timedelta:
    """15 s, 30 s, 1 min and so on to an hour."""
    return min(FIRST_PAUSE * 2**attempts, LONGEST_PAUSE)


@transaction.atomic
def deliver(delivery_id: int, *, now: datetime) -> bool:
    """Send one delivery unless it was sent or somebody is sending it; whether it was sent.

    The row stays locked while the mail server is spoken to: a second worker with the same task
    finds it taken, and one that died leaves it waiting.
    """
    delivery = (
        Delivery.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("alert__period__budget__account", "notice")
        .filter(pk=delivery_id, state=Delivery.State.WAITING)
        .first()
    )
    if delivery is None:
        return False
    try:
        send(delivery, now=now)
    except (smtplib.SMTPException, OSError) as error:
        note_failure(delivery, error)
        return False
    Delivery.objects.filter(pk=delivery.pk).update(
        state=Delivery.State.SENT, sent_at=now, last_error=""
    )
    return True


def send(delivery: Delivery, *, now: datetime) -> None:
    """Raises SMTPException and OSError."""
    message = message_for(delivery, now=now)
    mail = EmailMultiAlternatives(
        subject=message.subject,
        body=message.text,
        to=[delivery.recipient],
        # The same however often it is tried, so that a mailbox can tell a repetition.
        headers={"Message-ID": f"<tokenbook-{origin(delivery)}-{delivery.pk}@tokenbook>"},
    )
    mail.attach_alternative(message.html, "text/html")
    mail.send()


def message_for(delivery: Delivery, *, now: datetime) -> Message:
    if delivery.alert is not None:
        return message_of(delivery.alert, now=now)
    notice = delivery.notice
    return Message(notice.subject, notice.text, notice.html)  # type: ignore[union-attr]


def origin(delivery: Delivery) -> str:
    if delivery.alert_id is not None:
        return f"alert-{delivery.alert_id}"
    return f"notice-{delivery.notice_id}"


def note_failure(delivery: Delivery, error: Exception) -> None:
    logger.warning("delivery %s to the mail server failed: %s", delivery.pk, error)
    given_up = delivery.attempts >= MAX_ATTEMPTS
    Delivery.objects.filter(pk=delivery.pk).update(
        state=Delivery.State.FAILED if given_up else Delivery.State.WAITING,
        last_error=f"{type(error).__name__}: {error}"[:2000],
    )


def send_again(delivery_ids: list[int], *, now: datetime) -> int:
    """Put deliveries back in line from the start; how many."""
    return Delivery.objects.filter(pk__in=delivery_ids).update(
        state=Delivery.State.WAITING, attempts=0, next_attempt_at=now, last_error=""
    )
