"""What is paused, as gateways that cannot ask per call hear of it."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.access import Reach
from accounts.models import Account, ApiKey, Project, Scope, Workspace
from budgets.blocks import blocks
from tests.budgets.conftest import NOON

PATH = "/api/v1/blocks/"


def paused(account: Account, now=NOON) -> list[tuple[str, str, str | None]]:
    workspaces = tuple(Workspace.objects.select_related("account").filter(account=account))
    found = blocks(Reach((account,), workspaces), now=now)
    return [(block["scope"], block["key"], block["workspace"]) for block in found]


def test_a_hard_budget_that_is_used_up_pauses_what_is_under_it(
    account: Account, project: Project, make_budget: Callable, spend: Callable
):
    make_budget(name="Ledger", scope="project", project=project, hard=True)
    spend(4, request_id="a", project="ledger")
    assert paused(account) == []

    spend(1, request_id="b", project="ledger")

    assert paused(account) == [("project", "ledger", "finance")]


def test_the_next_period_begins_by_the_clock_alone(
    account: Account, workspace: Workspace, make_budget: Callable, spend: Callable
):
    make_budget(scope="workspace", workspace=workspace, hard=True, period="day")
    spend(5, request_id="a")

    assert paused(account) == [("workspace", "finance", "finance")]
    assert paused(account, now=NOON + timedelta(days=1)) == []


def test_soft_unlimited_and_archived_budgets_and_lenient_workspaces_pause_nothing(
    account: Account, workspace: Workspace, make_budget: Callable, spend: Callable
):
    make_budget(name="Soft")
    make_budget(name="Unlimited", limit=None, hard=True)
    make_budget(name="Archived", hard=True, archived_at=NOON)
    make_budget(name="Lenient", scope="workspace", workspace=workspace, hard=True)
    Workspace.objects.filter(pk=workspace.pk).update(enforce_hard_limits=False)
    spend(5, request_id="a")

    assert paused(account) == []


def test_nothing_passes_a_limit_of_zero_and_a_disabled_key(
    account: Account, workspace: Workspace, make_budget: Callable
):
    make_budget(limit=Decimal(0), hard=True)
    ApiKey.objects.create(workspace=workspace, identifier="ak-1", disabled_at=NOON)

    assert paused(account) == [("account", "acme", None), ("api_key", "ak-1", "finance")]


@pytest.fixture
def client(token_text: str) -> Client:
    return Client(headers={"authorization": f"Bearer {token_text}"})


def test_what_has_not_changed_is_not_sent_again(
    client: Client, account: Account, make_budget: Callable
):
    make_budget(limit=Decimal(0), hard=True, now=timezone.now())

    first = client.get(PATH)
    again = client.get(PATH, headers={"if-none-match": first["ETag"]})
    make_budget(name="Another", limit=Decimal(0), hard=True, now=timezone.now())
    changed = client.get(PATH, headers={"if-none-match": first["ETag"]})

    assert (
        first.json()["blocks"][0]["reason"] == "The account budget 'Budget' is used up this month."
    )
    assert (again.status_code, again.content) == (304, b"")
    assert (changed.status_code, len(changed.json()["blocks"])) == (200, 2)


def test_a_narrowed_token_hears_of_its_workspaces_and_of_the_account(
    account: Account, workspace: Workspace, make_budget: Callable
):
    other = Workspace.objects.create(account=account, name="Other", slug="other")
    now = timezone.now()
    make_budget(name="All", limit=Decimal(0), hard=True, now=now)
    make_budget(scope="workspace", workspace=workspace, limit=Decimal(0), hard=True, now=now)
    _, text = tokens.issue(account=account, name="n", scopes=["authorize"], workspaces=[other])

    answer = Client(headers={"authorization": f"Bearer {text}"}).get(PATH).json()

    assert [block["key"] for block in answer["blocks"]] == ["acme"]


def test_the_outsider_hears_nothing(account: Account, make_budget: Callable):
    make_budget(limit=Decimal(0), hard=True, now=timezone.now())
    globex = Account.objects.create(name="Globex", slug="globex")
    _, text = tokens.issue(account=globex, name="all", scopes=Scope.values)
    _, ingest = tokens.issue(account=account, name="ingest", scopes=["ingest"])

    assert Client(headers={"authorization": f"Bearer {text}"}).get(PATH).json() == {"blocks": []}
    assert Client(headers={"authorization": f"Bearer {ingest}"}).get(PATH).status_code == 403
    assert Client().get(PATH).status_code == 401
