"""The native request: what a gateway posts for one API request, decoded and checked by msgspec."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec

from usage.pricing.meters import FURTHER_METER_NAMES

Tokens = Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

T = TypeVar("T")

EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)
CLOCK_SKEW = timedelta(days=1)
MOST_DOLLARS = 10**8  # a cost fits into a bigint of 1e-10 dollars with room to spare
MOST_TAGS = 8_000
MOST_LEVELS = 50


class NativeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One API request. Cache parts are inside `input_tokens`, reasoning inside `output_tokens`;
    quantities in `meters` are counted beside them. Null and left out mean unknown.
    """

    request_id: Name
    model: Name
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] | float | None = None
    api_key: Name | None = None
    workspace: Name | None = None
    project: Name | None = None
    member: Name | None = None
    requested_model: Name | None = None
    provider: Name | None = None
    endpoint: Name | None = None
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] = 200
    error_type: Name | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    cache_write_1h_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0
    meters: dict[str, Tokens] | None = None
    service_tier: Name | None = None
    latency_ms: Milliseconds | float | None = None
    time_to_first_token_ms: Milliseconds | float | None = None
    streamed: bool | None = None
    cost: Decimal | None = None
    hold_id: UUID | None = None
    tags: dict[str, Any] | None = None


class LabelledRequest(NativeRequest, kw_only=True):
    """A request from an adapter that also knows how people call its key, member and workspace."""

    workspace_name: str | None = None
    api_key_name: str | None = None
    member_email: str | None = None
    # The request id that a hold was asked for under, where it is not the row's own.
    held_as: str | None = None
    # The gateway answered by itself: no provider is told from the model's name.
    no_provider_asked: bool = False


class RowError(ValueError):
    """Why a row cannot be recorded: the field, and a message that says what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message

    def as_dict(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message}


AT_PATH = re.compile(r"^(?P<message>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
UNKNOWN_FIELD = re.compile(r"unknown field `(?P<name>[^`]*)`")
MISSING_FIELD = re.compile(r"missing required field `(?P<name>[^`]*)`")


# An escaped NUL, and not the word behind an escaped backslash.
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

# Everything that decoding text from outside raises: broken JSON, wrong types, broken UTF-8, depth.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_with(decode: Callable[[bytes], T], raw: bytes | msgspec.Raw) -> T:
    """One row decoded. Raises RowError, with the field and what is wrong with it."""
    try:
        decoded = decode(raw)  # type: ignore[arg-type]
        # Only what is kept counts: in a prompt, which is skipped, it does no harm.
        if b"\\u0000" in bytes(raw) and NUL.search(msgspec.json.encode(decoded)):
            raise RowError("", "Text may not contain the NUL character (\\u0000).")
    except UNDECODABLE as error:
        raise row_error(error) from error
    return decoded


def row_error(error: Exception) -> RowError:
    """A decoder's message as the field and a sentence."""
    text = str(error)
    if unknown := UNKNOWN_FIELD.search(text):
        name = unknown["name"].replace("\x00", "\ufffd")[:200]
        return RowError(name, f"There is no field {name!r}. Put what has no field into tags.")
    if missing := MISSING_FIELD.search(text):
        return RowError(missing["name"], f"{missing['name']!r} is required.")
    match = AT_PATH.match(text)
    field = (match["path"] or "") if match else ""
    return RowError(field, (match["message"] if match else text) + ".")


def check(row: NativeRequest, *, now: datetime) -> datetime:
    """When the request occurred, once the row's parts agree with each other. Raises RowError."""
    parts = row.cache_read_tokens + row.cache_write_tokens + row.cache_write_1h_tokens
    if parts and parts > (row.input_tokens or 0):
        raise RowError(
            "input_tokens",
            f"Cache reads and writes ({parts}) are parts of input_tokens ({row.input_tokens}) "
            "and cannot be more. Send input_tokens with them included.",
        )
    if row.reasoning_tokens and row.reasoning_tokens > (row.output_tokens or 0):
        raise RowError(
            "output_tokens",
            f"reasoning_tokens ({row.reasoning_tokens}) is a part of output_tokens "
            f"({row.output_tokens}) and cannot be more. Send output_tokens with it included.",
        )
    if row.meters:
        check_meters(row.meters)
    if row.cost is not None and not (row.cost.is_finite() and 0 <= row.cost < MOST_DOLLARS):
        raise RowError("cost", "Send cost in US dollars, from 0 to a hundred million, or null.")
    if row.tags:
        check_tags(row.tags)
    return moment(row.occurred_at, now=now)


def check_meters(meters: dict[str, int]) -> None:
    unknown = sorted(set(meters) - FURTHER_METER_NAMES)
    if unknown:
        raise RowError(
            "meters",
            f"There is no meter {unknown[0]!r}. Meters: {', '.join(sorted(FURTHER_METER_NAMES))}.",
        )


def check_tags(tags: dict[str, Any]) -> None:
    # Depth first: what is nested deeper than Python's stack cannot be written down again.
    if nested_deeper(tags, MOST_LEVELS):
        raise RowError("tags", f"tags may be nested {MOST_LEVELS} levels deep.")
    if len(json.dumps(tags)) > MOST_TAGS:
        raise RowError("tags", f"tags may have {MOST_TAGS:,} characters as JSON; send fewer.")


def nested_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(nested_deeper(item, levels - 1) for item in inner)


def moment(occurred_at: datetime | float | None, *, now: datetime) -> datetime:
    if occurred_at is None:
        return now
    if isinstance(occurred_at, datetime):
        when = occurred_at
    else:
        if not 0 <= occurred_at < 10**11:
            raise RowError(
                "occurred_at", f"{occurred_at!r} is not in unix seconds; are these milliseconds?"
            )
        when = datetime.fromtimestamp(occurred_at, UTC)
    if not EARLIEST <= when <= now + CLOCK_SKEW:
        raise RowError(
            "occurred_at", f"{when.isoformat()} is before 2015 or more than a day in the future."
        )
    # PostgreSQL knows no offset of 16 hours or more; RFC 3339 does.
    return when.astimezone(UTC)


def milliseconds(field: str, value: float | None) -> int | None:
    if value is None:
        return None
    if not 0 <= value <= 2_000_000_000:
        raise RowError(field, "Send times in milliseconds, from 0 to 2,000,000,000.")
    return round(value)
