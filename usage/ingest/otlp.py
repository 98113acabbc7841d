"""OpenTelemetry traces: spans of the GenAI conventions become native requests.

Names of attributes move between versions and emitters, so each field has a list of names, the
current one first: OpenTelemetry's `gen_ai.*` newer and older, OpenInference's `llm.*`, and what
OpenRouter's broadcast sends. docs/gateways.md states the rules.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from accounts.errors import BodyTooLarge
from usage.ingest.body import MOST_ROWS
from usage.ingest.spans import EXCEPTION_TYPE, Span, Value, spans_of

ALIASES: dict[str, tuple[str, ...]] = {
    "model": (
        "gen_ai.response.model",
        "llm.model_name",
        "llm.response.model",
        "embedding.model_name",
        "gen_ai.request.model",
        "llm.request.model",
    ),
    "requested_model": ("gen_ai.request.model", "llm.request.model"),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "service_tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "openai.request.service_tier",
        "gen_ai.openai.request.service_tier",
    ),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
    ),
    # For 5 minutes and 1 hour together.
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "llm.token_count.prompt_details.cache_write",
    ),
    "cache_write_1h_tokens": ("gen_ai.usage.input_tokens.cache_write_1h",),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "llm.token_count.completion_details.reasoning",
    ),
    "input_audio": (
        "gen_ai.usage.audio.input_tokens",
        "gen_ai.usage.input_tokens.audio",
        "llm.token_count.prompt_details.audio",
    ),
    "input_image": ("gen_ai.usage.image.input_tokens",),
    "input_video": ("gen_ai.usage.video.input_tokens", "gen_ai.usage.input_tokens.video"),
    "output_audio": (
        "gen_ai.usage.audio.output_tokens",
        "llm.token_count.completion_details.audio",
    ),
    "output_image": ("gen_ai.usage.output_tokens.image",),
    "cost": ("gen_ai.usage.total_cost", "gen_ai.usage.cost", "llm.cost.total"),
    "first_token_seconds": ("gen_ai.response.time_to_first_chunk",),
    "first_token_ms": ("trace.metadata.openrouter.first_token_ms",),
    "streamed": ("gen_ai.request.stream", "llm.is_streaming"),
    "status": ("http.response.status_code", "http.status_code"),
    "error_type": ("error.type", EXCEPTION_TYPE),
    "operation": ("gen_ai.operation.name", "openinference.span.kind"),
    "workspace": ("tokenbook.workspace", "trace.metadata.workspace", "team"),
    "project": ("tokenbook.project", "trace.metadata.project"),
    "service": ("service.name",),
    "member": (
        "tokenbook.member",
        "trace.metadata.member",
        "user.email",
        "user.id",
        "enduser.id",
    ),
    "api_key": (
        "tokenbook.api_key",
        "trace.metadata.openrouter.api_key_name",
        "openrouter.api_key_name",
    ),
    "hold_id": ("tokenbook.hold_id",),
    "kind": ("span.type",),
    "source": ("source",),
}
READ = frozenset(name for names in ALIASES.values() for name in names)
OPENROUTER = ("openrouter.", "trace.metadata.openrouter.")

CALLS = {
    "chat": "/v1/chat/completions",
    "text_completion": "/v1/completions",
    "generate_content": "/v1/generateContent",
    "embeddings": "/v1/embeddings",
    "LLM": "/v1/chat/completions",
    "EMBEDDING": "/v1/embeddings",
}
# What stands around calls repeats their sums.
WRAPPERS = frozenset(
    {"create_agent", "invoke_agent", "invoke_workflow", "execute_tool", "plan", "retrieval"}
    | {"AGENT", "CHAIN", "TOOL", "RETRIEVER", "RERANKER", "GUARDRAIL", "EVALUATOR", "PROMPT"}
)
TOKENS = frozenset(ALIASES["input_tokens"] + ALIASES["output_tokens"])
COUNTS = (
    *("input_tokens", "output_tokens", "cache_read_tokens"),
    *("cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens"),
)
BESIDE_INPUT = ("input_audio", "input_image", "input_video")
BESIDE_OUTPUT = ("output_audio", "output_image")
# The trace that a button in OpenRouter's settings sends: no such call was made.
OPENROUTERS_SAMPLE = "observability-test-button"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_TEXT = 200
LONGEST_MS = 2_000_000_000
MOST_TOKENS = 10**12  # more is no count, and 1e999999999 has as many digits


def requests_of(body: bytes, *, as_json: bool) -> list[bytes]:
    """The requests that an export tells of, as native JSON. Raises UnreadableBody, BodyTooLarge."""
    rows: list[bytes] = []
    for number, span in enumerate(spans_of(body, as_json=as_json, wanted=is_read), 1):
        if number > MOST_ROWS:
            raise BodyTooLarge(f"A body may have {MOST_ROWS:,} spans; export smaller batches.")
        if is_a_call(span):
            rows.append(msgspec.json.encode(request_of(span)))
    return rows


def is_read(name: str) -> bool:
    return name in READ or name.startswith(OPENROUTER)


def is_a_call(span: Span) -> bool:
    """Whether the span is one billed call of a model, counted by no other span."""
    if first(span, "model") is None or first(span, "source") == OPENROUTERS_SAMPLE:
        return False
    if is_openrouters(span):
        # The root may hang under a span of the caller's own; those below it repeat it.
        return not span.parent_id or first(span, "kind") == "generation"
    operation = first(span, "operation")
    if operation in CALLS:
        return True
    return operation not in WRAPPERS and not TOKENS.isdisjoint(span.attributes)


def is_openrouters(span: Span) -> bool:
    if span.attributes.get("service.name") == "openrouter":
        return True
    return any(name.startswith(OPENROUTER) for name in span.attributes)


def request_of(span: Span) -> dict[str, Any]:
    """The fields of a native request, not checked yet: a count or cost that is none stays as it
    came, for the schema to refuse and for people to correct.
    """
    request = {
        "request_id": request_id_of(span),
        "model": text(span, "model"),
        "requested_model": text(span, "requested_model"),
        "provider": "openrouter" if is_openrouters(span) else text(span, "provider"),
        "endpoint": CALLS.get(str(first(span, "operation"))),
        "occurred_at": moment_of(span),
        "status": status_of(span),
        "error_type": text(span, "error_type") if has_failed(span) else None,
        **tokens_of(span),
        "service_tier": text(span, "service_tier"),
        "latency_ms": latency_of(span),
        "time_to_first_token_ms": first_token_of(span),
        "streamed": streamed_of(span),
        "cost": cost_of(span),
        "workspace": text(span, "workspace"),
        "project": project_of(span),
        "member": text(span, "member"),
        "api_key": text(span, "api_key"),
        "hold_id": text(span, "hold_id"),
        "tags": {"trace_id": span.trace_id} if span.trace_id else None,
    }
    return {name: value for name, value in request.items() if value is not None}


def request_id_of(span: Span) -> str:
    """Trace and span; nothing where one of them is missing or all zeros, which is no id."""
    if not span.trace_id.strip("0") or not span.span_id.strip("0"):
        return ""
    return f"{span.trace_id}:{span.span_id}"


def moment_of(span: Span) -> datetime | None:
    return EPOCH + timedelta(microseconds=span.started_ns // 1000) if span.started_ns else None


def has_failed(span: Span) -> bool:
    return span.failed or bool(span.attributes.get("error.type"))


def status_of(span: Span) -> int:
    """The HTTP status where the span tells it, which some do as the error's type."""
    least = 400 if has_failed(span) else 100
    for name in ("status", "error_type"):
        status = whole(first(span, name))
        if isinstance(status, int) and least <= status <= 599:
            return status
    return 500 if has_failed(span) else 200


def tokens_of(span: Span) -> dict[str, Any]:
    """The fields of a native request that are counted; null where nobody says."""
    names = (*COUNTS, *BESIDE_INPUT, *BESIDE_OUTPUT)
    said = {name: whole(count) for name in names if (count := first(span, name)) is not None}
    if all(type(count) is int and count >= 0 for count in said.values()):
        return arranged(said)
    meters = {name: said.pop(name) for name in (*BESIDE_INPUT, *BESIDE_OUTPUT) if name in said}
    return said | {"meters": meters or None}


def arranged(said: dict[str, Any]) -> dict[str, Any]:
    """The same tokens as a native request counts them, each once.

    By the conventions a total includes its parts. An emitter whose parts are more than their total
    counts them beside it. Audio, image and video tokens go from the totals to their own meters.
    """
    counts = dict.fromkeys(COUNTS, 0) | said
    written_1h = counts["cache_write_1h_tokens"]
    written_5m = max(counts["cache_write_tokens"] - written_1h, 0)
    cached = counts["cache_read_tokens"] + written_5m + written_1h
    inputs = including(counts["input_tokens"], cached)
    outputs = including(counts["output_tokens"], counts["reasoning_tokens"])
    # What is cached counts as text, which is all that the conventions know of it.
    of_input = no_more_than(inputs - cached, counts, BESIDE_INPUT)
    of_output = no_more_than(outputs - counts["reasoning_tokens"], counts, BESIDE_OUTPUT)
    inputs -= sum(of_input.values())
    outputs -= sum(of_output.values())
    return {
        # Zero is what emitters say where the provider said nothing: no call uses nothing at all.
        "input_tokens": inputs or None,
        "output_tokens": outputs or None,
        "cache_read_tokens": counts["cache_read_tokens"],
        "cache_write_tokens": written_5m,
        "cache_write_1h_tokens": written_1h,
        "reasoning_tokens": counts["reasoning_tokens"],
        "meters": of_input | of_output or None,
    }


def no_more_than(total: int, counts: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    """The counts by these names that are not zero, cut off where they exceed the total."""
    kept: dict[str, int] = {}
    for name in names:
        count = min(counts.get(name, 0), total - sum(kept.values()))
        if count:
            kept[name] = count
    return kept


def including(total: int, part: int) -> int:
    return total if part <= total else total + part


def cost_of(span: Span) -> Value | Decimal:
    value = first(span, "cost")
    dollars = decimal_of(value)
    return value if dollars is None else dollars


def latency_of(span: Span) -> float | None:
    return sensible((span.ended_ns - span.started_ns) / 1e6) if span.started_ns else None


def first_token_of(span: Span) -> float | None:
    for name, to_ms in (("first_token_seconds", 1000), ("first_token_ms", 1)):
        number = decimal_of(first(span, name))
        if number is not None:
            return sensible(float(number) * to_ms)
    return None


def sensible(milliseconds: float) -> float | None:
    return milliseconds if 0 <= milliseconds <= LONGEST_MS else None


def streamed_of(span: Span) -> bool | None:
    value = first(span, "streamed")
    return value if isinstance(value, bool) else None


def project_of(span: Span) -> str | None:
    """The project, else the service, where somebody has named it: not the SDK, nor OpenRouter."""
    service = text(span, "service") or ""
    unnamed = service.startswith("unknown_service") or service == "openrouter"
    return text(span, "project") or (None if unnamed else service or None)


def first(span: Span, field: str) -> Value:
    """The field by the first of its names that is there."""
    for name in ALIASES[field]:
        value = span.attributes.get(name)
        if value is not None and value != "":
            return value[:LONGEST_TEXT] if isinstance(value, str) else value
    return None


def text(span: Span, field: str) -> str | None:
    value = first(span, field)
    return None if value is None else str(value)


def whole(value: Value) -> Value:
    """A whole number, which some send as text or with a point; what is none as it came."""
    if type(value) is int:
        return value
    number = decimal_of(value)
    if number is None or not -MOST_TOKENS < number < MOST_TOKENS or number != int(number):
        return value
    return int(number)


def decimal_of(value: Value) -> Decimal | None:
    """The number that a value is or says, unless it is infinite or none at all."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
