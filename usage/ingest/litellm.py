"""LiteLLM's StandardLoggingPayload, as its stock `generic_api` callback posts it.

Only the fields named here are decoded: prompts, responses and tracebacks never become objects.
What is decoded is then checked as a native request is, by the same types.
Facts, all seen in recorded payloads: a failed attempt and its fallback share `litellm_call_id`;
`response_cost` is 0 for unknown models and on cache hits; times are float seconds; `error_code` is
a string; `request_tags` carries the user agent. docs/gateways.md states the attribution rules.
"""

import hashlib
import json
import re
from decimal import Decimal
from typing import Any

import msgspec

from usage.ingest.litellm_usage import UsageObject, tokens_of
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
NOTHING_USED = {"input_tokens": 0, "output_tokens": 0}
HTTP_ERROR = re.compile(r"^[45][0-9]{2}\Z")
PROJECT_TAG = re.compile(r"^(?:project|proj)[:=](?P<tag>.+)$", re.IGNORECASE)
PROJECT_FIELDS = ("project", "project_tag", "project_id")

# Kinds of error that are the gateway's own decision and no provider's fault.
BUDGET_REFUSED, RATE_REFUSED, BUDGET_UNKNOWN = (
    "budget_refused",
    "gateway_rate_limited",
    "budget_check_failed",
)
# What docs/gateways/tokenbook_litellm.py raises; LiteLLM logs the name of an exception's class.
PLUGIN_REFUSALS = {"TokenbookRefused": BUDGET_REFUSED, "TokenbookUnavailable": BUDGET_UNKNOWN}
BUDGET_ERRORS = frozenset({"BudgetExceededError", "ExceededBudget", "ExceededTokenBudget"})
OVER_BUDGET = "429_BUDGET_EXCEEDED"
PASSED_THROUGH = frozenset({"pass_through_endpoint", "allm_passthrough_route"})

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
    llm_provider: str | None = None
    error_rate_limit_category: str | None = None
    error_rate_limit_type: str | None = None
    normalized_error: str | None = None


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
    # Put in by Tokenbook's plug-in: the hold that this call was let go under.
    tokenbook_hold_id: str | None = None


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
    refusal = refusal_of(event)
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
        no_provider_asked=refusal is not None,
        endpoint=meta.user_api_key_request_route or ENDPOINTS.get(event.call_type or ""),
        status=status_of(event),
        error_type=refusal or error_type_of(event),
        **used_of(event, usage),
        service_tier=service_tier_of(event, usage),
        latency_ms=milliseconds(event.startTime, event.endTime),
        time_to_first_token_ms=first_token_of(event),
        streamed=event.stream if event.stream is not None else parameters(event).stream,
        cost=event.response_cost,
        hold_id=event.tokenbook_hold_id,
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


def used_of(event: Payload, usage: UsageObject) -> dict[str, Any]:
    """An answer out of the gateway's own cache used no tokens of the provider's."""
    if event.cache_hit:
        return NOTHING_USED
    return tokens_of(usage, event.prompt_tokens, event.completion_tokens)


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


def refusal_of(event: Payload) -> str | None:
    """Why the gateway refused the call before it asked any provider; null: it did not.

    Only from what an exception is, never from its message, which may quote a prompt. What LiteLLM
    passes through as it stands may be the provider's own refusal.
    """
    error = event.error_information
    if event.status == "success" or error is None:
        return None
    if error.error_class in PLUGIN_REFUSALS:
        return PLUGIN_REFUSALS[error.error_class]
    category = error.error_rate_limit_category or ""
    is_gateways = category.startswith("litellm_") or (
        not category
        and error.llm_provider == ""
        and str(error.error_code) == "429"
        and event.call_type not in PASSED_THROUGH
    )
    is_budgets = error.error_rate_limit_type == "budget" or error.normalized_error == OVER_BUDGET
    if error.error_class in BUDGET_ERRORS or (is_gateways and is_budgets):
        return BUDGET_REFUSED
    return RATE_REFUSED if is_gateways else None


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
