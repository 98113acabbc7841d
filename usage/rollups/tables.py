"""The roll-ups that exist, and the measures that each of them sums."""

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

    def covers(self, grain: str, columns: set[str]) -> bool:
        """Whether questions of that grain over those columns can be answered from it."""
        fine_enough = grain == self.grain or (grain == "none" and self.grain == "day")
        return fine_enough and columns <= {"workspace_id", *self.dimensions}


# Smallest first: a report takes the first that covers it.
ROLLUPS = (
    Rollup("usage_day_model", "day", ("model_id", "provider_id", "endpoint_id")),
    Rollup("usage_day_member", "day", ("member_id", "model_id")),
    Rollup("usage_day_project", "day", ("project_id", "model_id")),
    Rollup("usage_day_key", "day", ("project_id", "api_key_id", "member_id")),
    Rollup("usage_day", "day", DIMENSION_COLUMNS),
    Rollup("usage_hour", "hour", ("model_id", "provider_id", "endpoint_id")),
)

# Days and hours are those of the account that the row's workspace belongs to.
LOCAL_DAY = "(l.occurred_at AT TIME ZONE z.time_zone)::date"
LOCAL_HOUR = "date_trunc('hour', l.occurred_at, z.time_zone)"
ZONE_JOIN = """
    JOIN accounts_workspace w ON w.id = l.workspace_id
    JOIN accounts_account z ON z.id = w.account_id"""
