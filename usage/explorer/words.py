"""What metrics and dimensions are called on pages, and how their figures read."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from usage import buckets, formatting
from usage.reports.catalogue import DIMENSIONS, METERS, METRICS, PERCENTILES

METRIC_LABELS = {
    "cost": "Spend",
    "errors": "Errors",
    "error_rate": "Error rate",
    "input_tokens": "Input tokens",
    "uncached_input_tokens": "Uncached input",
    "cache_read_tokens": "Cache reads",
    "cache_write_tokens": "Cache writes",
    "cache_write_1h_tokens": "Cache writes, 1 hour",
    "total_tokens": "Tokens",
    "cost_per_request": "Spend per request",
    "cost_per_million_tokens": "Spend per million tokens",
    "reported_cost": "Reported cost",
    "reported_cost_difference": "Reported minus computed",
    "unpriced_requests": "Unpriced requests",
    "ceiling_cost": "Ceiling of unpriced",
    "latency_ms": "Latency, average",
    "time_to_first_token_ms": "First token, average",
}
DURATION_LABELS = {"latency_ms": "Latency", "time_to_first_token_ms": "First token"}
DIMENSION_LABELS = {
    "api_key": "API key",
    "status_class": "Status",
    "error_type": "Error type",
    "service_tier": "Service tier",
}
NOTHING = {
    "client": "no client",
    "project": "no project",
    "member": "no member",
    "api_key": "no API key",
    "provider": "no provider",
    "endpoint": "no endpoint",
    "error_type": "no error",
    "service_tier": "standard tier",
    "streamed": "not known",
}
YES_AND_NO = {"true": "streamed", "false": "not streamed"}


def plain_words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def metric_label(name: str) -> str:
    if name in PERCENTILES:
        duration, percent = PERCENTILES[name]
        return f"{DURATION_LABELS[duration]} p{percent}"
    return METRIC_LABELS.get(name, plain_words(name.removeprefix("meter_")))


def dimension_label(name: str) -> str:
    return DIMENSION_LABELS.get(name, plain_words(name))


def axis_label(axis: str) -> str:
    return dimension_label(axis) if axis in DIMENSIONS else plain_words(axis)


def metric_group(name: str) -> str:
    """Under which heading the metric is offered."""
    if name in METERS:
        return "Other meters"
    return {
        "USD": "Money",
        "requests": "Requests",
        "ratio": "Rates",
        "tokens": "Tokens",
        "milliseconds": "Speed",
        "tokens per second": "Speed",
    }[METRICS[name].unit]


def value_text(axis: str, values: dict[str, Any], zone: ZoneInfo) -> str:
    """What one value of an axis is called; `values` are the columns of an answer."""
    if axis not in DIMENSIONS:
        return buckets.title(values[axis], axis, zone)
    key = values[axis]
    if key is None:
        return NOTHING.get(axis, "none")
    if axis == "streamed":
        return YES_AND_NO.get(key, key)
    return values.get(f"{axis}_name") or key or "(empty)"


def figure_text(metric: str, value: Any, *, short: bool = False) -> str:
    return FORMATS.get(METRICS[metric].unit, _count)(value, short)


def exact_text(metric: str, value: Any) -> str:
    """Every digit, for those who look closely."""
    if value is None:
        return "unknown"
    unit = METRICS[metric].unit
    if unit == "USD":
        return formatting.exact_money(value)
    if unit == "ratio":
        return f"{trimmed(value * 100)} %"
    number = f"{value:,}" if isinstance(value, int) else trimmed(value)
    return f"{number} {unit}"


def trimmed(value: Decimal) -> str:
    return f"{value.normalize():,f}" if value else "0"


def _count(value: int | None, short: bool) -> str:
    return formatting.compact(value) if short else formatting.count(value)


def _speed(value: Decimal | None) -> str:
    return formatting.UNKNOWN if value is None else f"{value.quantize(Decimal('0.1')):,}/s"


FORMATS: dict[str, Callable[[Any, bool], str]] = {
    "USD": lambda value, short: formatting.money(value),
    "ratio": lambda value, short: formatting.percent(value),
    "milliseconds": lambda value, short: formatting.duration(value),
    "tokens per second": lambda value, short: _speed(value),
}


def bucket_label(bucket: Any, grain: str, zone: ZoneInfo, *, with_day: bool) -> str:
    """Short, for axes and headings of columns; hours of several days say which day."""
    text = buckets.label(bucket, grain, zone)
    if with_day and grain in buckets.STEPS:
        local = bucket.astimezone(zone)
        return f"{local:%b} {local.day} {text}"
    return text
