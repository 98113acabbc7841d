"""A cap is a cap through crashes of the web server and of PostgreSQL in the middle of a burst."""

import threading
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from accounts import tokens
from accounts.models import Account, Project, Scope, Workspace
from budgets import ledger
from budgets.models import Budget, BudgetPeriod, Hold
from tests.faults.conftest import Stack
from tests.faults.gateway import Gateway, in_threads

pytestmark = [pytest.mark.slow]

CALLERS, CALLS = 8, 30  # each; 240 dimes against five dollars


@pytest.fixture
def token(stack: Stack) -> str:
    """Of an account with hard budgets of $5 at three levels."""
    account = Account.objects.create(name="Acme", slug="acme")
    workspace = Workspace.objects.create(account=account, name="Finance", slug="finance")
    project = Project.objects.create(workspace=workspace, tag="ledger")
    for scope, subject in (
        ("account", {}),
        ("workspace", {"workspace": workspace}),
        ("project", {"project": project}),
    ):
        budget = Budget(
            account=account, name=scope, scope=scope, limit=Decimal(5), hard=True, **subject
        )
        ledger.open_budget(budget, now=timezone.now())
    return tokens.issue(account=account, name="all", scopes=Scope.values)[1]


def test_of_a_burst_through_crashes_exactly_fifty_dimes_pass(stack: Stack, token: str):
    """Who gets no answer asks again with the same id, and hears of the hold that it has."""
    passed: list[str] = []
    under_way = threading.Event()

    def caller(number: int) -> None:
        gateway = Gateway(stack.url, token)
        for call in range(CALLS):
            ask = {"request_id": f"{number}-{call}", "workspace": "finance", "project": "ledger"}
            answer = gateway.post_until_acknowledged("authorize/", ask | {"max_cost": "0.1"})
            if answer["allowed"]:
                passed.append(answer["request_id"])
            if len(passed) >= 15:
                under_way.set()
        gateway.close()

    def crash() -> None:
        assert under_way.wait(30)
        stack.kill_web()
        stack.start_web()
        stack.kill_postgres()
        stack.start_postgres()

    in_threads([crash, *(lambda number=n: caller(number) for n in range(CALLERS))])

    connection.close()  # which died with the server
    assert len(set(passed)) == len(passed) == 50
    assert set(BudgetPeriod.objects.values_list("held", flat=True)) == {Decimal(5)}
    assert Hold.objects.filter(state="open").count() == 50
