"""LiteLLM's StandardLoggingPayload, as its stock `generic_api` callback posts it.

Only the fields named here are decoded: prompts, responses and tracebacks never become objects.
What is decoded is then checked as a native request is, by the same types.
Facts, all seen in recorded payloads: a failed attempt and its fallback share `litellm_call_id`;
`prompt_tokens` includes cache reads and writes; `response_cost` is 0 for unknown models and on
cache hits; times are float seconds; `error_code` is a string; `request_tags` carries the user
agent. docs/gateways.md states the attribution rules.
"""

import hashlib
import json
import re
from decimal import Decimal
from typing import Any

import msgspec

from usage.ingest.schema import (
    MOST_LEVELS,
    MOST_TAGS,
    UNDECODABLE,
    LabelledRequest,
    RowError,
    nested_deeper,
)

MASTER_KEY = "litellm_proxy_master_key"
NOBODY = frozenset({"default_user_id", ""})
HTTP_ERROR = re.compile(r"^[45][0-9]{2}\Z")
PROJECT_TAG = re.compile(r"^(?:project|proj)[:=](?P<tag>.+)$", re.IGNORECASE)
PROJECT_FIELDS = ("project", "project_tag", "project_id")

ENDPOINTS = {
    "completion": "/v1/chat/completions",
    "acompletion": "/v1/chat/completions",
    "text_completion": "/v1/completions",
    "atext_completion": "/v1/completions",
    "embedding": "/v1/embeddings",
    "aembedding": "/v1/embeddings",
    "image_generation": "/v1/images/generations",
    "aimage_generation": "/v1/images/generations",
    "transcription": "/v1/audio/transcriptions",
    "atranscription": "/v1/audio/transcriptions",
    "speech": "/v1/audio/speech",
    "aspeech": "/v1/audio/speech",
    "responses": "/v1/responses",
    "aresponses": "/v1/responses",
    "rerank": "/v1/rerank",
    "arerank": "/v1/rerank",
    "anthropic_messages": "/v1/messages",
}


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    video_tokens: int | None = None
    cache_creation_token_details: "CacheCreation | None" = None


class CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class ServerToolUse(msgspec.Struct):
    web_search_requests: int | None = None


class UsageObject(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    server_tool_use: ServerToolUse | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    service_tier: str | None = None


class Metadata(msgspec.Struct):
    user_api_key_hash: str | None = None
    user_api_key_alias: str | None = None
    user_api_key_team_id: str | None = None
    user_api_key_team_alias: str | None = None
    user_api_key_user_id: str | None = None
    user_api_key_user_email: str | None = None
    user_api_key_project_id: str | None = None
    user_api_key_project_alias: str | None = None
    user_api_key_request_route: str | None = None
    spend_logs_metadata: dict[str, Any] | None = None
    usage_object: UsageObject | None = None


class ErrorInformation(msgspec.Struct):
    error_code: str | int | None = None
    error_class: str | None = None


class ModelParameters(msgspec.Struct):
    service_tier: str | None = None
    stream: bool | None = None


class ResponseTier(msgspec.Struct):
    service_tier: str | None = None


class Payload(msgspec.Struct):
    id: str
    model: str
    status: str
    litellm_call_id: str | None = None
    trace_id: str | None = None
    call_type: str | None = None
    cache_hit: bool | None = None
    stream: bool | None = None
    custom_llm_provider: str | None = None
    startTime: float | None = None
    endTime: float | None = None
    completionStartTime: float | None = None
    response_time: float | None = None
    response_cost: Decimal | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    request_tags: list[str] | None = None
    end_user: str | None = None
    model_group: str | None = None
    model_parameters: ModelParameters | None = None
    # Decoded only as far as its service tier; its text is skipped, never built.
    response: ResponseTier | str | list[msgspec.Raw] | None = None
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    error_information: ErrorInformation | None = None


DECODER = msgspec.json.Decoder(Payload)
FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

# The objects in an event that hold texts, and what of them is no text.
PARTS: dict[str, type[msgspec.Struct]] = {
    "metadata": Metadata,
    "error_information": ErrorInformation,
    "model_parameters": ModelParameters,
    "response": ResponseTier,
}


def decode(raw: bytes | msgspec.Raw) -> LabelledRequest:
    """One event as a request. Raises msgspec.ValidationError and RowError."""
    return msgspec.convert(request_of(DECODER.decode(raw)), LabelledRequest)


def without_texts(raw: bytes) -> bytes:
    """The event with nothing but the fields named here; of what is no event, nothing at all."""
    try:
        event = named_fields(raw, Payload)
        for name, part in PARTS.items():
            if name in event:
                event[name] = msgspec.Raw(msgspec.json.encode(named_fields(event[name], part)))
    except UNDECODABLE:
        return b""
    return msgspec.json.encode(event)


def named_fields(raw: bytes | msgspec.Raw, struct: type[msgspec.Struct]) -> dict[str, msgspec.Raw]:
    """The fields of an object that the struct names; none of what is no object."""
    if bytes(raw).lstrip()[:1] != b"{":
        return {}
    return {
        name: value
        for name, value in FIELDS.decode(raw).items()
        if name in struct.__struct_fields__
    }


def request_of(event: Payload) -> dict[str, Any]:
    """The fields of a request, not checked yet."""
    meta = event.metadata
    usage = meta.usage_object or UsageObject()
    tokens = tokens_of(event, usage)
    status = status_of(event)
    hit = bool(event.cache_hit)
    return dict(
        request_id=request_id_of(event),
        model=event.model or event.model_group or _no_model(),
        requested_model=event.model_group or None,
        occurred_at=event.startTime,
        api_key=key_of(meta),
        api_key_name=meta.user_api_key_alias,
        workspace=meta.user_api_key_team_id or meta.user_api_key_team_alias or None,
        workspace_name=meta.user_api_key_team_alias or None,
        member=member_of(meta),
        member_email=email_of(meta),
        project=project_of(event),
        provider=event.custom_llm_provider or None,
        endpoint=meta.user_api_key_request_route or ENDPOINTS.get(event.call_type or ""),
        status=status,
        error_type=error_type_of(event),
        # An answer out of the gateway's own cache used no tokens of the provider's.
        **({} if hit else tokens),
        service_tier=service_tier_of(event, usage),
        latency_ms=milliseconds(event.startTime, event.endTime),
        time_to_first_token_ms=first_token_of(event),
        streamed=event.stream if event.stream is not None else parameters(event).stream,
        cost=event.response_cost,
        held_as=event.litellm_call_id or None,
        tags=tags_of(event),
    )


def request_id_of(event: Payload) -> str:
    """A failed attempt and its fallback share the call id, so id and status belong to the key.

    Mostly the two ids are the same. Joined they can be longer than a request id may be: then their
    digest tells them apart, where their beginnings might not.
    """
    call = event.litellm_call_id
    parts = (
        [event.id, event.status] if call in (None, "", event.id) else [call, event.id, event.status]
    )
    text = ":".join(parts)
    return text if len(text) <= 200 else hashlib.sha256(text.encode()).hexdigest()


def tokens_of(event: Payload, usage: UsageObject) -> dict[str, Any]:
    """Token fields of a native request; audio, image and video go to their own meters."""
    prompt = usage.prompt_tokens_details or PromptDetails()
    completion = usage.completion_tokens_details or CompletionDetails()
    read = prompt.cached_tokens or usage.cache_read_input_tokens or 0
    written = (
        prompt.cache_creation_tokens
        or usage.cache_creation_input_tokens
        or prompt.cache_write_tokens
        or 0
    )
    parts = prompt.cache_creation_token_details or CacheCreation()
    written_1h = min(parts.ephemeral_1h_input_tokens or 0, written)
    beside_input = {
        "input_audio": prompt.audio_tokens or 0,
        "input_image": prompt.image_tokens or 0,
        "input_video": prompt.video_tokens or 0,
    }
    beside_output = {
        "output_audio": completion.audio_tokens or 0,
        "output_image": completion.image_tokens or 0,
    }
    searches = (usage.server_tool_use or ServerToolUse()).web_search_requests or 0
    meters = beside_input | beside_output | {"web_search": searches}
    inputs = usage.prompt_tokens if usage.prompt_tokens is not None else event.prompt_tokens
    outputs = (
        usage.completion_tokens if usage.completion_tokens is not None else event.completion_tokens
    )
    output = max((outputs or 0) - sum(beside_output.values()), 0)
    return {
        "input_tokens": max((inputs or 0) - sum(beside_input.values()), 0),
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": written - written_1h,
        "cache_write_1h_tokens": written_1h,
        "reasoning_tokens": min(completion.reasoning_tokens or 0, output),
        "meters": {name: count for name, count in meters.items() if count} or None,
    }


def key_of(meta: Metadata) -> str | None:
    key = meta.user_api_key_hash
    return "master-key" if key == MASTER_KEY else key or None


def member_of(meta: Metadata) -> str | None:
    member = meta.user_api_key_user_email or meta.user_api_key_user_id or ""
    return None if member in NOBODY else member


def email_of(meta: Metadata) -> str | None:
    email = meta.user_api_key_user_email or None
    return email if email and len(email) <= 254 else None


def project_of(event: Payload) -> str | None:
    """The project: a request tag `project:x` (or `proj:x`), else `project` in the spend log's
    metadata, else LiteLLM's own project of the key.
    """
    for tag in event.request_tags or ():
        if match := PROJECT_TAG.match(tag):
            return match["tag"].strip()[:200] or None
    metadata = event.metadata.spend_logs_metadata or {}
    for name in PROJECT_FIELDS:
        if isinstance(value := metadata.get(name), str | int) and str(value):
            return str(value)[:200]
    meta = event.metadata
    return meta.user_api_key_project_alias or meta.user_api_key_project_id or None


def tags_of(event: Payload) -> dict[str, Any] | None:
    """What is worth keeping to search by; the user agent that LiteLLM puts in front is not."""
    tags = [tag for tag in event.request_tags or () if not tag.startswith("User-Agent:")]
    kept = {
        "tags": tags,
        "spend_logs_metadata": event.metadata.spend_logs_metadata,
        "end_user": event.end_user,
        "trace_id": event.trace_id,
        "cache_hit": event.cache_hit,
    }
    return fitting({name: value for name, value in kept.items() if value}) or None


def fitting(tags: dict[str, Any]) -> dict[str, Any]:
    """The tags, or as many of them as may be kept: they must not cost the request its place."""
    tags = {n: value for n, value in tags.items() if not nested_deeper(value, MOST_LEVELS - 1)}
    if len(json.dumps(tags)) <= MOST_TAGS:
        return tags
    fit: dict[str, Any] = {}
    for name, value in sorted(tags.items(), key=lambda item: len(json.dumps(item[1]))):
        if len(json.dumps(fit | {name: value})) <= MOST_TAGS:
            fit[name] = value
    return fit


def status_of(event: Payload) -> int:
    if event.status == "success":
        return 200
    code = str((event.error_information or ErrorInformation()).error_code or "")
    return int(code) if HTTP_ERROR.match(code) else 500


def error_type_of(event: Payload) -> str | None:
    if event.status == "success":
        return None
    return (event.error_information or ErrorInformation()).error_class or "unknown"


def service_tier_of(event: Payload, usage: UsageObject) -> str | None:
    """What the provider says it served counts before what was asked for."""
    answered = event.response.service_tier if isinstance(event.response, ResponseTier) else None
    return answered or usage.service_tier or parameters(event).service_tier or None


def parameters(event: Payload) -> ModelParameters:
    return event.model_parameters or ModelParameters()


def first_token_of(event: Payload) -> float | None:
    """Only a streamed answer has one: otherwise LiteLLM repeats the end."""
    if event.completionStartTime is None or event.completionStartTime == event.endTime:
        return None
    return milliseconds(event.startTime, event.completionStartTime)


def milliseconds(start: float | None, end: float | None) -> float | None:
    if start is None or end is None or end < start:
        return None
    return (end - start) * 1000


def _no_model() -> str:
    raise RowError("model", "The event names no model.")
