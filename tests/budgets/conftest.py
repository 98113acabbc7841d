"""An account in Berlin with a workspace and a project, and a token that may do everything."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts import tokens
from accounts.models import AccessToken, Account, Project, Scope, Workspace
from budgets import authorize, ledger
from budgets.models import Budget
from usage.ingest.receive import receive

NOON = datetime(2026, 11, 18, 11, tzinfo=UTC)


@pytest.fixture
def account(db: None) -> Account:
    return Account.objects.create(name="Acme", slug="acme", time_zone="Europe/Berlin")


@pytest.fixture
def workspace(account: Account) -> Workspace:
    return Workspace.objects.create(account=account, name="Finance", slug="finance")


@pytest.fixture
def project(workspace: Workspace) -> Project:
    return Project.objects.create(workspace=workspace, tag="ledger")


@pytest.fixture
def token_text(account: Account) -> str:
    return tokens.issue(account=account, name="all", scopes=Scope.values)[1]


@pytest.fixture
def make_budget(account: Account) -> Callable[..., Budget]:
    def make(*, now: datetime = NOON, **values: Any) -> Budget:
        defaults: dict[str, Any] = {"name": "Budget", "scope": "account", "limit": Decimal(5)}
        return ledger.open_budget(Budget(account=account, **defaults | values), now=now)

    return make


@pytest.fixture
def spend(account: Account) -> Callable[..., None]:
    """Record one request of an unpriced model that counts `dollars` by the account's ceiling."""
    Account.objects.filter(pk=account.pk).update(
        ceiling_input_per_million=Decimal(1_000_000), ceiling_output_per_million=0
    )
    account.refresh_from_db()

    def record(dollars: int, *, request_id: str, at: datetime = NOON, **fields: Any) -> None:
        row = {
            "request_id": request_id,
            "model": "nobody-knows-its-price",
            "workspace": "finance",
            "input_tokens": dollars,
            "occurred_at": at.isoformat(),
        }
        answer = receive(
            [json.dumps(row | fields).encode()],
            source="native",
            account=account,
            token=None,
            now=at,
        )
        assert not answer.rejected

    return record


@pytest.fixture
def ask(token_text: str) -> Callable[..., list[dict[str, Any]]]:
    """Authorizations as a token asks for them: the one that may do everything, or another."""

    def asked(
        *asks: dict[str, Any], now: datetime = NOON, asker: str = "all"
    ) -> list[dict[str, Any]]:
        caller = AccessToken.objects.get(name=asker)
        raw = [json.dumps({"workspace": "finance"} | one).encode() for one in asks]
        prepare = authorize.preparer(token=caller, now=now)
        prepared = [prepare(authorize.decode(one)) for one in raw]
        return authorize.authorize(prepared, account_id=caller.account_id, now=now)

    return asked
