"""What LiteLLM says a request used, as the token fields of a native request.

`prompt_tokens` includes cache reads and writes, and audio, image and video, cached or not; so do
the details that name them, and `cached_tokens` counts cached tokens of every kind. Here each token
is counted once (docs/gateways.md has the rule).
"""

from typing import Any

import msgspec


class CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class CachedDetails(msgspec.Struct):
    audio_tokens: int | None = None
    image_tokens: int | None = None


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cached_tokens_details: CachedDetails | None = None
    cache_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    video_tokens: int | None = None
    cache_creation_token_details: CacheCreation | None = None


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


def tokens_of(usage: UsageObject, prompt: int | None, completion: int | None) -> dict[str, Any]:
    """Token fields of a native request; `prompt` and `completion` are the event's own counts.

    LiteLLM writes 0 for both where the provider said nothing (images, speech, rerank). No answered
    call uses no tokens at all, so then what was used is unknown, and the fields are left out.
    """
    inputs = usage.prompt_tokens if usage.prompt_tokens is not None else prompt
    outputs = usage.completion_tokens if usage.completion_tokens is not None else completion
    searches = (usage.server_tool_use or ServerToolUse()).web_search_requests or 0
    if not (inputs or outputs):
        return {"meters": {"web_search": searches} if searches else None}
    input_fields, input_meters = input_of(usage, inputs or 0)
    output_fields, output_meters = output_of(usage, outputs or 0)
    meters = input_meters | output_meters | {"web_search": searches}
    return (
        input_fields
        | output_fields
        | {"meters": {name: count for name, count in meters.items() if count} or None}
    )


def input_of(usage: UsageObject, inputs: int) -> tuple[dict[str, int], dict[str, int]]:
    """The token fields of the prompt, and the meters of what in it is no text."""
    prompt = usage.prompt_tokens_details or PromptDetails()
    written = written_to_cache(usage, prompt)
    parts = prompt.cache_creation_token_details or CacheCreation()
    written_1h = min(parts.ephemeral_1h_input_tokens or 0, written)
    read = prompt.cached_tokens or usage.cache_read_input_tokens or 0
    beside = beside_text(prompt, inputs)
    cached = cached_beside_text(
        prompt.cached_tokens_details or CachedDetails(),
        beside,
        read,
        at_least=read + written - (inputs - sum(beside.values())),
    )
    read -= sum(cached.values())
    text = inputs - sum(beside.values())
    # Cached video has no meter of its own and counts as cached text.
    as_text = max(min(read + written - text, beside["video"]), 0)
    beside["video"] -= as_text
    fields = {
        "input_tokens": text + as_text,
        "cache_read_tokens": read,
        "cache_write_tokens": written - written_1h,
        "cache_write_1h_tokens": written_1h,
    }
    plain = {f"input_{kind}": count - cached.get(kind, 0) for kind, count in beside.items()}
    return fields, plain | {f"cache_read_{kind}": count for kind, count in cached.items()}


def written_to_cache(usage: UsageObject, prompt: PromptDetails) -> int:
    return (
        prompt.cache_creation_tokens
        or usage.cache_creation_input_tokens
        or prompt.cache_write_tokens
        or 0
    )


def beside_text(prompt: PromptDetails, inputs: int) -> dict[str, int]:
    """The prompt's tokens that are no text, no more of them than the prompt has."""
    named = {
        "audio": prompt.audio_tokens or 0,
        "image": prompt.image_tokens or 0,
        "video": prompt.video_tokens or 0,
    }
    left = inputs
    for kind, count in named.items():
        named[kind] = min(count, left)
        left -= max(named[kind], 0)
    return named


def cached_beside_text(
    details: CachedDetails, beside: dict[str, int], read: int, *, at_least: int
) -> dict[str, int]:
    """The cached tokens that are no text: those named as such, and as many more as the text is
    too short for (`at_least`), of audio before images.
    """
    cached = {"audio": details.audio_tokens or 0, "image": details.image_tokens or 0}
    left = max(read, 0)
    for kind, count in cached.items():
        cached[kind] = min(count, beside[kind], left)
        left -= cached[kind]
    missing = at_least - sum(cached.values())
    for kind, count in cached.items():
        more = max(min(missing, beside[kind] - count, left), 0)
        cached[kind] += more
        missing -= more
        left -= more
    return cached


def output_of(usage: UsageObject, outputs: int) -> tuple[dict[str, int], dict[str, int]]:
    """The token fields of the answer, and the meters of what in it is no text."""
    completion = usage.completion_tokens_details or CompletionDetails()
    meters = {
        "output_audio": completion.audio_tokens or 0,
        "output_image": completion.image_tokens or 0,
    }
    output = max(outputs - sum(meters.values()), 0)
    fields = {
        "output_tokens": output,
        "reasoning_tokens": min(completion.reasoning_tokens or 0, output),
    }
    return fields, meters
