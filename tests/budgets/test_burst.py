"""A cap is a cap: bursts over real HTTP, against several server processes."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Project, Workspace
from budgets.models import BudgetPeriod, Hold
from tests import serving
from tests.budgets.conftest import NOON
from tests.faults.gateway import in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

local = threading.local()


def authorize(url: str, token: str, ask: dict) -> bool:
    """One decision over a connection that its thread keeps."""
    if getattr(local, "url", None) != url:
        local.url, local.connection = url, http.client.HTTPConnection(urlsplit(url).netloc)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    local.connection.request("POST", "/api/v1/authorize/", json.dumps(ask), headers)
    response = local.connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return bool(json.loads(body)["allowed"])


def burst(url: str, token: str, asks: list[dict], *, clients: int = 32) -> int:
    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(lambda ask: authorize(url, token, ask), asks))


def test_of_a_thousand_parallel_dimes_against_five_dollars_exactly_fifty_pass(
    workspace: Workspace, project: Project, token_text: str, make_budget
):
    now = timezone.now()
    make_budget(name="account", hard=True, now=now)
    make_budget(name="workspace", scope="workspace", workspace=workspace, hard=True, now=now)
    make_budget(name="project", scope="project", project=project, hard=True, now=now)
    dime = {"max_cost": "0.1", "workspace": "finance", "project": "ledger"}
    asks = [dime | {"request_id": f"call {i}"} for i in range(1000)]
    with serving.web(WEB_WORKERS="2") as server:
        assert burst(server.url, token_text, asks) == 50
    assert set(BudgetPeriod.objects.values_list("held", flat=True)) == {Decimal(5)}
    assert Hold.objects.filter(state="open").count() == 50


def test_the_tightest_level_caps_a_burst_over_several_projects(
    workspace: Workspace, token_text: str, make_budget
):
    now = timezone.now()
    make_budget(name="account", limit=Decimal(2), hard=True, now=now)
    for tag in ("a", "b", "c"):
        project = Project.objects.create(workspace=workspace, tag=tag)
        make_budget(name=tag, scope="project", project=project, limit=1, hard=True, now=now)
    asks = [
        {"max_cost": "0.1", "workspace": "finance", "project": "abc"[i % 3], "request_id": str(i)}
        for i in range(300)
    ]
    with serving.web(WEB_WORKERS="2") as server:
        assert burst(server.url, token_text, asks) == 20
    held = dict(BudgetPeriod.objects.values_list("budget__name", "held"))
    assert held.pop("account") == 2 == sum(held.values())
    assert max(held.values()) <= 1


def test_while_holds_expire_and_are_taken_anew_a_burst_never_passes_the_limit(
    workspace: Workspace, token_text: str, make_budget
):
    make_budget(limit=Decimal(1), hard=True, now=timezone.now())
    dime = {"max_cost": "0.1", "workspace": "finance"}
    passed, seen, ended = [], [], threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            seen.extend(BudgetPeriod.objects.values_list("held", flat=True))
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with serving.web(WEB_WORKERS="2", HOLD_TTL_SECONDS="1") as server:
            deadline = time.monotonic() + 20
            while sum(passed) < 25 and time.monotonic() < deadline:
                asks = [dime | {"request_id": f"{len(passed)} {i}"} for i in range(40)]
                passed.append(burst(server.url, token_text, asks, clients=8))
    finally:
        ended.set()
        watcher.join()
    assert sum(passed) >= 25  # of which ten fit at a time
    assert max(seen) == Decimal(1)


def test_across_midnight_each_day_lets_its_own_fifty_pass(
    workspace: Workspace, make_budget, token_text: str, ask
):
    """Some callers are past midnight already while others are not; those that are decided together
    are decided at one moment."""
    midnight = datetime(2026, 11, 18, 23, tzinfo=UTC)  # in Berlin
    make_budget(period="day", hard=True, now=NOON)
    moments = [midnight + timedelta(milliseconds=n - 150) for n in range(300)]
    random.Random(5).shuffle(moments)

    decided: list[bool] = []

    def caller(numbers: range) -> None:
        for number in numbers:
            one = {"request_id": f"call {number}", "max_cost": "0.1"}
            (answer,) = ask(one, now=moments[number])
            decided.append(answer["allowed"])
        connection.close()

    in_threads([lambda first=n: caller(range(first, 300, 8)) for n in range(8)])
    assert Counter(decided) == {True: 100, False: 200}
    days = BudgetPeriod.objects.order_by("start_on").values_list("start_on", "held")
    assert list(days) == [(date(2026, 11, 18), 5), (date(2026, 11, 19), 5)]
