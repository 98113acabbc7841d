"""What runs when, all of it.

A tick runs every so many seconds in one process among all workers (`manage.py tick`). A schedule is
a cron line in UTC, whose task goes through the queue to any worker. Both may run twice.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from budgets import delivery
from exports import jobs, sending


@dataclass(frozen=True)
class Tick:
    name: str
    every_seconds: float
    run: str


@dataclass(frozen=True)
class Schedule:
    name: str
    cron: str
    task: str


TICKS = (
    Tick("fold", every_seconds=0.5, run="usage.tasks.fold"),
    Tick("deliver", every_seconds=2, run="budgets.tasks.deliver"),
    Tick("release", every_seconds=5, run="budgets.tasks.release_expired"),
    Tick("reprice", every_seconds=1, run="usage.tasks.reprice"),
    Tick("exports", every_seconds=10, run="exports.tasks.revive_exports"),
    Tick("reattribute", every_seconds=1, run="usage.tasks.reattribute"),
    Tick("zones", every_seconds=1, run="usage.tasks.change_zones"),
    Tick("availability", every_seconds=60, run="usage.tasks.check_availability"),
    Tick("spikes", every_seconds=60, run="usage.tasks.look_for_spikes"),
    Tick("files", every_seconds=15, run="exports.tasks.plan_files"),
    Tick("calendar", every_seconds=60, run="config.tasks.bring_schedules_forward"),
    # django-q2's own loop looks for what is due every 30 s only.
    Tick("scheduler", every_seconds=1, run="django_q.scheduler.scheduler"),
)

SCHEDULES = (
    Schedule("partitions", cron="0 * * * *", task="usage.tasks.make_partitions"),
    Schedule("old-minutes", cron="50 3 * * *", task="usage.tasks.forget_availability"),
    Schedule("old-holds", cron="10 4 * * *", task="budgets.tasks.forget_holds"),
    Schedule("old-rows", cron="30 4 * * *", task="usage.tasks.forget_quarantined"),
    Schedule("old-spikes", cron="20 * * * *", task="usage.tasks.lay_down_spikes"),
    Schedule("indexes", cron="10 3 * * *", task="usage.tasks.tighten_indexes"),
    Schedule("savings", cron="15 4 * * *", task="usage.tasks.find_all_savings"),
    Schedule("retention", cron="20 * * * *", task="exports.tasks.start_retention"),
    Schedule("expire", cron="40 * * * *", task="exports.tasks.expire_exports"),
    Schedule("corrections", cron="50 * * * *", task="exports.tasks.correct_files"),
    Schedule("books", cron="30 2 * * *", task="config.tasks.check_all_books"),
)


def functions() -> list[str]:
    return [tick.run for tick in TICKS] + [schedule.task for schedule in SCHEDULES]


@transaction.atomic
def sync() -> None:
    """Make django-q2's table say what this file says: a row it cannot parse would stop them all.

    A row that is right is left alone, with the moment of its next run.
    """
    from django_q.models import Schedule as Row

    for schedule in SCHEDULES:
        wanted = {"func": schedule.task, "schedule_type": Row.CRON, "cron": schedule.cron}
        wanted |= {"repeats": -1, "args": None, "kwargs": None, "hook": None, "cluster": None}
        if Row.objects.filter(name=schedule.name, **wanted).count() != 1:
            Row.objects.filter(name=schedule.name).delete()
            Row.objects.create(name=schedule.name, **wanted)
    Row.objects.exclude(name__in=[schedule.name for schedule in SCHEDULES]).delete()


def bring_forward(*, now: datetime) -> None:
    """What was put off while a clock was ahead would wait until the clock is there again."""
    from croniter import croniter
    from django_q.models import OrmQ
    from django_q.models import Schedule as Row

    for schedule in SCHEDULES:
        due_at = croniter(schedule.cron, now.astimezone(UTC)).get_next(datetime)
        Row.objects.filter(name=schedule.name, next_run__gt=due_at).update(next_run=due_at)
    # A task is locked from when it is put into the queue or taken, never from later on.
    OrmQ.objects.filter(lock__gt=now).update(lock=now)
    delivery.bring_forward(now=now)
    jobs.bring_forward(now=now)
    sending.bring_forward(now=now)
