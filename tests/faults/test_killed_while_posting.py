"""SIGKILL to the web server and to PostgreSQL while gateways post, authorize and try again.

What was acknowledged is there, once; what is there was sent; every sum agrees; no cap was passed.
"""

import http.client
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import Error, connection
from django.utils import timezone

from accounts.models import Account, Project, Scope
from budgets import ledger
from budgets.models import Budget, BudgetPeriod, Hold
from tests.books import assert_books_balance
from tests.factories import bearer, fetch, make_account, make_workspace, small_price_book
from tests.faults.conftest import Stack, database_over
from tests.faults.gateway import Gateway, in_threads, lines, zipped
from tests.serving import wait_until
from usage.rollups.fold import fold, fold_all

pytestmark = pytest.mark.slow

SEED = 20261122
POSTERS = 4
CALLERS = 2  # who ask before each call
# What is killed, in this order, each as soon as a random number of calls was acknowledged since.
VICTIMS = ["web", "postgres", "both", "postgres", "web"]
CAP = Decimal(3)
DIME = Decimal("0.1")
PATIENCE_SECONDS = 40


@dataclass
class Traffic:
    """What gateways sent and what was acknowledged, kept outside of what is killed."""

    stack: Stack
    token: str
    began_at: datetime
    sent: dict[str, int] = field(default_factory=dict)  # request id -> its input tokens
    acknowledged: set[str] = field(default_factory=set)
    holds: set[str] = field(default_factory=set)
    calls: int = 0
    failures: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_for_calls(self, more: int) -> None:
        enough = self.calls + more
        wait_until(lambda: self.calls >= enough or self.over.is_set(), PATIENCE_SECONDS)

    def row(self, rng: random.Random, request_id: str, **fields: Any) -> dict[str, Any]:
        tokens = rng.randrange(1, 5000)
        days_ago = rng.choice((0, 0, 0, 1, 2, 40))
        return {
            "request_id": request_id,
            "occurred_at": (self.began_at - timedelta(days=days_ago)).isoformat(),
            "model": "gpt-4o",
            "provider": "openai",
            "workspace": rng.choice(("research", "support")),
            "project": rng.choice((None, "alpha", "beta")),
            "member": rng.choice((None, "jane", "joe")),
            "input_tokens": tokens,
        } | fields

    def will_send(self, rows: list[dict[str, Any]]) -> None:
        with self.lock:
            self.sent.update({row["request_id"]: row["input_tokens"] for row in rows})

    def has_acknowledged(self, rows: list[dict[str, Any]]) -> None:
        with self.lock:
            self.calls += 1
            self.acknowledged.update(row["request_id"] for row in rows)

    def post(self, gateway: Gateway, rows: list[dict[str, Any]], form: str = "array") -> None:
        self.will_send(rows)
        body, headers = (lines(rows), {}) if form == "lines" else (rows, {})
        if form == "gzip":
            body, headers = zipped(rows), {"Content_Encoding": "gzip"}
        answer = gateway.post_until_acknowledged("requests/", body, **headers)
        assert answer["rejected"] == []
        assert answer["accepted"] + answer["duplicates"] == len(rows)
        self.has_acknowledged(rows)

    def post_once(self, gateway: Gateway, rows: list[dict[str, Any]]) -> None:
        """As a gateway that does not care: nobody knows what became of it where it fails."""
        self.will_send(rows)
        with suppress(OSError, http.client.HTTPException):
            gateway.post("requests/", rows)
            self.has_acknowledged(rows)


def posting(traffic: Traffic, place: int) -> None:
    """Batches of mixed sizes; every fourth call sends again what was acknowledged before."""
    rng, gateway = random.Random(SEED + place), Gateway(traffic.stack.url, traffic.token)
    done: list[list[dict[str, Any]]] = []
    for n in itertools.count():
        if traffic.over.is_set():
            break
        size = rng.choice((1, 1, 3, 20, 120))
        rows = [traffic.row(rng, f"p{place}-{n}-{i}") for i in range(size)]
        rows += rng.sample(rows, rng.choice((0, 0, min(size, 2))))  # the same id twice in a call
        if done and rng.random() < 0.25:
            again = rng.choice(done)
            rows = rng.sample(again, len(again))
        if rng.random() < 0.1:
            traffic.post_once(gateway, rows)
        else:
            traffic.post(gateway, rows, rng.choice(("array", "lines", "gzip")))
            done.append(rows)
    traffic.failures += gateway.failures


def calling(traffic: Traffic, place: int) -> None:
    """Asks for a dime before each call, makes the call when it may, and sometimes forgets to log
    it. Every call costs its dime: 40,000 tokens at $2.50 a million."""
    rng, gateway = random.Random(SEED - place), Gateway(traffic.stack.url, traffic.token)
    for n in itertools.count():
        if traffic.over.is_set():
            break
        request_id = f"c{place}-{n}"
        if not may_call(traffic, gateway, request_id):
            break
        if rng.random() < 0.9:
            call = {"workspace": "research", "project": "capped", "input_tokens": 40_000}
            traffic.post(gateway, [traffic.row(rng, request_id, **call)])
        traffic.wait_for_calls(8)  # or all would be spent in a second


def may_call(traffic: Traffic, gateway: Gateway, request_id: str) -> bool:
    ask = {"request_id": request_id, "max_cost": str(DIME), "workspace": "research",
           "project": "capped"}  # fmt: skip
    answer = gateway.post_until_acknowledged("authorize/", ask)
    if answer["allowed"]:
        with traffic.lock:
            traffic.calls += 1
            traffic.holds.add(answer["hold_id"])
    return bool(answer["allowed"])


@contextmanager
def folding(directory: Path) -> Iterator[Counter[str]]:
    """As the worker does, twice a second or more often, whatever dies meanwhile."""
    ended, folded = threading.Event(), Counter[str]()

    def run() -> None:
        with database_over(directory):
            while not ended.wait(0.1):
                try:
                    folded["rows"] += fold(rows_at_once=2000)
                except Error:
                    folded["failures"] += 1
                    connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield folded
    finally:
        ended.set()
        thread.join()


def until_over(traffic: Traffic, act: Callable[[Traffic], None]) -> None:
    """Who fails ends it for all."""
    try:
        act(traffic)
    except BaseException:
        traffic.over.set()
        raise


def killing(traffic: Traffic) -> None:
    """Kills and starts again, each time when enough calls came through to be in full swing."""
    rng, stack = random.Random(SEED), traffic.stack
    for victim in VICTIMS:
        traffic.wait_for_calls(rng.randrange(20, 90))
        if victim in ("web", "both"):
            stack.kill_web()
        if victim in ("postgres", "both"):
            stack.kill_postgres()
            stack.start_postgres()
        if victim in ("web", "both"):
            stack.start_web()
    traffic.wait_for_calls(50)
    traffic.over.set()


@pytest.fixture
def acme(stack: Stack) -> Account:
    small_price_book()
    account = make_account(time_zone="America/New_York")
    research, _ = (make_workspace(account, slug) for slug in ("research", "support"))
    capped = Project.objects.create(workspace=research, tag="capped")
    open_budget(account, "the cap", scope="project", project=capped, limit=CAP, hard=True)
    open_budget(account, "all", scope="account", limit=Decimal(10_000), hard=True)
    open_budget(account, "daily", scope="workspace", workspace=research, period="day", limit=None)
    return account


def open_budget(account: Account, name: str, **values: Any) -> None:
    budget = Budget(account=account, name=name, **{"period": "total"} | values)
    ledger.open_budget(budget, now=timezone.now() - timedelta(days=41))


@pytest.fixture
def traffic(stack: Stack, acme: Account) -> Traffic:
    token = bearer(acme, Scope.INGEST, Scope.AUTHORIZE)["authorization"].removeprefix("Bearer ")
    return Traffic(stack, token, began_at=datetime.now(UTC))


def test_whatever_is_killed_every_acknowledged_request_is_stored_once(
    stack: Stack, acme: Account, traffic: Traffic
):
    gateways = [partial(posting, place=place) for place in range(POSTERS)]
    gateways += [partial(calling, place=place) for place in range(CALLERS)]
    with folding(stack.directory) as folded:
        in_threads([partial(until_over, traffic, act) for act in (killing, *gateways)])
    connection.close()  # the server that this one led to was killed

    assert traffic.failures > 0
    assert folded["rows"] > 0
    assert_stored_once(traffic)
    assert_cap_held(traffic)
    assert_books_balance()
    fold_all()
    assert_books_balance()
    spend_what_is_left(traffic)
    assert_cap_held(traffic)


def assert_stored_once(traffic: Traffic) -> None:
    rows = fetch("SELECT request_id, input, cost FROM usage_requestlog")
    stored = Counter(row["request_id"] for row in rows)
    assert set(stored.values()) == {1}
    assert traffic.acknowledged <= set(stored) <= set(traffic.sent)
    assert {row["request_id"]: row["input"] for row in rows}.items() <= traffic.sent.items()
    tokens = sum(row["input"] for row in rows)
    assert sum(row["cost"] for row in rows) == tokens * Decimal("2.5") / 1_000_000


def assert_cap_held(traffic: Traffic) -> None:
    period = BudgetPeriod.objects.get(budget__name="the cap")
    assert period.spent + period.estimated + period.held <= CAP
    assert {str(pk) for pk in Hold.objects.values_list("pk", flat=True)} >= traffic.holds
    assert len(traffic.holds) <= CAP / DIME


def spend_what_is_left(traffic: Traffic) -> None:
    """Until the first no, which comes not a dime too early."""
    gateway = Gateway(traffic.stack.url, traffic.token)
    last = next(n for n in itertools.count() if not may_call(traffic, gateway, f"last-{n}"))
    assert last <= CAP / DIME
    period = BudgetPeriod.objects.get(budget__name="the cap")
    assert period.spent + period.held == CAP
