"""Acme with two workspaces, and an outsider's account, for every test of usage."""

import pytest

from accounts.models import Account, Workspace
from tests.factories import make_account, make_workspace
from usage import requests


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, searches are finished."""
    monkeypatch.setattr(requests, "PATIENCE_SECONDS", 600)


@pytest.fixture
def account(db: None) -> Account:
    return make_account("acme")


@pytest.fixture
def workspace(account: Account) -> Workspace:
    """The member's own workspace."""
    return make_workspace(account, "research")


@pytest.fixture
def colleagues_workspace(account: Account) -> Workspace:
    return make_workspace(account, "support")


@pytest.fixture
def outsiders_workspace(db: None) -> Workspace:
    return make_workspace(make_account("globex"), "research")
