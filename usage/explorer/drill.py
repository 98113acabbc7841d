"""From a figure to what is behind it: the same question of less, by the next dimension; at last
the requests themselves."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from django.urls import reverse

from usage import buckets
from usage.explorer.exploration import (
    TIME,
    Exploration,
    Values,
    changed,
    filter_parameters,
    query_string,
)
from usage.explorer.words import dimension_label
from usage.reports.catalogue import DIMENSIONS, GRANULARITIES
from usage.reports.pivot import id_of

# From the whole to the single: what is asked for next, where it is not one already.
STEPS = ("workspace", "client", "project", "member", "api_key", "model", "provider", "endpoint")
USUAL_STEPS = ("workspace", "project", "member", "model", "api_key", "endpoint")
# What is known everywhere by its own words; anything else by its number.
BY_KEY = ("model", "provider", "endpoint")

Changes = dict[str, Any]


def narrowing(exploration: Exploration, values: Mapping[str, Any], axes: Iterable[str]) -> Changes:
    """The parameters that leave only what has these values."""
    found: Changes = {}
    for axis in axes:
        if axis in DIMENSIONS:
            found |= one_value(exploration, axis, values)
        else:
            start, end = edges_of(exploration, values[axis], axis)
            found |= {"from": start.isoformat(), "to": end.isoformat()}
    return found


def one_value(exploration: Exploration, axis: str, values: Mapping[str, Any]) -> Changes:
    value = values[id_of(axis)]
    found: Changes = {axis: None, f"{axis}_id": None}
    if value is None:
        return found | {axis: "none"}
    if axis == "workspace" and exploration.account:
        return found | {axis: values[axis]}
    by_id = DIMENSIONS[axis].table is not None and axis not in BY_KEY
    return found | ({f"{axis}_id": str(value)} if by_id else {axis: str(values[axis])})


def edges_of(
    exploration: Exploration, bucket: Any, grain: str
) -> tuple[date | datetime, date | datetime]:
    """The part of the period that the bucket is."""
    asked = exploration.question
    if grain in buckets.STEPS:
        return bucket, bucket + buckets.STEPS[grain]
    start, end = bucket, buckets.after(bucket, grain)
    if not asked.by_days:
        zone = exploration.zone
        start, end = buckets.moment_of(start, zone), buckets.moment_of(end, zone)
    return max(start, asked.start), min(end, asked.end)


def next_dimension(exploration: Exploration, parameters: Values) -> str | None:
    """What to ask by with these filters; None where it is time for the requests."""
    return next(
        (
            name
            for name in USUAL_STEPS
            if not parameters.get(name)
            and not parameters.get(f"{name}_id")
            and not (name == "workspace" and len(exploration.question.reach.workspaces) == 1)
        ),
        None,
    )


def deeper(exploration: Exploration, changes: Changes, axes: Iterable[str]) -> str:
    """Where a click on a figure leads that only these parameters leave, of values on these axes."""
    axes = list(axes)
    parameters = exploration.parameters()
    dimension = next_dimension(exploration, changed(parameters, changes))
    in_moments = any(axis in buckets.STEPS for axis in axes)
    if dimension is None or in_moments:
        return requests_url(exploration, changes)
    within_time = any(axis in GRANULARITIES for axis in axes)
    keeps_time = exploration.spread == TIME and not within_time
    changes |= {
        "group_by": dimension,
        "columns": TIME if keeps_time else None,
        "granularity": exploration.grain if keeps_time else None,
        **dict.fromkeys(("order", "by", "limit", "chart")),
    }
    return f"?{query_string(changed(parameters, changes))}"


def steps(exploration: Exploration) -> list[dict[str, Any]]:
    """The dimensions that the rows may be instead, each with its link."""
    found = []
    for name in STEPS:
        group_by = [name, *([exploration.spread] if exploration.spread in DIMENSIONS else [])]
        found.append(
            {
                "label": dimension_label(name),
                "query": exploration.query(
                    group_by=",".join(dict.fromkeys(group_by)), order=None, by=None
                ),
                "is_current": exploration.row_axes == [name],
            }
        )
    return found


def requests_url(exploration: Exploration, changes: Changes | None = None) -> str:
    """The request log with the same filters, and these."""
    asked = exploration.question
    found: Values = {
        "account": [exploration.account.slug] if exploration.account else [],
        "from": [log_edge(exploration, asked.start)],
        "to": [log_edge(exploration, asked.end)],
        **filter_parameters(asked.filters),
    }
    return f"{reverse('admin:request_log')}?{query_string(changed(found, changes or {}))}"


def log_edge(exploration: Exploration, edge: date | datetime) -> str:
    """The log cuts days in the account's zone; those of another zone are told as moments."""
    if exploration.question.time_zone:
        return buckets.moment_of(edge, exploration.zone).isoformat()
    return edge.isoformat()
