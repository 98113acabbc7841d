"""A cap is a cap: bursts over real HTTP, against several server processes."""

import http.client
import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Account, Project, Workspace
from budgets.models import BudgetPeriod, Hold
from tests import serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

local = threading.local()


def decided(url: str, token: str, ask: dict) -> dict[str, Any]:
    """One decision over a connection that its thread keeps."""
    if getattr(local, "url", None) != url:
        local.url, local.connection = url, http.client.HTTPConnection(urlsplit(url).netloc)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    local.connection.request("POST", "/api/v1/authorize/", json.dumps(ask), headers)
    response = local.connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return dict(json.loads(body))


def burst(url: str, token: str, asks: list[dict], *, clients: int = 32) -> int:
    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(lambda ask: decided(url, token, ask)["allowed"], asks))


def test_of_a_thousand_parallel_dimes_against_five_dollars_exactly_fifty_pass(
    workspace: Workspace, project: Project, token_text: str, make_budget, live_web: serving.Server
):
    now = timezone.now()
    make_budget(name="account", hard=True, now=now)
    make_budget(name="workspace", scope="workspace", workspace=workspace, hard=True, now=now)
    make_budget(name="project", scope="project", project=project, hard=True, now=now)
    dime = {"max_cost": "0.1", "workspace": "finance", "project": "ledger"}
    asks = [dime | {"request_id": f"call {i}"} for i in range(1000)]
    assert burst(live_web.url, token_text, asks) == 50
    assert set(BudgetPeriod.objects.values_list("held", flat=True)) == {Decimal(5)}
    assert Hold.objects.filter(state="open").count() == 50


def test_the_tightest_level_caps_a_burst_over_several_projects(
    workspace: Workspace, token_text: str, make_budget, live_web: serving.Server
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
    assert burst(live_web.url, token_text, asks) == 20
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


def test_across_midnight_in_mid_burst_each_day_lets_its_own_fifty_pass(
    account: Account, workspace: Workspace, token_text: str, make_budget
):
    make_budget(period="day", hard=True, now=timezone.now())
    dime = {"max_cost": "0.1", "workspace": "finance"}
    with serving.web(WEB_WORKERS="2") as server:
        assert burst(server.url, token_text, [dime | {"request_id": "before"}], clients=1) == 1
        before = midnight_in(account, seconds=1)

        def caller(number: int) -> int:
            """Asks until the day after has refused; how many calls passed."""
            passed = 0
            for call in itertools.count():
                ask = dime | {"request_id": f"{number} {call}"}
                answer = decided(server.url, token_text, ask)
                passed += answer["allowed"]
                if not answer["allowed"] and answer["budgets"][0]["resets_at"] > before:
                    break
            return passed

        with ThreadPoolExecutor(16) as pool:
            passed = 1 + sum(pool.map(caller, range(16)))
    first, second = BudgetPeriod.objects.order_by("start_on").values_list("held", flat=True)
    assert first <= 5
    assert second == 5
    assert passed == Hold.objects.count() == (first + second) * 10


def midnight_in(account: Account, *, seconds: int) -> str:
    """Move the account to where its day ends so soon; when that is, as the API writes it.

    PostgreSQL knows such places by their distance, and decisions ask nobody else.
    """
    midnight = (timezone.now() + timedelta(seconds=seconds)).replace(microsecond=0)
    east = timedelta(days=1) - timedelta(hours=midnight.hour, minutes=midnight.minute,
                                         seconds=midnight.second)  # fmt: skip
    Account.objects.filter(pk=account.pk).update(time_zone=f"<here>-{east}")
    return f"{midnight:%Y-%m-%dT%H:%M:%SZ}"
