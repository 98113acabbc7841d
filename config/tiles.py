"""The tiles at the top of the dashboard: a figure each, its change and its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import accumulate
from typing import Any

from config import attention, sparkline
from config.daily import Projection, Row
from config.view import View
from usage import formatting
from usage.changes import Change, point_change, relative_change

METRICS = (
    "cost",
    "requests",
    "errors",
    "error_rate",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cache_hit_rate",
    "cost_per_request",
    "unpriced_requests",
    "latency_ms_p50",
    "latency_ms_p95",
)


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str
    exact: str
    note: str
    change: Change
    link: str | None = None
    line: str = ""


def tiles(
    view: View,
    now: dict[str, Any],
    before: dict[str, Any],
    incomparable: Change | None,
    *,
    lines: Mapping[str, Sequence[Decimal | None]],
    projection: Projection,
    days: Sequence[Row],
) -> list[Tile]:
    drawn = {name: sparkline.points(values) for name, values in lines.items()}
    return [
        replace(tile, line=drawn.get(metric, ""))
        for metric, tile in (
            ("cost", spend(view, now, before, incomparable)),
            ("requests", requests(view, now, before, incomparable)),
            ("total_tokens", tokens(view, now, before, incomparable)),
            ("error_rate", error_rate(view, now, before, incomparable)),
            ("latency_ms_p95", latency(view, now, before, incomparable)),
            ("cache_hit_rate", cache_hit_rate(view, now, before, incomparable)),
        )
    ] + [month_end(view, projection, days)]


def spend(view: View, now: Row, before: Row, incomparable: Change | None) -> Tile:
    return Tile(
        "Spend",
        formatting.money(now["cost"]),
        formatting.exact_money(now["cost"]),
        unpriced_note(now),
        relative_change(now["cost"], before["cost"], incomparable),
        view.explorer_url("cost"),
    )


def requests(view: View, now: Row, before: Row, incomparable: Change | None) -> Tile:
    return Tile(
        "Requests",
        formatting.compact(now["requests"]),
        formatting.count(now["requests"]),
        f"{formatting.money(now['cost_per_request'])} each",
        relative_change(now["requests"], before["requests"], incomparable),
        view.explorer_url("requests"),
    )


def tokens(view: View, now: Row, before: Row, incomparable: Change | None) -> Tile:
    return Tile(
        "Tokens",
        formatting.compact(now["total_tokens"]),
        formatting.count(now["total_tokens"]),
        f"{formatting.compact(now['input_tokens'])} in · "
        f"{formatting.compact(now['output_tokens'])} out",
        relative_change(now["total_tokens"], before["total_tokens"], incomparable),
        view.explorer_url("total_tokens"),
    )


def error_rate(view: View, now: Row, before: Row, incomparable: Change | None) -> Tile:
    errors = f"{formatting.count(now['errors'])} of {formatting.count(now['requests'])} failed"
    return Tile(
        "Error rate",
        formatting.percent(now["error_rate"]),
        errors,
        errors,
        point_change(now["error_rate"], before["error_rate"], incomparable, more_is="bad"),
        view.explorer_url("error_rate"),
    )


def latency(view: View, now: Row, before: Row, incomparable: Change | None) -> Tile:
    slowest = now["latency_ms_p95"]
    return Tile(
        "Latency, p95",
        formatting.duration(slowest),
        "95 % of requests were answered within this time, to within 4.9 %",
        f"half within {formatting.duration(now['latency_ms_p50'])}" if slowest else "not reported",
        relative_change(slowest, before["latency_ms_p95"], incomparable, more_is="bad"),
        view.explorer_url("latency_ms_p95", by="model"),
    )


def cache_hit_rate(view: View, now: Row, before: Row, incomparable: Change | None) -> Tile:
    return Tile(
        "Cache hit rate",
        formatting.percent(now["cache_hit_rate"]),
        "Input tokens read from a cache, of all input tokens",
        "of input tokens",
        point_change(now["cache_hit_rate"], before["cache_hit_rate"], incomparable, more_is="good"),
        view.explorer_url("cache_hit_rate"),
    )


def month_end(view: View, projection: Projection, days: Sequence[Row]) -> Tile:
    """Where the month is heading; its line adds up the month's days so far."""
    month = f"{projection.month:%B}"
    so_far = f"{formatting.money(projection.spent)} so far"
    link = f"?{view.as_query(range='month')}"
    end = projection.at_the_end
    if end is None:
        return Tile(f"End of {month}", formatting.UNKNOWN, "", so_far, Change("too early"), link)
    likely = f"{formatting.estimate(end.low)} to {formatting.estimate(end.high)}"
    spent = [row["cost"] or Decimal(0) for row in days if row["day"] >= projection.month]
    return Tile(
        f"End of {month}",
        f"≈ {formatting.estimate(end.expected)}",
        f"Forecast from each weekday's share and the last weeks; four of five such months end "
        f"between {likely}",
        so_far,
        Change(likely),
        link,
        sparkline.points(list(accumulate(spent))),
    )


def unpriced_note(totals: dict[str, Any]) -> str:
    number = totals["unpriced_requests"]
    return f"{attention.plural(number, 'request')} unpriced" if number else ""
