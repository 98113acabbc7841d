"""What runs beside requests; `config/schedules.py` says when."""

from datetime import date

from django.utils import timezone
from django_q.tasks import async_task

from accounts.models import Account
from exports import jobs, restore, retention_run, scratch, sending

LONGEST_SECONDS = 4 * 3600


def start_retention() -> None:
    """With more time than a task has usually; where nothing is ever removed, not at all."""
    if retention_run.mode() != retention_run.KEEP:
        async_task("exports.tasks.run_retention", timeout=LONGEST_SECONDS)


def run_retention() -> None:
    retention_run.run(now=timezone.now())


def restore_day(account_id: int, day: str) -> None:
    place = retention_run.archive_place()
    if place is not None:
        account = Account.objects.get(pk=account_id)
        restore.restore_day(account, date.fromisoformat(day), place, now=timezone.now())


def make_export(export_id: str) -> None:
    jobs.make(export_id, now=timezone.now())


def revive_exports() -> None:
    jobs.revive(now=timezone.now())


def expire_exports() -> None:
    scratch.sweep()
    jobs.expire(now=timezone.now())


def plan_files() -> None:
    now = timezone.now()
    sending.plan(now=now)
    sending.enqueue_due(now=now)


def send_file(file_id: int) -> None:
    sending.send(file_id, now=timezone.now())


def correct_files() -> None:
    sending.correct(now=timezone.now())
