"""The roll-ups that exist, and the measures that each of them sums."""

import math
from dataclasses import dataclass

DIMENSION_COLUMNS = (
    "project_id",
    "api_key_id",
    "member_id",
    "model_id",
    "provider_id",
    "endpoint_id",
)

# What one request adds to each measure, over a row `l` of the request log.
MEASURES: dict[str, str] = {
    "requests": "1",
    "errors": "(l.status >= 400)::int",
    "unpriced": "(l.cost IS NULL)::int",
    "input": "l.input",
    "cache_read": "l.cache_read",
    "cache_write_5m": "l.cache_write_5m",
    "cache_write_1h": "l.cache_write_1h",
    "output": "l.output",
    "reasoning": "l.reasoning",
    "latency_ms": "coalesce(l.latency_ms, 0)",
    "latency_count": "(l.latency_ms IS NOT NULL)::int",
    "latency_output": "CASE WHEN l.latency_ms IS NULL THEN 0 ELSE l.output END",
    "first_token_ms": "coalesce(l.time_to_first_token_ms, 0)",
    "first_token_count": "(l.time_to_first_token_ms IS NOT NULL)::int",
    "cost": "coalesce(l.cost, 0)",
    "ceiling_cost": "coalesce(l.ceiling_cost, 0)",
    "reported_cost": "coalesce(l.reported_cost, 0)",
    "reported_difference": "coalesce(l.reported_cost - l.cost, 0)",
    "reported_count": "(l.reported_cost IS NOT NULL)::int",
}


@dataclass(frozen=True, slots=True)
class Rollup:
    """A table of sums: one row for each workspace, local day or hour, and set of dimensions."""

    table: str
    grain: str
    dimensions: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return ("workspace_id", self.grain, *self.dimensions)

    @property
    def is_zero(self) -> str:
        """SQL: nothing is left in a row `t` of the table."""
        return "t.requests = 0"

    def covers(self, grain: str, columns: set[str]) -> bool:
        """Whether questions of that grain over those columns can be answered from it."""
        fine_enough = grain == self.grain or (grain == "none" and self.grain == "day")
        return fine_enough and columns <= {"workspace_id", *self.dimensions}


# A report takes the smallest that covers it, and among small ones the first.
ROLLUPS = (
    Rollup("usage_day_model", "day", ("model_id", "provider_id", "endpoint_id")),
    Rollup("usage_day_member", "day", ("member_id", "model_id")),
    Rollup("usage_day_project", "day", ("project_id", "model_id")),
    Rollup("usage_day_key", "day", ("project_id", "api_key_id", "member_id")),
    Rollup("usage_day", "day", DIMENSION_COLUMNS),
    Rollup("usage_hour", "hour", ("model_id", "provider_id", "endpoint_id")),
)

# The durations that have histograms: column of the log -> the histogram's column of counts.
DURATIONS = {"latency_ms": "latency_count", "time_to_first_token_ms": "first_token_count"}


@dataclass(frozen=True, slots=True)
class Histogram(Rollup):
    """A table of counts: how many of the key's requests took how long.

    A row counts the durations in one bucket, so histograms of days, models and providers add up
    to the histogram of all of them, which averages and percentiles do not. Bucket 0 counts
    durations of 0 ms, bucket n those in `[BUCKET_RATIO ** (n - 1), BUCKET_RATIO ** n)`.
    """

    @property
    def key(self) -> tuple[str, ...]:
        return ("workspace_id", self.grain, *self.dimensions, "bucket")

    @property
    def is_zero(self) -> str:
        return " AND ".join(f"t.{count} = 0" for count in DURATIONS.values())


# Each bucket reaches 10 % further than the one before. A duration read back as the middle of its
# bucket is at most 4.9 % off; 5 % would halve that for two thirds more rows.
BUCKET_RATIO = 1.1
GREATEST_ERROR = math.sqrt(BUCKET_RATIO) - 1

# Every one can be made of the last.
HISTOGRAMS = (
    Histogram("usage_day_provider_latency", "day", ("provider_id",)),
    Histogram("usage_day_latency", "day", ("model_id", "provider_id")),
)


def bucket_of(milliseconds: str) -> str:
    """SQL for the bucket that a duration is counted in. No power of the ratio is a whole number
    but 1, so rounding never puts one on the wrong side of an edge."""
    return (
        f"CASE WHEN {milliseconds} > 0 "
        f"THEN 1 + floor(ln({milliseconds}) / ln({BUCKET_RATIO}::float8))::int ELSE 0 END"
    )


def middle_of(bucket: str) -> str:
    """SQL for what a bucket's durations are read as: the geometric middle of its whole numbers,
    which is exact where it holds but one."""
    least = f"ceil(power({BUCKET_RATIO}::float8, {bucket} - 1))"
    most = f"ceil(power({BUCKET_RATIO}::float8, {bucket})) - 1"
    return (
        f"CASE WHEN {bucket} > 0 THEN round(sqrt({least} * ({most}))::numeric, 3) "
        f"WHEN {bucket} = 0 THEN 0 END"
    )


# Days and hours are those of the account that the row's workspace belongs to.
LOCAL_DAY = "(l.occurred_at AT TIME ZONE z.time_zone)::date"
LOCAL_HOUR = "date_trunc('hour', l.occurred_at, z.time_zone)"
ZONE_JOIN = """
    JOIN accounts_workspace w ON w.id = l.workspace_id
    JOIN accounts_account z ON z.id = w.account_id"""
