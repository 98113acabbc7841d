"""Make the demo in an empty database, through the pipeline that gateways' requests go through."""

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from django.db import transaction

from accounts.models import Account
from config.demo.budgets import open_budgets
from config.demo.insight import look_back, look_back_at_outage
from config.demo.organisation import create_account
from config.demo.traffic import Traffic, occurred_at
from usage import partitions
from usage.ingest.receive import receive
from usage.ingest.schema import NativeRequest
from usage.insight import savings
from usage.models import Price
from usage.pricing import ratecard
from usage.pricing.catalogue import import_catalogue
from usage.rollups.fold import fold_all

DAYS = 45
REQUESTS = 50_000
BATCH = 500
SEED = 1
# They tell of what passes them from then on, so some traffic must come after them.
BUDGETS_MADE_AGO = timedelta(days=4)

# Rows as a gateway with a mistake in it sends them: they show what the quarantine is for.
BROKEN_ROWS = (
    b'{"request_id": "req_broken_1", "model": "gpt-5.4-mini", "input_tokens": 900,'
    b' "cache_read_tokens": 1200, "output_tokens": 80}',
    b'{"request_id": "req_broken_2", "model": "claude-haiku-5-5", "input_tokens": 310,'
    b' "output_tokens": 45, "team": "support"}',
)


class NotEmpty(Exception):
    """There are accounts already: the demo is never mixed with a company's own data."""


@dataclass(frozen=True, slots=True)
class Seeded:
    account: Account
    requests: int


def seed(*, now: datetime, days: int = DAYS, requests: int = REQUESTS) -> Seeded:
    """Make the demo, all of it or nothing. The same `now` gives the same figures.

    Raises NotEmpty.
    """
    if Account.objects.exists():
        raise NotEmpty
    partitions.make_between((now - timedelta(days=days)).date(), now.date() + timedelta(1))
    with transaction.atomic():
        import_catalogue(status=Price.Status.APPROVED, now=now)
        ratecard.forget()
        account = create_account()
        maker = Traffic(now, days, requests, random.Random(SEED))  # noqa: S311
        traffic = maker.requests()
        then = now - BUDGETS_MADE_AGO
        recorded = record(account, (r for r in traffic if occurred_at(r) < then))
        open_budgets(account, now=then)
        recorded += record(account, (r for r in traffic if occurred_at(r) >= then))
        receive(list(BROKEN_ROWS), source="native", account=account, token=None, now=now)
    fold_all()
    savings.refresh(account, now=now)
    look_back(maker)
    look_back_at_outage(maker)
    return Seeded(account, recorded)


def record(account: Account, traffic: Iterable[NativeRequest]) -> int:
    """Post the traffic in the order of time, each batch as soon as its last request is over."""
    accepted = 0
    for batch in batches(traffic):
        accepted += receive(
            [msgspec.json.encode(request) for request in batch],
            source="native",
            account=account,
            token=None,
            now=occurred_at(batch[-1]),
        ).accepted
    return accepted


def batches(items: Iterable[NativeRequest]) -> Iterator[list[NativeRequest]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch
