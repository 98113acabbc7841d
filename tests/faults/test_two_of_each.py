"""Two web servers and two workers over one database: what must run once does, both servers know the
same within seconds, and a cap holds over both."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Schedule

from accounts import tokens, versions
from accounts.models import Account, Project, Scope, Workspace
from budgets import ledger
from budgets.models import Budget, BudgetPeriod
from config.locks import Lock
from config.models import BooksCheck, Heartbeat
from tests import serving
from tests.books import assert_books_balance
from tests.factories import fetch, make_account, make_workspace, native, small_price_book
from tests.faults.gateway import Gateway, Refused, in_threads
from tests.serving import wait_until
from usage.pricing.ratecard import PRICES_VERSION

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

AGREE_SECONDS = 5
TAKES_OVER_SECONDS = 60
CALLERS, CALLS = 6, 20  # each; 120 dimes against five dollars
TICKING = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@pytest.fixture
def research() -> Workspace:
    return make_workspace(make_account())


@pytest.fixture
def workers(research: Workspace) -> Iterator[list[serving.Processes]]:
    """Of which the first has the ticks."""
    ticking = Heartbeat.objects.filter(name=Heartbeat.TICKS)
    with serving.worker() as first:
        first.wait_until(ticking.exists, serving.STARTS_SECONDS)
        with serving.worker() as second:
            yield [first, second]


@pytest.fixture
def gateways(workers: Any, research: Workspace) -> Iterator[list[Gateway]]:
    """One to each of two servers, with one token."""
    _, token = tokens.issue(account=research.account, name="both", scopes=Scope.values)
    with ExitStack() as stack:
        urls = [stack.enter_context(serving.web()).url for _ in "ab"]
        yield [Gateway(url, token) for url in urls]


def test_two_of_each_are_as_one(gateways, workers, research):
    a_cap_holds_over_both(gateways, research)
    both_price_alike(gateways)
    neither_knows_a_revoked_token(gateways, research.account)
    a_schedule_runs_once()
    the_other_worker_takes_over(workers)
    assert_books_balance()


def a_cap_holds_over_both(gateways: list[Gateway], research: Workspace) -> None:
    """Neither has ever heard of the project, whose budget is as old as this moment."""
    project = Project.objects.create(workspace=research, tag="ledger")
    cap = Budget(account=research.account, name="cap", scope="project", project=project,
                 limit=Decimal(5), hard=True)  # fmt: skip
    ledger.open_budget(cap, now=timezone.now())

    def call(place: int) -> int:
        gateway = Gateway(f"http://{gateways[place % 2].host}", gateways[0].token)
        asks = [
            {"request_id": f"{place}-{n}", "workspace": "research", "project": "ledger",
             "max_cost": "0.1"}
            for n in range(CALLS)
        ]  # fmt: skip
        return sum(gateway.post("authorize/", ask)["allowed"] for ask in asks)

    passed = in_threads([lambda place=place: call(place) for place in range(CALLERS)])

    assert sum(passed) == 50
    assert BudgetPeriod.objects.get(budget=cap).held == 5


def both_price_alike(gateways: list[Gateway]) -> None:
    """A price that somebody approves is the next request's on either."""
    assert cost_at(gateways[0], "before") is None
    small_price_book()
    versions.bump(PRICES_VERSION)
    tries = Counter[str]()

    def priced(gateway: Gateway) -> bool:
        tries[gateway.host] += 1
        return cost_at(gateway, f"{gateway.host} {tries[gateway.host]}") is not None

    for gateway in gateways:
        wait_until(lambda gateway=gateway: priced(gateway), AGREE_SECONDS)


def cost_at(gateway: Gateway, request_id: str) -> Decimal | None:
    moment = timezone.now().isoformat()
    row = native(request_id=request_id, occurred_at=moment, workspace="research", project="new")
    gateway.post("requests/", row)
    found = fetch("SELECT cost FROM usage_requestlog WHERE request_id = %s", [request_id])
    return found[0]["cost"]


def neither_knows_a_revoked_token(gateways: list[Gateway], account: Account) -> None:
    token, text = tokens.issue(account=account, name="to be revoked", scopes=[Scope.INGEST])
    for gateway in gateways:
        assert not is_refused(gateway.host, text)
    tokens.revoke(token, now=timezone.now())
    for gateway in gateways:
        wait_until(lambda host=gateway.host: is_refused(host, text), AGREE_SECONDS)


def is_refused(host: str, token: str) -> bool:
    try:
        Gateway(f"http://{host}", token).post("requests/", [])
    except Refused:
        return True
    return False


def a_schedule_runs_once() -> None:
    """Its task leaves a row each time."""
    due = Schedule.objects.filter(name="books")
    wait_until(due.exists, TAKES_OVER_SECONDS)
    due.update(next_run=timezone.now() - timedelta(minutes=1))
    ended = BooksCheck.objects.ended()
    wait_until(ended.exists, TAKES_OVER_SECONDS)
    wait_until(Heartbeat.objects.filter(name="schedule books").exists, TAKES_OVER_SECONDS)

    assert BooksCheck.objects.get().state == BooksCheck.State.BALANCED
    assert due.get().next_run > timezone.now()


def the_other_worker_takes_over(workers: list[serving.Processes]) -> None:
    (holder,) = fetch(TICKING, [Lock.TICKS])
    workers[0].kill()
    killed_at = timezone.now()
    beats = Heartbeat.objects.filter(name=Heartbeat.TICKS, beat_at__gt=killed_at)
    wait_until(beats.exists, TAKES_OVER_SECONDS)

    (next_holder,) = fetch(TICKING, [Lock.TICKS])
    assert next_holder != holder
