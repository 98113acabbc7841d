"""What the OpenAPI document says about the routes whose bodies no serializer describes."""

from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from usage.ingest.schema import NativeRequest
from usage.reports.catalogue import COMPARISONS, DIMENSIONS, GRANULARITIES, METRICS


def native_schema() -> dict[str, Any]:
    """JSON Schema of a native request, without the references that OpenAPI lays elsewhere."""
    (_, components) = msgspec.json.schema_components([NativeRequest])
    return components["NativeRequest"]


INGEST_REQUEST = {
    "application/json": {
        "oneOf": [native_schema(), {"type": "array", "items": native_schema()}],
    },
    "application/x-ndjson": {"type": "string", "description": "One request a line."},
}

INGEST_RESPONSES = inline_serializer(
    "Received",
    {
        "accepted": serializers.IntegerField(help_text="Rows that are new and stored now."),
        "duplicates": serializers.IntegerField(help_text="Rows that were stored before."),
        "rejected": inline_serializer(
            "RejectedRow",
            {
                "index": serializers.IntegerField(help_text="Place in the batch, from 0."),
                "request_id": serializers.CharField(allow_null=True),
                "errors": serializers.ListField(child=serializers.DictField()),
            },
            many=True,
        ),
    },
)


def filter_parameters() -> list[OpenApiParameter]:
    return [
        OpenApiParameter(
            name,
            str,
            many=True,
            description=f"{dimension.description}; repeatable; 'none' for none.",
        )
        for name, dimension in DIMENSIONS.items()
    ]


PERIOD = [
    OpenApiParameter("from", str, description="First day, or moment with offset."),
    OpenApiParameter("to", str, description="Day or moment that ends the period, not in it."),
]

REPORT_PARAMETERS = [
    *PERIOD,
    OpenApiParameter("granularity", str, enum=GRANULARITIES),
    OpenApiParameter("group_by", str, description=f"Comma-separated: {', '.join(DIMENSIONS)}."),
    OpenApiParameter("metrics", str, description=f"Comma-separated: {', '.join(METRICS)}."),
    OpenApiParameter("order", str, description="Comma-separated columns, '-' for descending."),
    OpenApiParameter("limit", int, description="Rows to show; the rest is summed in `other`."),
    OpenApiParameter("compare", str, enum=list(COMPARISONS), description=COMPARISONS["previous"]),
    OpenApiParameter("timezone", str, description="Cut days and hours in this zone instead."),
    *filter_parameters(),
]

REPORT_RESPONSES = inline_serializer(
    "Report",
    {
        "query": serializers.DictField(),
        "columns": serializers.ListField(child=serializers.DictField()),
        "rows": serializers.ListField(child=serializers.DictField()),
        "other": serializers.DictField(allow_null=True),
        "totals": serializers.DictField(),
        "row_count": serializers.IntegerField(),
        "warnings": serializers.ListField(child=serializers.CharField()),
    },
)

REQUEST_PARAMETERS = [
    *PERIOD,
    OpenApiParameter("request_id", str),
    OpenApiParameter("request_id__startswith", str),
    OpenApiParameter("status", int),
    OpenApiParameter("tag", str, description="`name:value`, or a name alone; repeatable"),
    OpenApiParameter("cost_min", str),
    OpenApiParameter("cost_max", str),
    OpenApiParameter("latency_min", int, description="Milliseconds."),
    OpenApiParameter("latency_max", int, description="Milliseconds."),
    OpenApiParameter("unpriced", bool, description="Only requests without a price."),
    OpenApiParameter("page_size", int),
    OpenApiParameter("cursor", str),
    *filter_parameters(),
]
