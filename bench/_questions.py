"""What a dashboard asks: for the report service, and in plain SQL for any engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from accounts.access import Reach
from bench._engines import Engine
from bench._traffic import Traffic
from usage.reports.question import MAX_ROWS, Filter, Question
from usage.reports.run import Report

Answer = Mapping[tuple[str | None, ...], tuple[Decimal, ...]]

DAYS_ASKED = 30
FAILED = "count(*) FILTER (WHERE status >= 400)"

# Metric of a report -> SQL that all engines understand.
AGGREGATES = {
    "requests": "count(*)",
    "errors": FAILED,
    "error_rate": f"{FAILED} * 1.0 / count(*)",
    "total_tokens": "sum(input + cache_read + cache_write_5m + cache_write_1h + output)",
    "cost": "coalesce(sum(cost), 0)",
    "unpriced_requests": "count(*) FILTER (WHERE cost IS NULL)",
}
PERCENTILES = ("latency_ms_p50", "latency_ms_p95", "latency_ms_p99")
SHARES = "0.5, 0.95, 0.99"

# The service rounds quotients to the places that money has; everything else is exact.
ROUNDED = {"error_rate": Decimal("1e-10")}


@dataclass(frozen=True)
class Asked:
    """One question; without `minutes` it is about the last 30 days, today included."""

    name: str
    metrics: tuple[str, ...]
    group_by: tuple[str, ...] = ()
    granularity: str = "none"
    limit: int | None = None
    of_one_member: bool = False
    minutes: int = 0

    def period(self, traffic: Traffic) -> tuple[date, date] | tuple[datetime, datetime]:
        if self.minutes:
            end = traffic.end.replace(second=0, microsecond=0)
            return end - timedelta(minutes=self.minutes), end
        return traffic.today - timedelta(DAYS_ASKED - 1), traffic.today + timedelta(1)

    def question(self, traffic: Traffic, reach: Reach) -> Question:
        start, end = self.period(traffic)
        return Question(
            reach=reach,
            start=start,
            end=end,
            granularity=self.granularity,
            group_by=self.group_by,
            metrics=self.metrics,
            filters={"member": Filter(ids=(traffic.member.pk,))} if self.of_one_member else {},
            limit=self.limit,
        )

    def sql(self, engine: Engine, traffic: Traffic, reach: Reach) -> str:
        """The same question as somebody would write it down, with the service's order."""
        keys = [f"{name}_id" for name in self.group_by]
        if self.granularity != "none":
            day = engine.day(traffic.account.time_zone)
            keys = [{"day": day, "minute": engine.minute()}[self.granularity], *keys]
        grouped = f"GROUP BY {', '.join(keys)} {self.order(keys)}" if keys else ""
        return (
            f"SELECT {', '.join([*keys, *self.aggregates(engine)])} FROM {engine.table} "
            f"WHERE {' AND '.join(self.conditions(traffic, reach))} {grouped}"
        )

    def aggregates(self, engine: Engine) -> list[str]:
        if self.metrics == PERCENTILES:
            return [engine.percentiles("latency_ms", SHARES)]
        return [AGGREGATES[name] for name in self.metrics]

    def order(self, keys: Sequence[str]) -> str:
        if self.metrics == PERCENTILES:
            return ""
        first = f"{AGGREGATES[self.metrics[0]]} DESC"
        time = [] if self.granularity == "none" else [keys[0]]
        return f"ORDER BY {', '.join([*time, first, *keys])} LIMIT {self.limit or MAX_ROWS}"

    def conditions(self, traffic: Traffic, reach: Reach) -> list[str]:
        start, end = (moment(edge, traffic) for edge in self.period(traffic))
        found = [f"occurred_at >= '{start}'", f"occurred_at < '{end}'"]
        if len(reach.workspaces) == 1:
            found.append(f"workspace_id = {reach.workspaces[0].pk}")
        if self.of_one_member:
            found.append(f"member_id = {traffic.member.pk}")
        return found


def moment(edge: date | datetime, traffic: Traffic) -> str:
    """An edge of a period in UTC, which every engine is set to."""
    if not isinstance(edge, datetime):
        edge = datetime.combine(edge, time.min, tzinfo=traffic.zone)
    return f"{edge.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


SPEND = ("cost", "requests", "total_tokens")

DASHBOARD = (
    Asked("totals", ("requests", "errors", "total_tokens", "cost", "unpriced_requests")),
    Asked("day x model", SPEND, ("model",), "day"),
    Asked("top members", SPEND, ("member",), limit=10),
    Asked("project x model", SPEND, ("project", "model")),
    Asked("one member's days", SPEND, granularity="day", of_one_member=True),
    Asked("error rate by model", ("error_rate", "requests", "errors"), ("model",)),
    Asked("latency percentiles by provider", PERCENTILES, ("provider",)),
    Asked("last hour by minute", ("requests", "errors", "cost"), (), "minute", minutes=60),
)

ALL_DIMENSIONS = ("workspace", "project", "api_key", "member", "model", "provider", "endpoint")

# No narrow roll-up covers these.
COMBINATIONS = (
    Asked("key x model x endpoint", SPEND, ("api_key", "model", "endpoint")),
    Asked(
        "workspace x member x provider by day", SPEND, ("workspace", "member", "provider"), "day"
    ),
    Asked("all seven dimensions by day", SPEND, ALL_DIMENSIONS, "day"),
)


def answered(rows: Sequence[Sequence[Any]], asked: Asked) -> Answer:
    """Rows of any engine as one value to compare: keys as text, figures as exact numbers."""
    width = len(asked.group_by) + (asked.granularity != "none")
    return {
        tuple(None if cell is None else str(cell) for cell in row[:width]): tuple(
            figure for cell in row[width:] for figure in figures(cell)
        )
        for row in rows
    }


def figures(cell: Any) -> list[Decimal]:
    """One figure, or several where an engine answers percentiles together."""
    if isinstance(cell, str) and cell.startswith("["):
        cell = cell.strip("[]").split(",")
    if isinstance(cell, list):
        return [Decimal(str(one)) for one in cell]
    return [Decimal(str(cell or 0))]


def of_report(report: Report, asked: Asked) -> Answer:
    if not asked.group_by and asked.granularity == "none":
        return answered([[report.totals[name] for name in asked.metrics]], asked)
    time = [] if asked.granularity == "none" else [asked.granularity]
    names = [*time, *(f"{name}_id" for name in asked.group_by), *asked.metrics]
    return answered([[in_utc(row[name]) for name in names] for row in report.rows], asked)


def in_utc(value: Any) -> Any:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


def differences(exact: Answer, other: Answer, asked: Asked, *, error: float) -> list[str]:
    """What differs, in words; `error` is what percentiles may be off by, as a part of them."""
    if exact.keys() != other.keys():
        return [f"{len(exact.keys() ^ other.keys())} keys of {len(exact)} are only in one of them"]
    share = Decimal(str(error)) if asked.metrics == PERCENTILES else Decimal(0)
    return [
        f"{key} {name}: {a} and {b}"
        for key in exact
        for name, a, b in zip(asked.metrics, exact[key], other[key], strict=True)
        if abs(a - b) > abs(a) * share + ROUNDED.get(name, 0)
    ]
