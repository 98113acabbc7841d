"""A cap is a cap: bursts over real HTTP, against several server processes."""

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from accounts.models import Project, Workspace
from budgets.models import BudgetPeriod, Hold
from tests import serving

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
