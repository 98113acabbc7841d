"""The closed lists that a report is made of: dimensions and metrics, with units and meanings."""

from dataclasses import dataclass

from usage.pricing.meters import FURTHER_METERS
from usage.rollups.tables import DURATIONS, GREATEST_ERROR


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something that requests are grouped and filtered by.

    `column` is the expression over a row `u` of sums; `key` and `name` are what it is called by,
    over `table` joined on the id. A dimension without a table is its own key.
    """

    name: str
    column: str
    description: str
    table: str | None = None
    key: str | None = None
    label: str | None = None
    # Columns of the log or the roll-ups that must be there to answer it.
    needs: tuple[str, ...] = ()
    # What it is over a row `l` of the log, where no roll-up has it.
    raw: str | None = None

    @property
    def raw_only(self) -> bool:
        return self.raw is not None


def shortened(identifier: str) -> str:
    """SQL for `accounts.models.shortened`: of a digest its first eight characters."""
    return (
        f"CASE WHEN length({identifier}) <= 24 THEN {identifier} "
        f"ELSE left({identifier}, 8) || '…' END"
    )


DIMENSIONS = {
    dimension.name: dimension
    for dimension in (
        Dimension(
            "workspace", "u.workspace_id", "Team or department", "accounts_workspace", "slug",
            "name", ("workspace_id",),
        ),
        Dimension(
            "client", "c.client_id", "Whom the project's costs are passed on to",
            "accounts_client", "slug", "name", ("project_id",),
        ),
        Dimension(
            "project", "u.project_id", "Project tag of the request", "accounts_project", "tag",
            "coalesce(nullif(d.name, ''), d.tag)", ("project_id",),
        ),
        Dimension(
            "member", "u.member_id", "Person or service whose key spent", "accounts_member",
            "identifier", "coalesce(nullif(d.name, ''), d.identifier)", ("member_id",),
        ),
        Dimension(
            "api_key", "u.api_key_id", "API key that the request was made with",
            "accounts_apikey", "identifier",
            f"coalesce(nullif(d.name, ''), {shortened('d.identifier')})",
            ("api_key_id",),
        ),
        Dimension(
            "model", "u.model_id", "Model that answered", "usage_llmmodel", "name",
            needs=("model_id",),
        ),
        Dimension(
            "provider", "u.provider_id", "Who served the request", "usage_provider", "name",
            needs=("provider_id",),
        ),
        Dimension(
            "endpoint", "u.endpoint_id", "API route", "usage_endpoint", "name",
            needs=("endpoint_id",),
        ),
        Dimension(
            "status_class", "u.status_class", "2xx, 4xx, 5xx: the class of the HTTP status",
            raw="(l.status / 100)::text || 'xx'",
        ),
        Dimension(
            "error_type", "u.error_type", "Kind of error, where there was one", raw="l.error_type"
        ),
        Dimension(
            "service_tier", "u.service_tier", "batch, flex, priority or the standard tier",
            raw="l.service_tier",
        ),
        Dimension(
            "streamed", "u.streamed", "Whether the answer was streamed", raw="l.streamed::text"
        ),
    )
}  # fmt: skip

RAW_COLUMNS = {name: one.raw for name, one in DIMENSIONS.items() if one.raw is not None}


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a report: `formula` is SQL over the measures, summed."""

    name: str
    formula: str
    unit: str
    type: str
    description: str

    @property
    def raw_only(self) -> bool:
        return self.name in METERS


TOKENS = "(input + cache_read + cache_write_5m + cache_write_1h + output)"
ALL_INPUT = "(input + cache_read + cache_write_5m + cache_write_1h)"
# Unknown is not zero: where nothing that cost anything has a price, there is no cost to show.
COST = "CASE WHEN unpriced > 0 AND cost = 0 THEN NULL ELSE cost END"

# Metric -> the duration it is of, and how many percent of the requests took no longer.
PERCENTILES = {
    f"{duration}_p{percent}": (duration, percent)
    for duration in DURATIONS
    for percent in (50, 90, 95, 99)
}


def _percentile(name: str) -> Metric:
    """The least duration that so many percent of the requests did not exceed.

    From histograms it is the middle of the bucket that this duration fell into, at most 4.9 % off
    (`GREATEST_ERROR`) whatever the requests; where only single requests answer, it is exact.
    """
    duration, percent = PERCENTILES[name]
    what = "answer time" if duration == "latency_ms" else "time to first token"
    return Metric(
        name, name, "milliseconds", "decimal",
        f"{percent} % of requests had at most this {what}, to within {GREATEST_ERROR:.1%}",
    )  # fmt: skip


# Quantities beside the usual tokens: name of the metric and measure -> the meter, as in prices.
METERS = {f"meter_{meter.name}": meter for meter in FURTHER_METERS if meter.name != "request"}

# What one request adds to the measures without a roll-up, over a row `l` of the log.
RAW_MEASURES = {
    name: f"coalesce((l.meters->>'{meter.name}')::bigint, 0)" for name, meter in METERS.items()
}


METRICS = {
    metric.name: metric
    for metric in (
        Metric("requests", "requests", "requests", "integer", "API requests"),
        Metric("errors", "errors", "requests", "integer", "Requests with HTTP status 400 or more"),
        Metric(
            "error_rate", "errors::numeric / nullif(requests, 0)", "ratio", "decimal",
            "Errors as a part of requests, 0 to 1",
        ),
        Metric(
            "input_tokens", ALL_INPUT, "tokens", "integer",
            "Input tokens, cache reads and writes included",
        ),
        Metric("uncached_input_tokens", "input", "tokens", "integer", "Input tokens beside caches"),
        Metric(
            "cache_read_tokens", "cache_read", "tokens", "integer", "Input tokens read from a cache"
        ),
        Metric(
            "cache_write_tokens", "(cache_write_5m + cache_write_1h)", "tokens", "integer",
            "Input tokens written to a cache, for 5 minutes or 1 hour",
        ),
        Metric(
            "cache_write_1h_tokens", "cache_write_1h", "tokens", "integer",
            "Input tokens written to a cache for 1 hour",
        ),
        Metric(
            "output_tokens", "output", "tokens", "integer", "Output tokens, reasoning included"
        ),
        Metric(
            "reasoning_tokens", "reasoning", "tokens", "integer", "Reasoning part of the output"
        ),
        Metric("total_tokens", TOKENS, "tokens", "integer", "Input and output tokens"),
        Metric(
            "cost", COST, "USD", "decimal",
            "What the requests cost; null where nothing of it has a price",
        ),
        Metric(
            "cost_per_request", "cost / nullif(requests - unpriced, 0)", "USD", "decimal",
            "Cost of a priced request on average",
        ),
        Metric(
            "cost_per_million_tokens",
            f"CASE WHEN unpriced = 0 THEN cost * 1000000 / nullif({TOKENS}, 0) END",
            "USD", "decimal",
            "Cost of a million input and output tokens as used; null where some have no price",
        ),
        Metric(
            "cache_hit_rate", f"cache_read::numeric / nullif({ALL_INPUT}, 0)", "ratio", "decimal",
            "Part of the input tokens that was read from a cache, 0 to 1",
        ),
        Metric(
            "reported_cost", "CASE WHEN reported_count > 0 THEN reported_cost END", "USD",
            "decimal", "Cost as the gateways claimed it; null where none did",
        ),
        Metric(
            "reported_cost_difference",
            "CASE WHEN reported_count > 0 THEN reported_difference END", "USD", "decimal",
            "Claimed minus computed cost, over requests that have both",
        ),
        Metric(
            "unpriced_requests", "unpriced", "requests", "integer",
            "Requests whose cost is not known yet",
        ),
        Metric(
            "ceiling_cost", "ceiling_cost", "USD", "decimal",
            "What the unpriced requests count towards caps meanwhile",
        ),
        Metric(
            "latency_ms", "latency_ms::numeric / nullif(latency_count, 0)", "milliseconds",
            "decimal", "Answer time on average",
        ),
        Metric(
            "time_to_first_token_ms", "first_token_ms::numeric / nullif(first_token_count, 0)",
            "milliseconds", "decimal", "Time to first token on average, of streamed answers",
        ),
        Metric(
            "tokens_per_second", "latency_output * 1000.0 / nullif(latency_ms, 0)",
            "tokens per second", "decimal", "Output tokens per second of answer time",
        ),
        *(_percentile(name) for name in PERCENTILES),
        *(
            Metric(name, name, meter.unit, "integer", meter.description)
            for name, meter in METERS.items()
        ),
    )
}  # fmt: skip

DEFAULT_METRICS = ("requests", "errors", "total_tokens", "cost", "unpriced_requests")
GRANULARITIES = ("none", "minute", "hour", "day", "week", "month")
COMPARISONS = {"previous": "Beside each figure that of the period before, and the change from it"}


def schema() -> dict[str, list[dict[str, str]]]:
    """What may be asked, for people and for programs that build questions."""
    return {
        "metrics": [
            {
                "name": metric.name,
                "type": metric.type,
                "unit": metric.unit,
                "description": metric.description,
            }
            for metric in METRICS.values()
        ],
        "dimensions": [
            {"name": dimension.name, "type": "string", "description": dimension.description}
            for dimension in DIMENSIONS.values()
        ],
        "granularities": [{"name": name} for name in GRANULARITIES],
        "comparisons": [
            {"name": name, "description": description} for name, description in COMPARISONS.items()
        ],
    }
