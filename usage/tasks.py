"""What runs beside requests; `config/schedules.py` says when."""

from django.utils import timezone
from django_q.tasks import async_task

from accounts.models import Account
from usage import partitions
from usage.ingest import quarantine
from usage.insight import availability, savings, spikes
from usage.pricing import repricing_work
from usage.rollups import indexes, zone_change
from usage.rollups import reattribute as reattribute_history
from usage.rollups.fold import fold as fold_once


def fold() -> None:
    while fold_once():
        pass


def reprice() -> None:
    repricing_work.work()


def reattribute() -> None:
    reattribute_history.work(now=timezone.now())


def change_zones() -> None:
    zone_change.work()


def make_partitions() -> None:
    partitions.make_around(timezone.now())


def tighten_indexes() -> None:
    indexes.tighten()


def find_all_savings() -> None:
    for account_id in Account.objects.active().values_list("pk", flat=True):
        async_task("usage.tasks.find_savings", account_id)


def find_savings(account_id: int) -> None:
    savings.refresh(Account.objects.get(pk=account_id), now=timezone.now())


def look_for_spikes() -> None:
    spikes.look(now=timezone.now())


def lay_down_spikes() -> None:
    spikes.lay_down(now=timezone.now())


def forget_quarantined() -> None:
    quarantine.forget(now=timezone.now())


def check_availability() -> None:
    availability.look(now=timezone.now())


def forget_availability() -> None:
    availability.forget(now=timezone.now())
