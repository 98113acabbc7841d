"""Exports of OpenTelemetry traces: two as real exporters posted them, others made up."""

import base64
import json
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.factories import NOW

RECORDED = Path(__file__).parent / "otlp"
# OpenTelemetry's own instrumentation of the OpenAI client, and OpenInference's.
GENAI = (RECORDED / "genai.bin").read_bytes()
OPENINFERENCE = (RECORDED / "openinference.bin").read_bytes()

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}


def nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp()) * 10**9


def call(**more: Any) -> dict[str, Any]:
    """A span of OTLP/JSON: 1,000 tokens in and 100 out of gpt-4o in 2 seconds.

    `attributes` are further ones; None takes one away.
    """
    attributes = CALL | more.pop("attributes", {})
    at = nanoseconds(more.pop("at", NOW))
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at + 2 * 10**9),
        "attributes": key_values(attributes),
    } | more


def key_values(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": any_value(value)}
        for name, value in attributes.items()
        if value is not None
    ]


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if isfinite(value) else json.dumps(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    return {"stringValue": value}


def export(*spans: Any, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spans of one process, whose resource has these attributes."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": key_values(resource or {})},
                "scopeSpans": [{"spans": list(spans)}],
            }
        ]
    }


def as_json(*spans: Any, **more: Any) -> bytes:
    return json.dumps(export(*spans, **more)).encode()


def as_protobuf(*spans: Any, **more: Any) -> bytes:
    """The same spans in the other encoding."""
    ids = ("traceId", "spanId", "parentSpanId")
    recoded = [
        span | {name: base64.b64encode(bytes.fromhex(span[name])) for name in ids if name in span}
        for span in spans
    ]
    return ParseDict(export(*recoded, **more), ExportTraceServiceRequest()).SerializeToString()
