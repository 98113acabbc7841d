"""django-q2's database broker, with a beat through the whole cluster.

Every few seconds the pusher hands out a pulse beside the tasks of the database; it goes the way of
every task, through the pusher, a worker and the monitor, and only there counts as a beat. So a
cluster in which any of them hangs falls silent, and its supervisor replaces it.
"""

import time
from contextlib import suppress
from typing import Any

from django.db import Error
from django.dispatch import receiver
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.humanhash import uuid
from django_q.signals import post_execute, post_execute_in_worker, pre_execute
from django_q.signing import SignedPackage

from config import pulse, schedules
from config.models import Heartbeat

PULSE = "config.broker.show_life"
PULSE_EVERY_SECONDS = 3.0


class PulsingBroker(ORM):
    next_pulse_at = 0.0

    def dequeue(self) -> list[tuple[Any, str]] | None:
        now = time.monotonic()
        if now < self.next_pulse_at:
            return super().dequeue()
        self.next_pulse_at = now + PULSE_EVERY_SECONDS
        # No row in the queue, hence nothing to acknowledge.
        return [(None, SignedPackage.dumps(pulse_task()))]


def pulse_task() -> dict[str, Any]:
    name, id = uuid()
    return {
        "id": id,
        "name": name,
        "func": PULSE,
        "args": (),
        "kwargs": {},
        "save": False,
        "started": timezone.now(),
    }


def show_life() -> None:
    # Without a database there is no row to write; /readyz says so, and the cluster is well.
    with suppress(Error):
        Heartbeat.objects.beat(Heartbeat.QUEUE, at=timezone.now())


@receiver(pre_execute)
def note_begin(**_: Any) -> None:
    pulse.begin_work()


@receiver(post_execute_in_worker)
def note_end(**_: Any) -> None:
    pulse.end_work()


@receiver(post_execute)
def note_beat(**_: Any) -> None:
    pulse.beat()


@receiver(post_execute)
def note_schedule(task: dict[str, Any], **_: Any) -> None:
    """When a schedule's task last succeeded: of those nothing else is kept."""
    name = task.get("group")
    if task.get("success") and name in {schedule.name for schedule in schedules.SCHEDULES}:
        with suppress(Error):
            Heartbeat.objects.beat(Heartbeat.of_schedule(str(name)), at=timezone.now())
