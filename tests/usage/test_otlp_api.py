"""The route for OpenTelemetry traces: as exporters call it, and as they should not."""

import gzip
import http.client
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.factories import bearer, count, log, small_price_book
from tests.usage.calls import error
from tests.usage.ingest.exports import as_json, as_protobuf, call
from usage.models import QuarantinedRow

TRACES = "/api/v1/otlp/v1/traces"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
OLD = datetime(2025, 1, 15, 12, tzinfo=UTC)  # before any clock that this runs under
GOOD = call(at=OLD)
BAD = call(at=OLD, spanId="01" * 8, attributes={"gen_ai.usage.input_tokens": -1})


@pytest.fixture
def ingest(account: Any) -> dict[str, str]:
    return bearer(account, "ingest")


def export(client: Any, body: bytes, headers: dict[str, str], **more: Any) -> Any:
    return client.post(
        more.pop("path", TRACES), body, headers=headers, **{"content_type": PROTOBUF} | more
    )


def answer(response: Any) -> ExportTraceServiceResponse:
    assert (response.status_code, response["Content-Type"]) == (200, PROTOBUF)
    return ExportTraceServiceResponse.FromString(response.content)


def refusal(response: Any) -> str:
    assert response["Content-Type"] == PROTOBUF
    return Status.FromString(response.content).message


@pytest.mark.parametrize("path", [TRACES, f"{TRACES}/"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_export_in_protobuf_is_recorded(client, ingest, path, packed):
    small_price_book()
    body = as_protobuf(GOOD)
    more = {"HTTP_CONTENT_ENCODING": "gzip"} if packed else {}

    response = export(client, gzip.compress(body) if packed else body, ingest, path=path, **more)

    assert answer(response) == ExportTraceServiceResponse()
    assert [(row["cost"], row["occurred_at"]) for row in log()] == [(Decimal("0.0035"), OLD)]


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8"])
def test_an_export_in_json_is_answered_in_json(client, ingest, content_type):
    response = export(client, as_json(GOOD), ingest, content_type=content_type)

    assert (response.status_code, response["Content-Type"]) == (200, JSON)
    assert response.json() == {}
    assert count("usage_requestlog") == 1


@pytest.mark.parametrize("accept", ["*/*", PROTOBUF, JSON, "text/csv"])
def test_the_answer_is_encoded_as_the_request_is(client, ingest, accept):
    response = export(client, as_protobuf(GOOD), ingest, HTTP_ACCEPT=accept)

    assert answer(response) == ExportTraceServiceResponse()


def test_an_export_sent_again_changes_nothing(client, ingest):
    export(client, as_protobuf(GOOD), ingest)
    before = log()

    for content_type, body in [(PROTOBUF, as_protobuf(GOOD)), (JSON, as_json(GOOD))]:
        assert export(client, body, ingest, content_type=content_type).status_code == 200

    assert log() == before


def test_what_is_rejected_is_counted_and_set_aside(client, ingest):
    partial = answer(export(client, as_protobuf(GOOD, BAD), ingest)).partial_success

    assert partial.rejected_spans == 1
    assert "input_tokens" in partial.error_message
    assert (count("usage_requestlog"), QuarantinedRow.objects.count()) == (1, 1)


def test_what_is_rejected_is_counted_in_json_too(client, ingest):
    partial = export(client, as_json(GOOD, BAD), ingest, content_type=JSON).json()

    assert partial["partialSuccess"]["rejectedSpans"] == "1"
    assert "input_tokens" in partial["partialSuccess"]["errorMessage"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", PROTOBUF),
        (b"", JSON),
        (b"", ""),
        (b"{}", JSON),
        (b'{"resourceSpans": []}', JSON),
        (as_protobuf(), PROTOBUF),
        (as_protobuf(call(attributes={"gen_ai.request.model": None})), PROTOBUF),
    ],
)
def test_an_export_of_nothing_is_a_success(client, ingest, body, content_type):
    sent = {"content_type": content_type, "CONTENT_TYPE": content_type}

    response = export(client, body, ingest, HTTP_X_TEST_CONNECTION="true", **sent)

    assert response.status_code == 200
    assert response.content == (b"" if content_type == PROTOBUF else b"{}")
    assert count("usage_requestlog") == count("usage_quarantinedrow") == 0


def test_what_cannot_be_read_is_refused_for_good(client, ingest):
    binary = export(client, b"\xff\xff", ingest)
    text = export(client, b"{", ingest, content_type=JSON)

    assert (binary.status_code, "OTLP" in refusal(binary)) == (400, True)
    assert error(text) == (400, "unreadable_body")


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/grpc"])
def test_another_content_type_is_refused(client, ingest, content_type):
    response = export(client, as_protobuf(GOOD), ingest, content_type=content_type)

    assert error(response) == (415, "unsupported_media_type")


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_too_large_is_refused(client, ingest, settings, packed):
    settings.INGEST_MAX_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2000
    body = as_protobuf(*[GOOD] * 99)
    more = {"HTTP_CONTENT_ENCODING": "gzip"} if packed else {}

    response = export(client, gzip.compress(body) if packed else body, ingest, **more)

    assert (response.status_code, "2,000 bytes" in refusal(response)) == (413, True)


def test_a_bomb_is_refused_before_it_fills_the_memory(client, ingest, settings):
    bomb = gzip.compress(bytes(settings.INGEST_MAX_BYTES + 1), 1)

    assert export(client, bomb, ingest, HTTP_CONTENT_ENCODING="gzip").status_code == 413


@pytest.mark.parametrize(
    ("scopes", "status"), [(None, 401), (("read",), 403), (("read", "manage", "authorize"), 403)]
)
def test_who_may_not_ingest_is_refused(client, account, scopes, status):
    headers = {} if scopes is None else bearer(account, *scopes)

    response = export(client, as_protobuf(GOOD), headers)

    assert (response.status_code, bool(refusal(response))) == (status, True)
    assert count("usage_requestlog") == 0


def test_a_token_of_one_workspace_records_in_no_other(client, account, workspace):
    headers = bearer(account, "ingest", workspaces=[workspace])
    other = call(at=OLD, spanId="01" * 8, attributes={"tokenbook.workspace": "finance"})

    partial = answer(export(client, as_protobuf(GOOD, other), headers)).partial_success

    assert partial.rejected_spans == 1
    assert [row["workspace"] for row in log()] == ["research"]


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_nothing_but_post_is_allowed(client, ingest, method):
    assert getattr(client, method)(TRACES, headers=ingest).status_code == 405


@pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, as_protobuf), (JSON, as_json)])
def test_when_the_store_is_down_exporters_are_told_to_come_back(
    client, ingest, monkeypatch, content_type, body
):
    def down(rows: Any, *, account_id: int) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("usage.ingest.record.on_recorded", [down])

    response = export(client, body(GOOD), ingest, content_type=content_type)

    assert (response.status_code, response["Content-Type"]) == (503, content_type)
    assert int(response["Retry-After"]) > 0


@pytest.mark.django_db(transaction=True)
def test_an_export_in_chunks_is_recorded(account, live_web):
    # As the exporter for Node.js sends it, compressed or not.
    body = gzip.compress(as_protobuf(GOOD))
    headers = bearer(account, "ingest") | {
        "Content-Type": PROTOBUF,
        "Content-Encoding": "gzip",
        "Transfer-Encoding": "chunked",
    }
    connection = http.client.HTTPConnection(urlsplit(live_web.url).netloc, timeout=30)

    connection.request("POST", TRACES, pieces(body), headers, encode_chunked=True)

    assert connection.getresponse().status == 200
    assert count("usage_requestlog") == 1


def pieces(body: bytes) -> Iterator[bytes]:
    yield from (body[at : at + 10] for at in range(0, len(body), 10))


def test_chunks_are_refused_where_nobody_knows_their_end(client, ingest):
    response = export(client, b"", ingest, HTTP_TRANSFER_ENCODING="chunked")

    assert response.status_code == 411


def test_chunks_are_read_up_to_what_a_body_may_have(client, ingest, settings):
    settings.INGEST_MAX_BYTES = 10
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}

    assert export(client, b"12345678901", ingest, **chunked).status_code == 413
