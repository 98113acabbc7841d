"""The request log's filters as people meet them: a form's fields, and chips to take them off."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Model, QuerySet
from django.http import QueryDict

from accounts.access import Reach
from accounts.models import ApiKey, Client, Member, Project, shortened
from usage.reports.question import Question, today_in
from usage.reports.run import ask

PAGING = ("cursor", "page_size")
SUGGESTIONS = 200
SUGGESTED_DAYS = 30
TOO_LONG_FOR_AN_ID = 10

LABELS = {
    "account": "Account",
    "workspace": "Workspace",
    "project": "Project",
    "client": "Client",
    "member": "Member",
    "api_key": "API key",
    "model": "Model",
    "provider": "Provider",
    "endpoint": "Endpoint",
    "status_class": "Status",
    "status": "Status",
    "error_type": "Error",
    "service_tier": "Service tier",
    "streamed": "Streamed",
    "cost_min": "Cost at least",
    "cost_max": "Cost at most",
    "latency_min": "Latency at least",
    "latency_max": "Latency at most",
    "request_id": "Request id",
    "request_id__startswith": "Request id begins with",
    "unpriced": "Without a price",
    "tag": "Tag",
    "from": "From",
    "to": "Through",
}
NAMED_BY_ID: dict[str, type[Model]] = {
    "project_id": Project,
    "client_id": Client,
    "member_id": Member,
    "api_key_id": ApiKey,
}


@dataclass(frozen=True, slots=True)
class Chip:
    """One active filter and the query string without it."""

    label: str
    value: str
    without: str


def chips(
    parameters: QueryDict, reach: Reach, *, zone: ZoneInfo, names: dict[str, dict[str, str]]
) -> list[Chip]:
    found = []
    for name in parameters:
        if name in PAGING:
            continue
        values = parameters.getlist(name)
        for value in values:
            rest = parameters.copy()
            rest.setlist(name, [other for other in values if other != value])
            label = LABELS.get(name.removesuffix("_id"), LABELS.get(name, name))
            text = names.get(name, {}).get(value) or chip_value(name, value, reach, zone=zone)
            found.append(Chip(label, text, query_string(rest)))
    return found


def chip_value(name: str, value: str, reach: Reach, *, zone: ZoneInfo) -> str:
    if name in ("from", "to"):
        return edge_text(name, value, zone=zone)
    if name == "unpriced":
        return "yes"
    if name.startswith("latency_"):
        return f"{value} ms"
    if name.startswith("cost_"):
        return f"${value}"
    if name == "account":
        return next((a.name for a in reach.accounts if a.slug == value), value)
    if name == "workspace":
        return next((w.name for w in reach.workspaces if w.slug == value), value)
    return shortened(value) if name == "api_key" else value


def names_by_id(
    parameters: QueryDict, visible: Callable[[type[Model]], QuerySet[Any]]
) -> dict[str, dict[str, str]]:
    """Parameter -> id -> name, of what links chose by id and the reader may see.

    Of anything else nothing is told but its number.
    """
    return {
        name: {
            value: str(visible(model).filter(pk=int(value)).first() or f"no. {value}")
            for value in parameters.getlist(name)
            if value.isdecimal() and len(value) < TOO_LONG_FOR_AN_ID
        }
        for name, model in NAMED_BY_ID.items()
        if name in parameters
    }


def edge_text(name: str, value: str, *, zone: ZoneInfo) -> str:
    """A day as it is; of `to`, which itself is left out, the day before. Moments in the zone."""
    try:
        if len(value) == len("2026-01-31"):
            day = date.fromisoformat(value)
            return (day - timedelta(1) if name == "to" else day).isoformat()
        return f"{datetime.fromisoformat(value).astimezone(zone):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return value


def query_string(parameters: QueryDict) -> str:
    """What names the same rows, from the first page on."""
    rest = parameters.copy()
    for name in PAGING:
        rest.pop(name, None)
    return rest.urlencode()


def suggestions(
    reach: Reach,
    *,
    members: QuerySet[Member],
    projects: QuerySet[Project],
    keys: QuerySet[ApiKey],
    now: datetime,
) -> dict[str, list[tuple[str, str]]]:
    """What there is to filter by, as (value, name) pairs; the first 200 of each."""
    return {
        **used_names(reach, now=now),
        "member": pairs(members, "identifier"),
        "project": pairs(projects, "tag"),
        "api_key": pairs(keys, "identifier"),
    }


def pairs(rows: Iterable[Any], key: str) -> list[tuple[str, str]]:
    return [(getattr(row, key), str(row)) for row in rows[:SUGGESTIONS]]  # type: ignore[index]


def used_names(reach: Reach, *, now: datetime) -> dict[str, list[tuple[str, str]]]:
    """Models, providers and endpoints that requests within reach lately named, most used first.

    Never the tables of names themselves: those hold what other accounts call their models.
    """
    tomorrow = today_in(reach, now=now) + timedelta(1)
    names = ("model", "provider", "endpoint")
    asked = Question(
        reach=reach,
        start=tomorrow - timedelta(SUGGESTED_DAYS),
        end=tomorrow,
        group_by=names,
        metrics=("requests",),
    )
    rows = ask(asked, now=now).rows
    found = {name: list(dict.fromkeys(row[name] for row in rows if row[name])) for name in names}
    return {name: [(value, value) for value in values] for name, values in found.items()}
