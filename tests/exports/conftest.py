"""Acme with two workspaces and a few requests, and another company that must not be seen.

Downloads read on a connection of their own, so that what they read must be committed.
"""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, Workspace
from tests.factories import bearer, make_account, make_workspace, native, post, small_price_book

COSTS = ("0.0035", "0.0123456785", "3.5")


@pytest.fixture
def acme(transactional_db: None) -> Account:
    small_price_book()
    return make_account(time_zone="America/New_York")


@pytest.fixture
def research(acme: Account) -> Workspace:
    return make_workspace(acme)


@pytest.fixture
def requests(research: Workspace) -> None:
    """Three priced requests on two days, one that has no price, and another company's."""
    post(
        research.account,
        native(request_id="a", workspace="research", project="apollo", member="ada@acme.test"),
        native(
            request_id="b", workspace="research", occurred_at="2026-11-19T23:30:00Z", cost="0.5"
        ),
        native(request_id="c", workspace="support", input_tokens=999_999, output_tokens=7),
        native(request_id="d", workspace="research", model="unheard-of", status=200),
    )
    post(make_account("rival"), native(request_id="secret", workspace="research"))


class Downloads:
    """What a script does with the API: fetch a file and read it."""

    def __init__(self, client: Client, headers: dict[str, str]) -> None:
        self.client, self.headers = client, headers

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", parameters, headers=self.headers)

    def text(self, name: str, **parameters: Any) -> str:
        response = self.get(f"exports/{name}", **parameters)
        assert response.status_code == 200, response.content
        return b"".join(response.streaming_content).decode()

    def csv(self, name: str, **parameters: Any) -> list[dict[str, str]]:
        text = self.text(f"{name}.csv", **parameters)
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))

    def json(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        return json.loads(self.text(f"{name}.json", **parameters))


@pytest.fixture
def downloads(client: Client, acme: Account) -> Downloads:
    return Downloads(client, bearer(acme, "export", "read"))
