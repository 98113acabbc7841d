"""The page of latency and errors: how fast and how well each model answers, against before."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounts.access import Reach
from usage import formatting
from usage.insight.pages import Part, part_of, render
from usage.query_strings import tidied
from usage.reports.question import Question, today_in
from usage.reports.run import ask

RANGES = {"1": "Today", "7": "7 days", "30": "30 days"}
DEFAULT = "7"
SHOWN = 40
METRICS = (
    "requests",
    "latency_ms_p50",
    "latency_ms_p95",
    "time_to_first_token_ms_p50",
    "time_to_first_token_ms_p95",
    "tokens_per_second",
)
# Changes below it are chance.
LEAST_CHANGE = Decimal("0.05")
LEAST_POINTS = Decimal("0.002")

# 429 says something of one's own limits, other 4xx of the requests, 5xx of the provider.
STATUSES = """
SELECT l.model_id, l.endpoint_id, is_now, count(*),
    count(*) FILTER (WHERE l.status BETWEEN 400 AND 499 AND l.status <> 429),
    count(*) FILTER (WHERE l.status = 429), count(*) FILTER (WHERE l.status >= 500)
FROM usage_requestlog l
JOIN unnest(%(workspaces)s::int[], %(zones)s::text[]) AS z(workspace_id, time_zone)
    USING (workspace_id)
CROSS JOIN LATERAL (SELECT (l.occurred_at AT TIME ZONE z.time_zone)::date AS day) d
CROSS JOIN LATERAL (SELECT d.day >= %(start)s AS is_now) n
WHERE l.workspace_id = ANY(%(workspaces)s)
    AND l.occurred_at >= %(before)s::timestamptz - interval '15 hours'
    AND l.occurred_at < %(end)s::timestamptz + interval '15 hours'
    AND d.day >= %(before)s AND d.day < %(end)s
GROUP BY l.model_id, l.endpoint_id, is_now
"""
CLASSES = ("4xx", "429", "5xx")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and how it changed; `tone` says whether that is good news."""

    text: str
    change: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    model: str
    endpoint: str
    requests: int
    figures: list[Figure]
    log_url: str


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    part, now = part_of(request), timezone.now()
    chosen = request.GET.get("days", DEFAULT)
    chosen = chosen if chosen in RANGES else DEFAULT
    end = today_in(part.reach, now=now) + timedelta(1)
    start = end - timedelta(int(chosen))
    return render(
        request,
        "usage/insight/latency.html",
        title="Latency and errors",
        part=part,
        days=chosen,
        ranges=[(key, label, query(request, key)) for key, label in RANGES.items()],
        lines=lines(part, start, end, now=now),
        before=formatting.days(start - (end - start), start),
        shown=SHOWN,
    )


def query(request: HttpRequest, days: str) -> str:
    found = request.GET.copy()
    found["days"] = days
    return found.urlencode()


def lines(part: Part, start: date, end: date, *, now: datetime) -> list[Line]:
    """The most used first, each beside the period before."""
    question = Question(
        reach=part.reach,
        start=start,
        end=end,
        group_by=("model", "endpoint"),
        metrics=METRICS,
        compare="previous",
        order=("-requests",),
        limit=SHOWN,
    )
    statuses = statuses_of(part.reach, start, end)
    return [
        line(row, statuses, part, start, end)
        for row in ask(question, now=now).rows
        if row["requests"]
    ]


def line(
    row: dict[str, Any],
    statuses: dict[tuple[Any, ...], list[Decimal]],
    part: Part,
    start: date,
    end: date,
) -> Line:
    key = (row["model_id"], row["endpoint_id"])
    now, before = statuses.get((*key, True), []), statuses.get((*key, False), [])
    rates = [
        rate(now[i] if now else None, before[i] if before else None) for i in range(len(CLASSES))
    ]
    given = {"account": part.account, "workspace": part.workspace, "model_id": row["model_id"]}
    given |= {"from": start.isoformat(), "to": end.isoformat()}
    given |= {"endpoint_id": row["endpoint_id"]} if row["endpoint_id"] else {"endpoint": "none"}
    address = urlencode({name: value for name, value in given.items() if value})
    return Line(
        row["model"],
        row["endpoint"] or "no endpoint",
        row["requests"],
        [
            *(duration(row, name) for name in METRICS[1:5]),
            speed(row),
            *rates,
        ],
        f"{reverse('admin:request_log')}?{address}",
    )


def duration(row: dict[str, Any], name: str) -> Figure:
    return changed(formatting.duration(row[name]), row[f"{name}_change"], more_is="bad")


def speed(row: dict[str, Any]) -> Figure:
    value = row["tokens_per_second"]
    text = formatting.UNKNOWN if value is None else f"{value:,.0f}"
    return changed(text, row["tokens_per_second_change"], more_is="good")


def changed(text: str, change: Decimal | None, *, more_is: str) -> Figure:
    if change is None or abs(change) < LEAST_CHANGE:
        return Figure(text)
    good = (change > 0) == (more_is == "good")
    arrow = "↑" if change > 0 else "↓"
    said = f"{arrow} {formatting.percent(abs(change), places=0)}"
    return Figure(text, said, "good" if good else "bad")


def rate(now: Decimal | None, before: Decimal | None) -> Figure:
    """Of errors: its change is in percentage points, which alone add up."""
    text = formatting.percent(now)
    if now is None or before is None or abs(now - before) < LEAST_POINTS:
        return Figure(text)
    arrow, tone = ("↑", "bad") if now > before else ("↓", "good")
    return Figure(text, f"{arrow} {abs(now - before) * 100:.1f} points", tone)


def statuses_of(reach: Reach, start: date, end: date) -> dict[tuple[Any, ...], list[Decimal]]:
    """(model, endpoint, whether now or before) -> the part of its requests in each class."""
    given: dict[str, Any] = {
        "workspaces": reach.workspace_ids,
        "zones": [workspace.account.time_zone for workspace in reach.workspaces],
        "before": start - (end - start),
        "start": start,
        "end": end,
    }
    with connection.cursor() as cursor:
        cursor.execute(STATUSES, given)
        return {
            (model, endpoint, is_now): [Decimal(count) / requests for count in counts]
            for model, endpoint, is_now, requests, *counts in cursor.fetchall()
        }
