"""What runs beside requests; `config/schedules.py` says when."""

from django.utils import timezone
from django_q.tasks import async_task

from accounts.models import Workspace
from budgets import alerts, authorize, delivery, old_holds


def deliver() -> None:
    now = timezone.now()
    alerts.make_by_the_clock(now=now)
    alerts.address_new_alerts(now=now)
    delivery.enqueue_due(now=now)


def deliver_one(delivery_id: int) -> None:
    delivery.deliver(delivery_id, now=timezone.now())


def release_expired() -> None:
    authorize.release_expired(now=timezone.now())


def forget_holds() -> None:
    for workspace_id in Workspace.objects.values_list("pk", flat=True):
        async_task("budgets.tasks.forget_holds_of", workspace_id)


def forget_holds_of(workspace_id: int) -> None:
    old_holds.forget(Workspace.objects.get(pk=workspace_id), now=timezone.now())
