"""Exported spans in the request log: at what price, once, and set aside where they cannot be."""

import contextlib
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.errors import BodyTooLarge
from tests.factories import NOW, log, make_account, post, small_price_book
from tests.usage.ingest.exports import (
    CALL,
    GENAI,
    OPENINFERENCE,
    TRACE,
    as_json,
    as_protobuf,
    call,
)
from tests.usage.ingest.recorded import NO_TOKENS, price_book
from tests.usage.ingest.recorded import NOW as RECORDED_NOW
from usage.ingest import otlp
from usage.ingest.otlp import requests_of
from usage.ingest.receive import Received
from usage.ingest.resend import send_again
from usage.ingest.schema import RowError, decode_with
from usage.ingest.sources import SOURCES
from usage.models import QuarantinedRow


def post_export(account: Any, body: bytes, *, as_json: bool = False, now: Any = NOW) -> Received:
    return post(account, *requests_of(body, as_json=as_json), source="otlp", now=now)


EXPECTED = {
    GENAI: [
        NO_TOKENS
        | {
            "request_id": "2df57c6f3556c1861caf29463e30930c:539ae01a9ae52bb9",
            "model": "gpt-4o",
            "status": 500,
            "error_type": "openai.APIConnectionError",
            "project": "svc-genai",
            "latency_ms": 2,
            "cost": 0,
        },
        NO_TOKENS
        | {
            "request_id": "6f2d61c1907429a5762acf59f9f5bf04:86c774e3fad44057",
            "workspace": "finance",
            "project": "svc-genai",
            "member": None,
            "api_key": None,
            "provider": "openai",
            "model": "gpt-4o-mini-2024-07-18",
            "requested_model": "gpt-4o-mini",
            "endpoint": "/v1/chat/completions",
            "service_tier": "flex",
            "status": 200,
            "error_type": None,
            "input": 200,
            "cache_read": 1000,
            "output": 300,
            "reasoning": 200,
            # 200 * 0.15 + 1,000 * 0.075 + 300 * 0.60 a million: flex has no price of its own
            "cost": Decimal("0.000285"),
            "reported_cost": None,
            "latency_ms": 17,
            "tags": {"trace_id": "6f2d61c1907429a5762acf59f9f5bf04"},
        },
    ],
    OPENINFERENCE: [
        NO_TOKENS
        | {
            "request_id": "942f684cc1189922e8075d4d4409ce2e:442da8428642f746",
            "workspace": "finance",
            "project": "svc-oi",
            "provider": "openai",
            "model": "gpt-4o-mini-2024-07-18",
            "requested_model": None,
            "endpoint": "/v1/chat/completions",
            "status": 200,
            "input": 200,
            "cache_read": 1000,
            "output": 300,
            "reasoning": 200,
            "cost": Decimal("0.000285"),
            "latency_ms": 21,
        },
    ],
}


@pytest.mark.parametrize("body", EXPECTED, ids=["genai", "openinference"])
def test_recorded_exports(account, body):
    price_book()

    answer = post_export(account, body, now=RECORDED_NOW)

    assert answer.rejected == []
    rows = log()
    assert len(rows) == len(EXPECTED[body])
    for row, expected in zip(rows, EXPECTED[body], strict=True):
        assert {name: row[name] for name in expected} == expected


def test_a_recorded_export_costs_what_it_says(account):
    price_book()

    for body in EXPECTED:
        post_export(account, body, now=RECORDED_NOW)

    assert sum(row["cost"] for row in log()) == Decimal("0.00057")


def test_sent_37_times_in_either_encoding_it_is_stored_once(account):
    small_price_book()
    post_export(account, as_protobuf(call()))
    before = log()

    answers = [post_export(account, as_json(call()), as_json=True) for _ in range(37)]

    assert {(a.accepted, a.duplicates, len(a.rejected)) for a in answers} == {(0, 1, 0)}
    assert log() == before
    assert before[0]["cost"] == Decimal("0.0035")


@pytest.mark.parametrize("count", [0, None])
def test_what_an_answer_used_is_unknown_where_nobody_says_it(account, count):
    unsaid = {"gen_ai.usage.input_tokens": count, "gen_ai.usage.output_tokens": count}

    post_export(account, as_protobuf(call(attributes=unsaid)))

    assert log()[0] | {"cost": None, "ceiling_cost": 0} == log()[0]


BROKEN = {
    "gen_ai.usage.input_tokens": (-1, 12.5, True, "many", "1e999999999", 2**62, 1e300),
    "gen_ai.usage.cache_read.input_tokens": (-1, "NaN", "-Infinity"),
    "gen_ai.usage.audio.input_tokens": (-1, "loud"),
    "gen_ai.usage.total_cost": (-1.0, "free", 1e300, "NaN"),
    "gen_ai.request.model": ("a\x00b",),
    "tokenbook.hold_id": ("mine",),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BROKEN.items() for value in values]
)
def test_a_call_that_cannot_be_recorded_is_set_aside_and_costs_its_neighbours_nothing(
    account, name, value
):
    broken = call(spanId="01" * 8, attributes={name: value})

    answer = post_export(account, as_json(call(), broken), as_json=True)

    assert (answer.accepted, len(answer.rejected)) == (1, 1)
    (row,) = QuarantinedRow.objects.all()
    assert (row.source, row.request_id) == ("otlp", f"{TRACE}:{'01' * 8}")
    assert msgspec.json.decode(row.body)["model"]


@pytest.mark.parametrize("ids", [{"traceId": ""}, {"spanId": "0" * 16}, {"traceId": "not hex!"}])
def test_a_call_without_an_id_is_set_aside(account, ids):
    (rejected,) = post_export(account, as_json(call(**ids)), as_json=True).rejected

    assert rejected.error.field == "request_id"


def test_what_was_set_aside_can_be_corrected_and_sent_again(account):
    small_price_book()
    post_export(account, as_protobuf(call(attributes={"gen_ai.usage.input_tokens": -1000})))
    row = QuarantinedRow.objects.get()
    row.body = row.body.replace("-1000", "1000")

    assert send_again(row, now=NOW) == []

    assert [stored["cost"] for stored in log()] == [Decimal("0.0035")]


def test_a_secret_key_is_kept_as_its_digest_only(account):
    secret = "sk-" + "a" * 40
    post_export(
        account, as_protobuf(call(spanId="00" * 8, attributes={"tokenbook.api_key": secret}))
    )

    assert secret not in QuarantinedRow.objects.get().body


def test_more_spans_than_a_body_may_have_are_refused(monkeypatch):
    monkeypatch.setattr(otlp, "MOST_ROWS", 3)

    assert len(requests_of(as_protobuf(*[call()] * 3), as_json=False)) == 3
    with pytest.raises(BodyTooLarge):
        requests_of(as_protobuf(*[call()] * 4), as_json=False)


ANY_VALUES = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.sampled_from(["", "1e999999999", "-0", "0x1", "sNaN", "\x00", "\ud7ff", "9" * 5000])
)
SPANS = st.dictionaries(
    st.sampled_from(sorted(name for name in otlp.READ if name not in CALL)), ANY_VALUES, max_size=6
)


@pytest.mark.django_db
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    spans=st.lists(st.tuples(SPANS, st.integers(0, 2**64 - 1), st.binary(max_size=9)), max_size=4)
)
def test_any_span_is_recorded_ignored_or_set_aside(spans):
    sent = [
        call(attributes=attributes, spanId=span_id.hex())
        | {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start // 2)}
        for attributes, start, span_id in spans
    ]
    body = as_protobuf(*sent)
    rows = requests_of(body, as_json=False)

    with transaction.atomic():
        answer = post_export(make_account(), body)
        assert answer.accepted + answer.duplicates + len(answer.rejected) == len(rows)
        transaction.set_rollback(True)


@settings(max_examples=200, deadline=None)
@given(attributes=SPANS)
def test_no_attribute_is_more_than_a_named_error(attributes):
    for row in requests_of(as_protobuf(call(attributes=attributes)), as_json=False):
        with contextlib.suppress(RowError):
            decode_with(SOURCES["otlp"].decode, row)
