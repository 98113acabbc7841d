"""Posting to the API: bodies of every kind, what is answered, and what is refused."""

import gzip
import json
from typing import Any

import pytest
from django.db import OperationalError

from tests.factories import bearer, log, native, post
from tests.usage.calls import EVENT, LITELLM, REQUESTS, error, row, send
from usage.models import QuarantinedRow


def test_posted_rows_are_stored_and_counted(client, account):
    headers = bearer(account, "ingest")
    rows = [row(request_id="a"), row(request_id="b"), row(request_id="a")]

    first = send(client, REQUESTS, rows, headers)
    again = send(client, REQUESTS, rows, headers)

    assert first.json() == {"accepted": 2, "duplicates": 1, "rejected": []}
    assert again.json() == {"accepted": 0, "duplicates": 3, "rejected": []}


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (json.dumps(row()).encode(), {}),
        (json.dumps([row()]).encode(), {}),
        (json.dumps(row()).encode() + b"\n", {"content_type": "application/x-ndjson"}),
        (json.dumps([row()]).encode(), {"content_type": "text/plain"}),
        (json.dumps([row()]).encode(), {"content_type": "application/x-www-form-urlencoded"}),
        (json.dumps([row()]).encode(), {"content_type": "multipart/form-data; boundary=x"}),
        (json.dumps([row()]).encode(), {"content_type": ""}),
        (gzip.compress(json.dumps([row()]).encode()), {"HTTP_CONTENT_ENCODING": "gzip"}),
    ],
    ids=["object", "array", "ndjson", "text", "form", "multipart", "untyped", "gzip"],
)
def test_bodies_of_every_kind(client, account, body, more):
    assert send(client, REQUESTS, body, bearer(account, "ingest"), **more).json()["accepted"] == 1


def test_a_bad_row_is_answered_for_and_set_aside(client, account):
    rows = [row(), {"request_id": "bad", "model": "m", "colour": "red"}, 7]

    response = send(client, REQUESTS, rows, bearer(account, "ingest"))

    assert response.status_code == 200
    assert response.json() == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": [
            {
                "index": 1,
                "request_id": "bad",
                "errors": [
                    {
                        "field": "colour",
                        "message": "There is no field 'colour'. Put what has no field into tags.",
                    }
                ],
            },
            {
                "index": 2,
                "request_id": None,
                "errors": [{"field": "", "message": "Expected `object`, got `int`."}],
            },
        ],
    }
    assert set(QuarantinedRow.objects.values_list("request_id", flat=True)) == {"bad", ""}


@pytest.mark.parametrize(
    ("body", "more", "where"),
    [
        (b"", {}, "empty"),
        (b"{", {}, "truncated"),
        (b"[1,]", {}, "byte 3"),
        (b"\x00", {}, "NUL"),
        (b"[" * 100_000, {}, "not JSON"),
        (b"plain", {"HTTP_CONTENT_ENCODING": "gzip"}, "Content-Encoding"),
        (gzip.compress(b"[]" * 99)[:20], {"HTTP_CONTENT_ENCODING": "gzip"}, "cut off"),
        (b"[]", {"HTTP_CONTENT_ENCODING": "br"}, "'br'"),
    ],
    ids=["empty", "cut", "comma", "nul", "deep", "not-gzip", "cut-gzip", "br"],
)
def test_an_unreadable_body_is_refused_with_where_it_broke(client, account, body, more, where):
    response = send(client, REQUESTS, body, bearer(account, "ingest"), **more)

    assert error(response) == (400, "unreadable_body")
    assert where in response.json()["error"]["message"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_that_is_too_large_is_refused(client, account, settings, packed):
    settings.INGEST_MAX_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = json.dumps([row() for _ in range(9)]).encode()
    more = {"HTTP_CONTENT_ENCODING": "gzip"} if packed else {}

    response = send(
        client, REQUESTS, gzip.compress(body) if packed else body, bearer(account, "ingest"), **more
    )

    assert error(response) == (413, "body_too_large")


def test_when_the_store_is_down_gateways_are_told_to_come_back(client, account, monkeypatch):
    def down(rows: Any, *, account_id: int) -> None:
        raise OperationalError("connection refused")

    headers = bearer(account, "ingest")
    monkeypatch.setattr("usage.ingest.record.on_recorded", [down])

    response = send(client, REQUESTS, [row()], headers)

    assert error(response) == (503, "unavailable")
    assert int(response["Retry-After"]) > 0


def test_litellms_events_are_stored(client, account):
    response = send(client, LITELLM, b"[" + EVENT + b"]", bearer(account, "ingest"))

    assert response.json()["accepted"] + len(response.json()["rejected"]) == 1
    assert send(client, LITELLM, EVENT, bearer(account, "ingest")).status_code == 200


def test_a_request_of_another_tenant_is_not_overwritten(client, account, outsiders_workspace):
    post(outsiders_workspace.account, native(request_id="r", workspace="research", input_tokens=7))

    send(client, REQUESTS, row(request_id="r", workspace="research"), bearer(account, "ingest"))

    assert {r["workspace_id"] == outsiders_workspace.pk: r["input"] for r in log()} == {
        True: 7,
        False: 1000,
    }
