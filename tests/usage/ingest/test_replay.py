"""The same recorded batch again and again, over real HTTP: nothing changes after the first."""

import json
import random
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, Scope
from budgets import ledger
from budgets.models import Budget
from tests.books import assert_books_balance
from tests.factories import bearer, fetch, make_account
from tests.faults.gateway import Gateway, in_threads, lines, zipped
from tests.serving import Server
from tests.usage.ingest.recorded import EVENTS, EXPECTED, price_book
from usage.rollups.fold import fold_all

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

REPLAYS = 37
CLIENTS = 4
BROKEN = [{"id": "no model", "startTime": 1}, {"model": 7}]


@pytest.fixture
def acme() -> Account:
    price_book()
    account = make_account(time_zone="America/New_York")
    budget = Budget(account=account, name="All", scope="account", period="total", limit=Decimal(1))
    ledger.open_budget(budget, now=timezone.now())
    return account


@pytest.fixture
def token(acme: Account) -> str:
    return bearer(acme, Scope.INGEST)["authorization"].removeprefix("Bearer ")


def recorded_batch() -> list[dict[str, Any]]:
    """The recorded events, as if they had happened in the last hour, and two that are none."""
    now = timezone.now()
    events = [json.loads(event) for event in EVENTS.values()]
    for minutes, event in enumerate(events):
        moved = (now - timedelta(minutes=5 + minutes)).timestamp() - event["startTime"]
        for name in ("startTime", "endTime", "completionStartTime"):
            event[name] += moved
    return [*events, *BROKEN]


def send_in_pieces(gateway: Gateway, batch: list[Any], *, seed: int) -> tuple[int, int, int]:
    """The whole batch once, shuffled and cut anew: accepted, duplicates, rejected."""
    rng = random.Random(seed)
    rows = rng.sample(batch, len(batch))
    sums = [0, 0, 0]
    while rows:
        piece, rows = rows[: (size := rng.randint(1, len(rows)))], rows[size:]
        form = rng.choice(["array", "lines", "gzip"])
        if form == "array":
            answer = gateway.post("ingest/litellm/", piece)
        elif form == "lines":
            answer = gateway.post("ingest/litellm/", lines(piece))
        else:
            answer = gateway.post("ingest/litellm/", zipped(piece), Content_Encoding="gzip")
        sums[0] += answer["accepted"]
        sums[1] += answer["duplicates"]
        sums[2] += len(answer["rejected"])
    return sums[0], sums[1], sums[2]


def everything() -> dict[str, Any]:
    """All that the account would notice if it changed."""
    return {
        "log": fetch("SELECT * FROM usage_requestlog ORDER BY workspace_id, request_id"),
        "keys": fetch("SELECT * FROM usage_requestkey ORDER BY workspace_id, request_id"),
        "counters": fetch("SELECT * FROM budgets_budgetperiod ORDER BY id"),
        "alerts": fetch("SELECT * FROM budgets_alert ORDER BY id"),
        "quarantine": fetch("SELECT digest, body, errors FROM usage_quarantinedrow ORDER BY id"),
    }


def test_a_batch_sent_37_times_at_once_and_in_any_pieces_is_stored_once(
    acme: Account, token: str, live_web: Server
):
    batch = recorded_batch()

    def client(place: int) -> list[tuple[int, int, int]]:
        gateway = Gateway(live_web.url, token)
        seeds = range(place, REPLAYS, CLIENTS)
        return [send_in_pieces(gateway, batch, seed=seed) for seed in seeds]

    sent = in_threads([partial(client, place) for place in range(CLIENTS)])
    answers = [answer for answers in sent for answer in answers]

    assert len(answers) == REPLAYS
    assert sum(accepted for accepted, _, _ in answers) == len(EVENTS)
    assert {accepted + duplicates for accepted, duplicates, _ in answers} == {len(EVENTS)}
    assert {rejected for _, _, rejected in answers} == {len(BROKEN)}
    costs = {row["request_id"]: row["cost"] for row in everything()["log"]}
    assert costs == {row["request_id"]: row["cost"] for row in EXPECTED.values()}
    assert_books_balance()


def test_a_batch_sent_37_times_more_changes_nothing(acme: Account, token: str, live_web: Server):
    gateway = Gateway(live_web.url, token)
    batch = recorded_batch()
    gateway.post("ingest/litellm/", batch)
    before = everything()

    for seed in range(REPLAYS):
        assert send_in_pieces(gateway, batch, seed=seed) == (0, len(EVENTS), len(BROKEN))
        if seed % 10 == 0:
            fold_all()

    assert everything() == before
    assert fetch("SELECT DISTINCT times_sent FROM usage_quarantinedrow") == [
        {"times_sent": REPLAYS + 1}
    ]
    assert_books_balance()
