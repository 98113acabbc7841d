"""What runs beside requests; `config/schedules.py` says when."""

from django.utils import timezone

from usage import partitions
from usage.pricing import repricing_work
from usage.rollups.fold import fold as fold_once


def fold() -> None:
    while fold_once():
        pass


def reprice() -> None:
    repricing_work.work()


def make_partitions() -> None:
    partitions.make_around(timezone.now())
