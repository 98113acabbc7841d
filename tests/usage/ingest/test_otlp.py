"""Spans as requests: which are calls, under whose names, with how many tokens."""

from typing import Any

import msgspec
import pytest

from tests.usage.ingest.exports import CALL, SPAN, TRACE, as_json, call
from usage.ingest.otlp import requests_of

OPENINFERENCES = {
    "openinference.span.kind": "LLM",
    "llm.system": "openai",
    "llm.model_name": "gpt-4o",
    "llm.token_count.prompt": 1000,
    "llm.token_count.completion": 100,
} | dict.fromkeys(CALL)
OPENROUTERS = {
    "span.type": "generation",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "anthropic/claude-haiku-4.5",
    "trace.metadata.openrouter.source": "openrouter",
    "trace.metadata.openrouter.api_key_name": "fixture key",
    "trace.metadata.openrouter.first_token_ms": 996.0,
    "gen_ai.usage.total_cost": 0.005334,
}


def requests(*spans: Any, **more: Any) -> list[dict[str, Any]]:
    return [msgspec.json.decode(row) for row in requests_of(as_json(*spans, **more), as_json=True)]


def request(attributes: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    (found,) = requests(call(attributes=attributes or {}, **more))
    return found


def test_a_call_as_a_whole():
    assert request() == {
        "request_id": f"{TRACE}:{SPAN}",
        "model": "gpt-4o",
        "requested_model": "gpt-4o",
        "provider": "openai",
        "endpoint": "/v1/chat/completions",
        "occurred_at": "2026-11-20T12:00:00Z",
        "status": 200,
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "reasoning_tokens": 0,
        "latency_ms": 2000,
        "tags": {"trace_id": TRACE},
    }


READ_AS = [
    ("model", "gpt-4o-2024-08-06", "gen_ai.response.model"),
    ("model", "m", "llm.model_name"),
    ("model", "m", "embedding.model_name"),
    ("provider", "azure", "gen_ai.provider.name"),
    ("service_tier", "flex", "openai.response.service_tier"),
    ("service_tier", "flex", "gen_ai.openai.response.service_tier"),
    ("service_tier", "flex", "gen_ai.openai.request.service_tier"),
    ("cache_read_tokens", 7, "gen_ai.usage.cache_read.input_tokens"),
    ("cache_read_tokens", 7, "gen_ai.usage.cache_read_input_tokens"),
    ("cache_read_tokens", 7, "gen_ai.usage.input_tokens.cached"),
    ("cache_read_tokens", 7, "llm.token_count.prompt_details.cache_read"),
    ("cache_write_tokens", 7, "gen_ai.usage.cache_creation.input_tokens"),
    ("cache_write_tokens", 7, "gen_ai.usage.cache_write.input_tokens"),
    ("cache_write_tokens", 7, "gen_ai.usage.cache_creation_input_tokens"),
    ("cache_write_tokens", 7, "gen_ai.usage.input_tokens.cache_write"),
    ("cache_write_tokens", 7, "llm.token_count.prompt_details.cache_write"),
    ("cache_write_1h_tokens", 7, "gen_ai.usage.input_tokens.cache_write_1h"),
    ("reasoning_tokens", 7, "gen_ai.usage.reasoning.output_tokens"),
    ("reasoning_tokens", 7, "gen_ai.usage.output_tokens.reasoning"),
    ("reasoning_tokens", 7, "llm.token_count.completion_details.reasoning"),
    ("meters", {"input_audio": 7}, "gen_ai.usage.audio.input_tokens"),
    ("meters", {"input_audio": 7}, "llm.token_count.prompt_details.audio"),
    ("meters", {"input_video": 7}, "gen_ai.usage.input_tokens.video"),
    ("meters", {"output_audio": 7}, "gen_ai.usage.audio.output_tokens"),
    ("meters", {"output_image": 7}, "gen_ai.usage.output_tokens.image"),
    ("cost", "0.25", "gen_ai.usage.total_cost"),
    ("cost", "0.25", "gen_ai.usage.cost"),
    ("cost", "0.25", "llm.cost.total"),
    ("time_to_first_token_ms", 500.0, "gen_ai.response.time_to_first_chunk"),
    ("time_to_first_token_ms", 500.0, "trace.metadata.openrouter.first_token_ms"),
    ("streamed", True, "gen_ai.request.stream"),
    ("streamed", True, "llm.is_streaming"),
    ("status", 429, "http.response.status_code"),
    ("status", 429, "http.status_code"),
    ("workspace", "research", "tokenbook.workspace"),
    ("workspace", "research", "trace.metadata.workspace"),
    ("workspace", "research", "team"),
    ("project", "web", "tokenbook.project"),
    ("project", "web", "trace.metadata.project"),
    ("project", "web", "service.name"),
    ("member", "jane", "tokenbook.member"),
    ("member", "jane", "user.email"),
    ("member", "jane", "user.id"),
    ("member", "jane", "enduser.id"),
    ("api_key", "k", "tokenbook.api_key"),
    ("api_key", "k", "trace.metadata.openrouter.api_key_name"),
    ("api_key", "k", "openrouter.api_key_name"),
    ("hold_id", "2c9f2a0e-2f0b-4a57-8f5b-6f6d3c1d2e4f", "tokenbook.hold_id"),
]


@pytest.mark.parametrize(("field", "value", "name"), READ_AS, ids=[row[2] for row in READ_AS])
def test_names_of_attributes(field, value, name):
    (sent,) = value.values() if isinstance(value, dict) else (value,)
    sent = 0.25 if field == "cost" else 0.5 if name.endswith("first_chunk") else sent

    assert request({name: sent})[field] == value


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
        ("llm.token_count.prompt", "llm.token_count.completion"),
        ("llm.usage.prompt_tokens", "llm.usage.completion_tokens"),
    ],
)
def test_names_of_tokens_in_and_out(inputs, outputs):
    (found,) = requests(
        call(attributes=dict.fromkeys(CALL) | {"llm.model_name": "m", inputs: 12, outputs: 3})
    )

    assert (found["input_tokens"], found["output_tokens"]) == (12, 3)


def test_what_is_current_comes_before_what_is_older():
    older = {"gen_ai.system": "azure", "gen_ai.usage.prompt_tokens": 1, "llm.model_name": "m"}
    newer = {"gen_ai.response.model": "gpt-4o-2024-08-06"}

    found = request(older | newer)

    assert (found["provider"], found["input_tokens"]) == ("openai", 1000)
    assert found["model"] == "gpt-4o-2024-08-06"


def test_an_attribute_of_the_process_holds_for_its_spans_unless_they_say_otherwise():
    resource = {"tokenbook.project": "shop", "tokenbook.member": "cron", "service.name": "svc"}
    own = call(attributes={"tokenbook.member": "jane", "user.id": "u7"})

    (found,) = requests(own, resource=resource)

    assert (found["project"], found["member"]) == ("shop", "jane")


@pytest.mark.parametrize("service", ["unknown_service", "unknown_service:python", "openrouter"])
def test_a_service_that_nobody_has_named_is_no_project(service):
    (found,) = requests(call(), resource={"service.name": service})

    assert "project" not in found


PARTS = {
    "as the conventions count": ((1000, 300, 100), (1000, 300, 100)),
    "nothing but cache": ((400, 300, 100), (400, 300, 100)),
    "caches beside the input": ((50, 300, 100), (450, 300, 100)),
    "nobody says the total": ((None, 300, 100), (400, 300, 100)),
}


@pytest.mark.parametrize(("sent", "counted"), PARTS.values(), ids=PARTS)
def test_the_input_has_its_cache_parts_inside(sent, counted):
    found = request({
        "gen_ai.usage.input_tokens": sent[0],
        "gen_ai.usage.cache_read.input_tokens": sent[1],
        "gen_ai.usage.cache_creation.input_tokens": sent[2],
    })  # fmt: skip

    assert counted == tuple(
        found[name] for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    )


def test_cache_writes_for_an_hour_are_part_of_all_cache_writes():
    name = "gen_ai.usage.input_tokens.cache_write"

    found = request({name: 70, f"{name}_5m": 50, f"{name}_1h": 20})

    assert (found["cache_write_tokens"], found["cache_write_1h_tokens"]) == (50, 20)


@pytest.mark.parametrize(("sent", "counted"), [(60, 100), (100, 100), (400, 500)])
def test_the_output_has_its_reasoning_inside(sent, counted):
    assert request({"gen_ai.usage.reasoning.output_tokens": sent})["output_tokens"] == counted


def test_what_is_no_text_goes_to_its_own_meter():
    found = request({
        "gen_ai.usage.audio.input_tokens": 600,
        "gen_ai.usage.image.input_tokens": 500,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.audio.output_tokens": 30,
    })  # fmt: skip

    # Never more than was used: 1,000 in, of which 100 cached, and 100 out.
    assert found["meters"] == {"input_audio": 600, "input_image": 300, "output_audio": 30}
    assert (found["input_tokens"], found["output_tokens"]) == (100, 70)


@pytest.mark.parametrize(
    ("attributes", "endpoint"),
    [
        ({}, "/v1/chat/completions"),
        ({"gen_ai.operation.name": "text_completion"}, "/v1/completions"),
        ({"gen_ai.operation.name": "generate_content"}, "/v1/generateContent"),
        ({"gen_ai.operation.name": "embeddings"}, "/v1/embeddings"),
        ({"gen_ai.operation.name": "transcribe"}, None),
        ({"gen_ai.operation.name": None}, None),
        ({"gen_ai.operation.name": None, "openinference.span.kind": "LLM"}, "/v1/chat/completions"),
        (OPENINFERENCES, "/v1/chat/completions"),
        (OPENINFERENCES | {"openinference.span.kind": "EMBEDDING"}, "/v1/embeddings"),
        (OPENINFERENCES | {"openinference.span.kind": None}, None),
    ],
    ids=str,
)  # fmt: skip
def test_calls(attributes, endpoint):
    assert request(attributes).get("endpoint") == endpoint


UNSAID = dict.fromkeys(["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"])


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.request.model": None},
        {"gen_ai.request.model": ""},
        {"gen_ai.request.model": ["gpt-4o"]},
        {"gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.operation.name": "create_agent"},
        {"gen_ai.operation.name": "execute_tool"},
        {"gen_ai.operation.name": "invoke_workflow"},
        {"gen_ai.operation.name": None} | UNSAID,
        {"gen_ai.operation.name": "search_memory"} | UNSAID,
        OPENINFERENCES | {"openinference.span.kind": "AGENT"},
        OPENINFERENCES | {"openinference.span.kind": "CHAIN"},
        OPENINFERENCES | {"openinference.span.kind": "TOOL"},
    ],
    ids=str,
)
def test_what_is_no_call_is_ignored(attributes):
    assert requests(call(attributes=attributes)) == []


@pytest.mark.parametrize(
    ("span", "status", "error_type"),
    [
        (call(), 200, None),
        (call(status={"code": 1}), 200, None),
        (call(status={"code": 2}), 500, None),
        (call(attributes={"error.type": "Timeout"}), 500, "Timeout"),
        (call(attributes={"error.type": "429"}), 429, "429"),
        (call(attributes={"error.type": "Busy", "http.status_code": 529}), 529, "Busy"),
        (call(attributes={"error.type": "Cut", "http.response.status_code": 200}), 500, "Cut"),
        (call(attributes={"http.response.status_code": 7}), 200, None),
        (call(attributes={"http.response.status_code": "404"}), 404, None),
    ],
)  # fmt: skip
def test_failures(span, status, error_type):
    (found,) = requests(span)

    assert (found["status"], found.get("error_type")) == (status, error_type)


def test_the_type_of_an_exception_says_what_failed():
    event = {"attributes": [{"key": "exception.type", "value": {"stringValue": "Timeout"}}]}

    assert request(status={"code": 2}, events=[event])["error_type"] == "Timeout"
    assert "error_type" not in request(events=[event])


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({"endTimeUnixNano": "0"}, "latency_ms", None),
        ({"endTimeUnixNano": "17"}, "latency_ms", None),
        ({"endTimeUnixNano": str(2**64 - 1)}, "latency_ms", None),
        ({"startTimeUnixNano": "0"}, "latency_ms", None),
        ({"startTimeUnixNano": "0"}, "occurred_at", None),
        (
            {"startTimeUnixNano": "1795357915899876543"},
            "occurred_at",
            "2026-11-22T14:31:55.899876Z",
        ),
    ],
)
def test_times(more, field, value):
    assert request(**more).get(field) == value


@pytest.mark.parametrize("first_token", [-1.0, 1e300, "soon", True])
def test_a_time_that_makes_no_sense_is_unknown(first_token):
    name = "gen_ai.response.time_to_first_chunk"

    assert "time_to_first_token_ms" not in request({name: first_token})


def test_openrouters_broadcast_is_one_request_its_root():
    root = call(attributes=OPENROUTERS)
    below = {"parentSpanId": SPAN, "attributes": OPENROUTERS | {"span.type": "span"}}
    attempt, generation = call(spanId="01" * 8, **below), call(spanId="02" * 8, **below)

    (found,) = requests(root, attempt, generation, resource={"service.name": "openrouter"})

    assert found["request_id"] == f"{TRACE}:{SPAN}"
    assert (found["provider"], found["model"]) == ("openrouter", "anthropic/claude-haiku-4.5")
    assert (found["api_key"], found["cost"]) == ("fixture key", "0.005334")
    assert found["time_to_first_token_ms"] == 996


def test_openrouters_root_counts_also_below_a_span_of_the_callers():
    assert request(OPENROUTERS, parentSpanId="01" * 8)["provider"] == "openrouter"


def test_openrouters_connection_test_and_sample_are_no_requests():
    probe = call(attributes=dict.fromkeys(CALL), name="openrouter-connection-test")
    sample = call(attributes=OPENROUTERS | {"source": "observability-test-button"})

    assert requests(probe, sample, resource={"service.name": "openrouter"}) == []


@pytest.mark.parametrize("sent", [1000, 1000.0, "1000", "1000.0", " 1000 ", "1e3"])
def test_counts_of_any_type(sent):
    assert request({"gen_ai.usage.input_tokens": sent})["input_tokens"] == 1000


SECRET_TEXT = "the merger is called off"


def test_no_word_of_a_prompt_is_kept():
    names = (
        *("gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "input.value"),
        *("gen_ai.system_instructions", "llm.input_messages.0.message.content"),
        *("exception.message", "trace.metadata.note", "openrouter.prompt"),
    )
    texts = dict.fromkeys(names, SECRET_TEXT)
    event = {"name": "gen_ai.content.prompt", "attributes": [
        {"key": "gen_ai.prompt", "value": {"stringValue": SECRET_TEXT}},
    ]}  # fmt: skip
    status = {"code": 2, "message": SECRET_TEXT}
    good = call(attributes=texts, name=SECRET_TEXT, events=[event], status=status)
    bad = good | {"spanId": "", "startTimeUnixNano": "1"}

    rows = requests_of(as_json(good, bad), as_json=True)

    assert len(rows) == 2
    assert SECRET_TEXT not in b"".join(rows).decode()
