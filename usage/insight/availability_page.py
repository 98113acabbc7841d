"""The page of availability: which providers are up, the last day and quarter, and what was told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounts.access import Reach
from usage.availability_models import (
    OutageWatch,
    ProviderChange,
    ProviderCheck,
    ProviderMinute,
    ProviderState,
)
from usage.insight import availability
from usage.insight.availability import WINDOW_NAMES, Passive
from usage.insight.pages import part_of, render
from usage.models import LlmModel, Provider
from usage.query_strings import tidied
from usage.reports.question import Question, today_in
from usage.reports.run import ask

HOURS, DAYS = 24, 90
SEEN_DAYS = 30
SHOWN_CHANGES = 30
WINDOWS = {"5m": "5 minutes", "30m": "30 minutes", "1d": "1 day"}
GOOD, FAIR = Decimal("0.98"), Decimal("0.9")

# How many minutes something is known of in each cell, and how many of them well: as they were
# judged, or, where nobody looked then, as most of their requests ended.
CELLS = """
SELECT provider_id, {cell} AS cell, count(*),
    count(*) FILTER (WHERE coalesce(is_ok, failed * 2 < requests))
FROM usage_providerminute
WHERE provider_id = ANY(%(providers)s) AND minute >= %(start)s
    AND (is_ok IS NOT NULL OR requests > 0)
GROUP BY provider_id, cell
"""
HOUR_CELL = "date_trunc('hour', minute, 'UTC')"
DAY_CELL = "(minute AT TIME ZONE %(zone)s)::date"


@dataclass(frozen=True, slots=True)
class Cell:
    """A bit of the grid; `tone` is good, fair, bad or empty where nothing is known."""

    label: str
    tone: str


@dataclass(frozen=True, slots=True)
class Row:
    """A window of requests: of a provider, or of one of its models."""

    name: str
    windows: list[Passive]


@dataclass(slots=True)
class Standing:
    """All that is known of one provider."""

    provider: Provider
    state: ProviderState | None = None
    check: ProviderCheck | None = None
    last: ProviderMinute | None = None
    hours: list[Cell] = field(default_factory=list)
    days: list[Cell] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    @property
    def label(self) -> tuple[str, str]:
        """(what it is called, tone)."""
        if self.state is not None and not self.state.is_up:
            return "down", "bad"
        return ("up", "good") if self.is_known else ("unknown", "")

    @property
    def is_known(self) -> bool:
        checked = self.last is not None and self.last.check_ok is not None
        return checked or any(window.requests for row in self.rows[:1] for window in row.windows)


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    part, now = part_of(request), timezone.now()
    standings = standings_of(part.reach, now=now, zone=part.zone)
    providers = [one.provider.pk for one in standings]
    changes = ProviderChange.objects.filter(provider__in=providers).select_related("provider")
    return render(
        request,
        "usage/insight/availability.html",
        title="Availability",
        part=part,
        standings=standings,
        changes=changes[:SHOWN_CHANGES],
        windows=WINDOWS.values(),
        now=now,
        hours=HOURS,
        days=DAYS,
        checks_url=may_see(request, ProviderCheck),
        mails_url=may_see(request, OutageWatch),
    )


def may_see(request: HttpRequest, model: Any) -> str:
    """Where a table is changed, for those who may see it."""
    if not admin.site.get_model_admin(model).has_view_permission(request):
        return ""
    return reverse(f"admin:usage_{model._meta.model_name}_changelist")


def providers_of(reach: Reach, *, now: datetime) -> list[Provider]:
    """Those that are used in this reach; what others use is none of the reader's business."""
    end = today_in(reach, now=now) + timedelta(1)
    question = Question(
        reach=reach,
        start=end - timedelta(SEEN_DAYS),
        end=end,
        group_by=("provider",),
        metrics=("requests",),
    )
    used = [row["provider_id"] for row in ask(question, now=now).rows if row["provider_id"]]
    return list(Provider.objects.filter(pk__in=used))


def standings_of(reach: Reach, *, now: datetime, zone: ZoneInfo) -> list[Standing]:
    """The providers, those that are down first."""
    found = {provider.pk: Standing(provider) for provider in providers_of(reach, now=now)}
    for state in ProviderState.objects.filter(provider__in=found):
        found[state.provider_id].state = state
    for check in ProviderCheck.objects.filter(provider__in=found, is_enabled=True):
        found[check.provider_id].check = check
    for minute in last_checks(found, now=now):
        found[minute.provider_id].last = minute
    ids = list(found)
    hours, days = cells(ids, HOUR_CELL, now=now), cells(ids, DAY_CELL, now=now, zone=zone)
    windows = availability.passive(reach.workspace_ids, now=now)
    names = dict(
        LlmModel.objects.filter(pk__in=[m for _, m in windows if m]).values_list("pk", "name")
    )
    for pk, one in found.items():
        one.hours = hour_cells(pk, hours, now=now, zone=zone)
        one.days = day_cells(pk, days, now=now, zone=zone)
        one.rows = rows_of(pk, windows, names)
    return sorted(found.values(), key=lambda one: (one.label[0] != "down", one.provider.name))


def last_checks(providers: Iterable[int], *, now: datetime) -> Iterable[ProviderMinute]:
    recent = ProviderMinute.objects.filter(
        provider__in=list(providers),
        minute__gt=now - timedelta(hours=1),
        check_ok__isnull=False,
    )
    return recent.order_by("provider_id", "-minute").distinct("provider_id")


def rows_of(
    provider: int, windows: dict[tuple[int, int | None], dict[str, Passive]], names: dict[int, str]
) -> list[Row]:
    """All of the provider, then its models, the most used first."""
    mine = {model: found for (pk, model), found in windows.items() if pk == provider}
    whole = mine.pop(None, None)
    if whole is None:
        return []
    models = sorted(mine.items(), key=lambda item: -item[1]["1d"].requests)
    return [Row("All models", listed(whole))] + [
        Row(names.get(model or 0, "unknown"), listed(found)) for model, found in models
    ]


def listed(found: dict[str, Passive]) -> list[Passive]:
    return [found[name] for name in WINDOW_NAMES]


def cells(
    providers: Sequence[int], cell: str, *, now: datetime, zone: ZoneInfo | None = None
) -> dict[tuple[int, Any], tuple[int, int]]:
    """(provider, cell) -> minutes that were judged, and those that were well."""
    length = timedelta(days=DAYS) if zone else timedelta(hours=HOURS)
    given: dict[str, Any] = {"providers": list(providers), "start": now - length}
    given["zone"] = zone and zone.key
    with connection.cursor() as cursor:
        cursor.execute(CELLS.format(cell=cell), given)
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor.fetchall()}


def hour_cells(
    provider: int, known: dict[Any, Any], *, now: datetime, zone: ZoneInfo
) -> list[Cell]:
    last = now.replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in reversed(range(HOURS))]
    return [
        cell(f"{hour.astimezone(zone):%a %H:%M}", known.get((provider, hour))) for hour in hours
    ]


def day_cells(provider: int, known: dict[Any, Any], *, now: datetime, zone: ZoneInfo) -> list[Cell]:
    today = now.astimezone(zone).date()
    days = [today - timedelta(back) for back in reversed(range(DAYS))]
    return [cell(f"{day:%Y-%m-%d}", known.get((provider, day))) for day in days]


def cell(label: str, found: tuple[int, int] | None) -> Cell:
    if found is None:
        return Cell(f"{label}: nothing known", "empty")
    minutes, well = found
    part = Decimal(well) / minutes
    tone = "good" if part >= GOOD else "fair" if part >= FAIR else "bad"
    bad = minutes - well
    said = f"{bad} of {minutes} minutes failed" if bad else f"{minutes} minutes, all well"
    return Cell(f"{label}: {said}", tone)


def as_json(one: Standing) -> dict[str, Any]:
    """A provider as the API gives it."""
    check, last = one.check, one.last
    return {
        "provider": one.provider.name,
        "state": one.label[0],
        "since": one.state and one.state.since,
        "check": None
        if check is None
        else {
            "ok": last and last.check_ok,
            "status": last and last.check_status,
            "latency_ms": last and last.check_ms,
            "error": (last and last.check_error) or None,
            "checked_at": last and last.minute,
        },
        "requests": windows_json(one.rows[:1]),
        "models": [{"model": row.name, "requests": windows_json([row])} for row in one.rows[1:]],
    }


def windows_json(rows: list[Row]) -> dict[str, Any]:
    empty = [Passive(0, 0, 0)] * len(WINDOW_NAMES)
    windows = rows[0].windows if rows else empty
    return {name: w.as_dict() for name, w in zip(WINDOW_NAMES, windows, strict=True)}
