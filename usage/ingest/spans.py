"""Spans as OTLP/HTTP carries them, protobuf or JSON, reduced to what is read of them.

Of a span only wanted attributes become objects: prompts and answers are attributes too, and are
skipped while decoding. Of its events only the type of an exception is read.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from accounts.errors import BodyTooLarge
from usage.ingest.body import UnreadableBody
from usage.ingest.schema import UNDECODABLE

Value = str | int | float | bool | None
Attributes = dict[str, Value]
Wanted = Callable[[str], bool]

EXCEPTION_TYPE = "exception.type"

# A message takes up to 90 times the memory that it takes on the wire: bodies are looked through
# for more messages than any batch of spans has, before they are built. Small ones cannot harm.
MOST_MESSAGES = 500_000
SMALL = 2 * 1024 * 1024
TOO_MANY = f"A body may have {MOST_MESSAGES:,} spans and attributes; export smaller batches."


@dataclass(frozen=True, slots=True)
class Span:
    """A span whatever its encoding: ids in hex, times in nanoseconds since 1970, 0 for unknown.

    The attributes are its own and, where it has none of a name, those of its resource.
    """

    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    failed: bool
    attributes: Attributes


def spans_of(body: bytes, *, as_json: bool, wanted: Wanted) -> Iterator[Span]:
    """Every span of an export request. Raises UnreadableBody and BodyTooLarge."""
    return spans_of_json(body, wanted) if as_json else spans_of_protobuf(body, wanted)


# --- protobuf


def spans_of_protobuf(body: bytes, wanted: Wanted) -> Iterator[Span]:
    if len(body) > SMALL:
        refuse_too_many_messages(body)
    try:
        export = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise UnreadableBody(f"The body is not an OTLP export request: {error}.") from error
    for of_resource in export.resource_spans:
        resource = _attributes(of_resource.resource.attributes, wanted)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _protobuf_span(span, resource, wanted)


def _protobuf_span(span: Any, resource: Attributes, wanted: Wanted) -> Span:
    of_events = (pair for event in span.events for pair in event.attributes)
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=resource
        | _attributes(of_events, EXCEPTION_TYPE.__eq__)
        | _attributes(span.attributes, wanted),
    )


def _attributes(pairs: Iterable[Any], wanted: Wanted) -> dict[str, Value]:
    """Scalars only: nothing that is read here is an array or a map."""
    found: dict[str, Value] = {}
    for pair in pairs:
        if wanted(pair.key):
            kind = pair.value.WhichOneof("value")
            if kind in ("string_value", "int_value", "double_value", "bool_value"):
                found[pair.key] = getattr(pair.value, kind)
    return found


# Fields that hold messages, by their tag, with the fields of those.
Shape = dict[int, "Shape"]


def shape_of(message: Descriptor, known: dict[str, Shape]) -> Shape:
    if message.full_name not in known:
        shape = known[message.full_name] = {}
        for field in message.fields:
            if field.message_type is not None:
                shape[field.number << 3 | BYTES] = shape_of(field.message_type, known)
    return known[message.full_name]


BYTES = 2
LONGEST_VARINT = 70  # bits: ten bytes of seven
SKIPPED = {1: 8, 5: 4}
SHAPE = shape_of(ExportTraceServiceRequest.DESCRIPTOR, {})


def refuse_too_many_messages(body: bytes) -> None:
    """Raises BodyTooLarge where a protobuf body has too many, UnreadableBody where it is broken.

    Reads nothing but tags and lengths.
    """
    pending, seen = [(SHAPE, 0, len(body))], 0
    try:
        while pending:
            shape, at, end = pending.pop()
            while at < end:
                tag, at = _varint(body, at)
                start, at = _extent(body, at, tag & 7)
                if tag in shape:
                    pending.append((shape[tag], start, at))
                    seen += 1
                    if seen > MOST_MESSAGES:
                        raise BodyTooLarge(TOO_MANY)
    except IndexError as error:
        raise UnreadableBody("The body is not an OTLP export request: it is cut off.") from error


def _extent(body: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where a field's value begins and ends. Raises IndexError past the end of the body."""
    if kind == BYTES:
        length, at = _varint(body, at)
        if at + length > len(body):
            raise IndexError
        return at, at + length
    if kind == 0:
        return at, _varint(body, at)[1]
    if kind not in SKIPPED:
        raise UnreadableBody(f"The body is not an OTLP export request: wire type {kind}.")
    return at, at + SKIPPED[kind]


def _varint(body: bytes, at: int) -> tuple[int, int]:
    byte = body[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while byte >= 128:
        if shift == LONGEST_VARINT:  # each further byte would take longer than the one before
            raise UnreadableBody("The body is not an OTLP export request: a number has no end.")
        at += 1
        byte = body[at]
        value |= (byte & 127) << shift
        shift += 7
    return value, at + 1


# --- JSON: OTLP writes ids in hex and 64-bit numbers as text, which protobuf's own JSON does not.
# As in protobuf's, null is the same as left out, and fields that are not known are skipped.

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class AnyValue(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    int_value: Int64 | float | str | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None


class KeyValue(msgspec.Struct):
    key: str = ""
    value: AnyValue | None = None


class JsonEvent(msgspec.Struct):
    attributes: list[KeyValue] | None = None


class JsonStatus(msgspec.Struct):
    code: int | str | None = None


class JsonSpan(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    start_time_unix_nano: int | float | str | None = None
    end_time_unix_nano: int | float | str | None = None
    attributes: list[KeyValue] | None = None
    events: list[JsonEvent] | None = None
    status: JsonStatus | None = None


class JsonScopeSpans(msgspec.Struct):
    spans: list[JsonSpan] | None = None


class JsonResource(msgspec.Struct):
    attributes: list[KeyValue] | None = None


class JsonResourceSpans(msgspec.Struct, rename="camel"):
    resource: JsonResource | None = None
    scope_spans: list[JsonScopeSpans] | None = None


class JsonExport(msgspec.Struct, rename="camel"):
    resource_spans: list[JsonResourceSpans] | None = None


EXPORT = msgspec.json.Decoder(JsonExport)
FAILED = (2, "2", "STATUS_CODE_ERROR")


def spans_of_json(body: bytes, wanted: Wanted) -> Iterator[Span]:
    if body.count(b"{") > MOST_MESSAGES:
        raise BodyTooLarge(TOO_MANY)
    try:
        export = EXPORT.decode(body)
    except UNDECODABLE as error:
        raise UnreadableBody(f"The body is not an OTLP export request: {error}.") from error
    for of_resource in export.resource_spans or ():
        pairs = of_resource.resource.attributes if of_resource.resource else None
        resource = _json_attributes(pairs, wanted)
        for of_scope in of_resource.scope_spans or ():
            for span in of_scope.spans or ():
                yield _json_span(span, resource, wanted)


def _json_span(span: JsonSpan, resource: Attributes, wanted: Wanted) -> Span:
    of_events = [pair for event in span.events or () for pair in event.attributes or ()]
    return Span(
        trace_id=_hex(span.trace_id),
        span_id=_hex(span.span_id),
        parent_id=_hex(span.parent_span_id),
        started_ns=_nanoseconds(span.start_time_unix_nano),
        ended_ns=_nanoseconds(span.end_time_unix_nano),
        failed=span.status is not None and span.status.code in FAILED,
        attributes=resource
        | _json_attributes(of_events, EXCEPTION_TYPE.__eq__)
        | _json_attributes(span.attributes, wanted),
    )


def _json_attributes(pairs: Iterable[KeyValue] | None, wanted: Wanted) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in pairs or ():
        if pair.value is not None and wanted(pair.key):
            scalar = _scalar(pair.value)
            if scalar is not None:
                found[pair.key] = scalar
    return found


def _scalar(value: AnyValue) -> Value:
    kinds = (value.string_value, value.int_value, value.double_value, value.bool_value)
    return next((one for one in kinds if one is not None), None)


def _nanoseconds(value: float | str | None) -> int:
    try:
        nanoseconds = int(value or 0)
    except (ValueError, OverflowError):
        nanoseconds = -1
    if not 0 <= nanoseconds < 2**64:
        raise UnreadableBody(f"{str(value)[:40]!r} is no time in nanoseconds since 1970.")
    return nanoseconds


def _hex(text: str | None) -> str:
    """An id in hex, or nothing where it is no id. Some emitters send base64, as protobuf's own JSON
    would."""
    try:
        return bytes.fromhex(text or "").hex()
    except ValueError:
        pass
    try:
        return base64.b64decode(text or "", validate=True).hex()
    except (binascii.Error, ValueError):
        return ""
