"""The formats that requests are posted in: how a row is read, and what is kept of a bad one."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from accounts.directory import safe_identifier
from usage.ingest import litellm
from usage.ingest.schema import UNDECODABLE, NativeRequest

Decode = Callable[[bytes], NativeRequest]


@dataclass(frozen=True, slots=True)
class Source:
    decode: Decode
    # Of a row that is set aside: prompts, answers and secrets are stored nowhere.
    kept: Callable[[bytes], bytes]


def without_secrets(body: bytes) -> bytes:
    """A native row whose API key, should it be a secret itself, is replaced by its SHA-256."""
    try:
        row = msgspec.json.decode(body)
    except UNDECODABLE:
        return body
    key = row.get("api_key") if isinstance(row, dict) else None
    if not isinstance(key, str) or safe_identifier(key) == key:
        return body
    return msgspec.json.encode(row | {"api_key": safe_identifier(key)})


NATIVE = Source(msgspec.json.Decoder(NativeRequest).decode, without_secrets)

SOURCES: dict[str, Source] = {
    "native": NATIVE,
    "litellm": Source(litellm.decode, litellm.without_texts),
    # A span is translated before: what is kept of it is a native request.
    "otlp": NATIVE,
}
