"""What runs beside requests; `config/schedules.py` says when."""

from django.utils import timezone

from budgets import alerts, authorize, delivery


def deliver() -> None:
    now = timezone.now()
    alerts.make_by_the_clock(now=now)
    alerts.address_new_alerts(now=now)
    delivery.enqueue_due(now=now)


def deliver_one(delivery_id: int) -> None:
    delivery.deliver(delivery_id, now=timezone.now())


def release_expired() -> None:
    authorize.release_expired(now=timezone.now())
