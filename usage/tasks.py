"""What runs beside requests; `config/schedules.py` says when."""

from django.utils import timezone

from usage import partitions
from usage.rollups.fold import fold as fold_once


def fold() -> None:
    while fold_once():
        pass


def make_partitions() -> None:
    partitions.make_around(timezone.now())
