"""Calls of the API, as tests make them."""

import json
from pathlib import Path
from typing import Any

from django.test import Client

from tests.factories import native

OLD = "2025-01-15T12:00:00Z"  # before any clock that this runs under
REQUESTS, USAGE, LITELLM = "/api/v1/requests/", "/api/v1/usage/", "/api/v1/ingest/litellm/"
SCHEMA = "/api/v1/usage/schema/"
EVENT = (Path(__file__).parent / "ingest/litellm/proxy_embedding.json").read_bytes()


def send(client: Client, path: str, body: Any, headers: dict[str, str], **more: Any) -> Any:
    payload = body if isinstance(body, bytes) else json.dumps(body)
    options = {"content_type": "application/json"} | more
    return client.post(path, payload, headers=headers, **options)


def error(response: Any) -> tuple[int, str]:
    """Status and code of an error, whose shape is checked."""
    assert response["Content-Type"] == "application/json"
    (found,) = response.json().values()
    assert set(found) == {"code", "message", "details"}
    assert found["message"]
    return response.status_code, found["code"]


def row(**fields: Any) -> dict[str, Any]:
    return native(occurred_at=OLD, **fields)
