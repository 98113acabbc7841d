"""What runs beside requests and needs more than one app; `schedules.py` says when."""

from django.utils import timezone

from config import books, schedules


def check_all_books() -> None:
    books.ask(by=None, account_ids=None, now=timezone.now())


def check_books(check_id: int) -> None:
    books.run(check_id, now=timezone.now())


def bring_schedules_forward() -> None:
    schedules.bring_forward(now=timezone.now())
