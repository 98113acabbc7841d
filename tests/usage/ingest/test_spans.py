"""OTLP/HTTP in both encodings: the same spans, and named errors for whatever else comes."""

import contextlib
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import BodyTooLarge
from tests.usage.ingest.exports import (
    CALL,
    GENAI,
    OPENINFERENCE,
    SPAN,
    TRACE,
    as_json,
    as_protobuf,
    call,
    export,
)
from usage.ingest import spans
from usage.ingest.body import UnreadableBody
from usage.ingest.spans import Span, refuse_too_many_messages, spans_of

TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
RICH = call(
    parentSpanId="00f067aa0ba902b7",
    attributes={"text": "é", "double": 0.5, "flag": False, "many": ["a"], "gone": None},
    events=[{"name": "exception", "attributes": [
        {"key": "exception.type", "value": {"stringValue": "Timeout"}},
        {"key": "exception.message", "value": {"stringValue": "of a prompt"}},
    ]}],
    status={"code": 2},
)  # fmt: skip


def read(body: bytes, *, as_json: bool) -> list[Span]:
    return list(spans_of(body, as_json=as_json, wanted=lambda name: name != "unwanted"))


def test_both_encodings_are_the_same_spans():
    sent = {"resource": {"service.name": "shop", "unwanted": "x"}}

    (span,) = read(as_protobuf(RICH, **sent), as_json=False)
    (again,) = read(as_json(RICH, **sent), as_json=True)

    counts = {name: int(again.attributes[name]) for name in TOKENS}
    assert replace(again, attributes={**again.attributes, **counts}) == span
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, "00f067aa0ba902b7")
    assert (span.ended_ns - span.started_ns, span.failed) == (2 * 10**9, True)
    scalars = {
        "service.name": "shop",
        "text": "é",
        "double": 0.5,
        "flag": False,
        "exception.type": "Timeout",
    }
    assert {name: span.attributes[name] for name in scalars} == scalars
    assert {"exception.message", "many", "unwanted"} & set(span.attributes) == set()


@pytest.mark.parametrize(
    ("trace_id", "read_as"),
    [
        (TRACE, TRACE),
        (TRACE.upper(), TRACE),
        ("W47/95gDgQPSabYzgT/GDA==", TRACE),
        ("no id", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_ids_in_json_are_hex_and_base64_is_understood(trace_id, read_as):
    (span,) = read(as_json(call(traceId=trace_id)), as_json=True)

    assert span.trace_id == read_as


@pytest.mark.parametrize(
    "value", [{"intValue": "12"}, {"intValue": 12}, {"doubleValue": 12.0}, {"stringValue": "12"}]
)
def test_numbers_in_json_come_as_numbers_and_as_text(value):
    span = call(attributes={}) | {"attributes": [{"key": "n", "value": value}]}

    (found,) = read(as_json(span), as_json=True)

    assert float(found.attributes["n"]) == 12


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"resourceSpans": None},
        {"resourceSpans": [{"resource": None, "scopeSpans": None}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": None}]}]},
        {"something": {"newer": [1]}},
    ],
    ids=str,
)
def test_what_holds_no_spans_is_no_error(body):
    assert read(json.dumps(body).encode(), as_json=True) == []


@pytest.mark.parametrize("more", [{"attributes": None, "events": None, "status": None}, {"x": 1}])
def test_null_is_left_out_and_what_is_not_known_is_skipped(more):
    assert len(read(as_json(call() | more), as_json=True)) == 1


def field(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + varint(len(value)) + value


def varint(number: int) -> bytes:
    if number < 128:
        return bytes([number])
    return bytes([number & 127 | 128]) + varint(number >> 7)


def around(spans_: bytes) -> bytes:
    """An export of one process and one scope with these spans."""
    return field(0x0A, field(0x12, spans_))


def deep(levels: int) -> bytes:
    """A span with an attribute that is an array of an array of ..."""
    value = b""
    for _ in range(levels):
        value = field(0x2A, field(0x0A, value))
    return around(field(0x12, field(0x4A, field(0x12, value))))


def test_deep_values_in_json_are_skipped():
    value: dict[str, Any] = {}
    for _ in range(100):
        value = {"arrayValue": {"values": [value]}}
    span = call() | {"attributes": [{"key": "a", "value": value}]}

    assert len(read(as_json(span), as_json=True)) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'{"resourceSpans":[{"x":' + b"[" * 100_000,
        b'{"resourceSpans": 7}',
        as_json(call(startTimeUnixNano="soon")),
        as_json(call(startTimeUnixNano="-1")),
        as_json(call(startTimeUnixNano=2**64)),
        as_json(call(startTimeUnixNano=1e300)),
        as_json(call()).replace(b'"1000"', str(2**63).encode()),
        as_json(call()).replace(b"openai", b"\xff"),
        as_json(call()).replace(b"openai", b"\\ud800"),
    ],
    ids=lambda body: body[-40:],
)
def test_json_that_cannot_be_read_is_refused(body):
    with pytest.raises(UnreadableBody):
        read(body, as_json=True)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 10,
        GENAI[:-1],
        as_protobuf(call()).replace(b"openai", b"opena\xff"),
        deep(1000),
    ],
    ids=["noise", "cut", "utf-8", "deep"],
)
def test_protobuf_that_cannot_be_read_is_refused(body):
    with pytest.raises(UnreadableBody):
        read(body, as_json=False)


def test_tiny_messages_are_counted_before_they_take_memory(monkeypatch):
    monkeypatch.setattr(spans, "SMALL", 0)
    monkeypatch.setattr(spans, "MOST_MESSAGES", 50)
    few, many = [call()], [call()] * 5

    assert len(read(as_protobuf(*few), as_json=False)) == 1
    assert len(read(as_json(*few), as_json=True)) == 1
    with pytest.raises(BodyTooLarge):
        read(as_protobuf(*many), as_json=False)
    with pytest.raises(BodyTooLarge):
        read(as_json(*many), as_json=True)


@pytest.mark.parametrize("head", [b"", b"\x98\x06", b"\x0a"], ids=["tag", "value", "length"])
def test_megabytes_of_one_number_are_refused_at_once(head):
    body = head + b"\xff" * 2 * spans.SMALL + b"\x01"

    began = time.process_time()
    with pytest.raises(UnreadableBody):
        read(body, as_json=False)

    assert time.process_time() - began < 1


@pytest.mark.parametrize("tiny", [b"\x12\x00", b"\x12\x02\x6a\x00", b"\x12\x02\x4a\x00"])
def test_megabytes_of_tiny_spans_links_and_attributes_are_refused(monkeypatch, tiny):
    monkeypatch.setattr(spans, "MOST_MESSAGES", 10_000)
    body = around(tiny * (spans.SMALL // len(tiny)))

    with pytest.raises(BodyTooLarge):
        read(body, as_json=False)


@pytest.mark.parametrize("body", [GENAI, OPENINFERENCE])
def test_every_field_of_what_exporters_send_is_walked_past(body):
    refuse_too_many_messages(body)


NOISE = st.binary(max_size=200)
SPLICES = st.tuples(st.sampled_from([GENAI, OPENINFERENCE]), st.integers(0, 2400), NOISE)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)
KINDS = ("stringValue", "intValue", "doubleValue", "boolValue", "arrayValue")


@settings(max_examples=200, deadline=None)
@given(body=NOISE | SPLICES.map(lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]))
def test_no_bytes_are_more_than_unreadable_protobuf(body):
    with contextlib.suppress(UnreadableBody):
        assert all(isinstance(span, Span) for span in read(body, as_json=False))
        refuse_too_many_messages(body)  # what the decoder reads, this reads too


FIELDS = ("traceId", "spanId", "startTimeUnixNano", "attributes", "events", "status")


@settings(max_examples=100, deadline=None)
@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), VALUES),
    key=st.sampled_from(sorted(CALL)) | VALUES,
    value=st.dictionaries(st.sampled_from(KINDS), VALUES, max_size=2) | VALUES,
)
def test_no_values_are_more_than_unreadable_json(fields, key, value):
    span = call() | {"attributes": [{"key": key, "value": value}]} | fields

    with contextlib.suppress(UnreadableBody):
        assert len(read(json.dumps(export(span)).encode(), as_json=True)) == 1
