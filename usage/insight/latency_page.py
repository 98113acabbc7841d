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
SPEED = (
    "requests",
    "latency_ms_p50",
    "latency_ms_p95",
    "time_to_first_token_ms_p50",
    "time_to_first_token_ms_p95",
    "tokens_per_second",
)
FAILURE = ("requests", "errors", "error_rate")
# Changes below it are chance, or a single step of the histograms, which is 10 %.
LEAST_CHANGE = Decimal("0.11")
LEAST_POINTS = Decimal("0.002")

# Single requests, but only the failed ones, which have an index of their own. 429 says something of
# one's own limits, other 4xx of the requests, 5xx of the provider.
STATUSES = """
SELECT l.model_id, l.endpoint_id, is_now,
    count(*) FILTER (WHERE l.status < 500 AND l.status <> 429),
    count(*) FILTER (WHERE l.status = 429), count(*) FILTER (WHERE l.status >= 500)
FROM usage_requestlog l
JOIN unnest(%(workspaces)s::int[], %(zones)s::text[]) AS z(workspace_id, time_zone)
    USING (workspace_id)
CROSS JOIN LATERAL (SELECT (l.occurred_at AT TIME ZONE z.time_zone)::date AS day) d
CROSS JOIN LATERAL (SELECT d.day >= %(start)s AS is_now) n
WHERE l.workspace_id = ANY(%(workspaces)s) AND l.status >= 400
    AND l.occurred_at >= %(before)s::timestamptz - interval '15 hours'
    AND l.occurred_at < %(end)s::timestamptz + interval '15 hours'
    AND d.day >= %(before)s AND d.day < %(end)s
GROUP BY l.model_id, l.endpoint_id, is_now
"""
CLASSES = ("4xx", "429", "5xx")
# (model, endpoint, whether now or before) -> how many requests failed in each class.
Statuses = dict[tuple[int, int | None, bool], list[int]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and how it changed; `tone` says whether that is good news."""

    text: str
    change: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A model at a provider or on an endpoint; `log_url` leads to its requests."""

    model: str
    where: str
    requests: int
    figures: list[Figure]
    log_url: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose requests of which local days `[start, end)`."""

    part: Part
    start: date
    end: date
    now: datetime

    def lines(self, dimension: str, metrics: tuple[str, ...]) -> list[dict[str, Any]]:
        """By model and that dimension, the most used first, each beside the period before."""
        question = Question(
            reach=self.part.reach,
            start=self.start,
            end=self.end,
            group_by=("model", dimension),
            metrics=metrics,
            compare="previous",
            order=("-requests",),
            limit=SHOWN,
        )
        return [row for row in ask(question, now=self.now).rows if row["requests"]]

    def log_url(self, row: dict[str, Any], dimension: str, **more: str) -> str:
        pk = row[f"{dimension}_id"]
        given = {
            "account": self.part.account,
            "workspace": self.part.workspace,
            "model_id": row["model_id"],
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            **({f"{dimension}_id": pk} if pk else {dimension: "none"}),
            **more,
        }
        address = urlencode({name: value for name, value in given.items() if value})
        return f"{reverse('admin:request_log')}?{address}"


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    part, now = part_of(request), timezone.now()
    chosen = request.GET.get("days", DEFAULT)
    chosen = chosen if chosen in RANGES else DEFAULT
    end = today_in(part.reach, now=now) + timedelta(1)
    start = end - timedelta(int(chosen))
    asked = Asked(part, start, end, now)
    return render(
        request,
        "usage/insight/latency.html",
        title="Latency and errors",
        part=part,
        days=chosen,
        ranges=[(key, label, query(request, key)) for key, label in RANGES.items()],
        speeds=speeds(asked),
        failures=failures(asked),
        before=formatting.days(start - (end - start), start),
        shown=SHOWN,
    )


def query(request: HttpRequest, days: str) -> str:
    found = request.GET.copy()
    found["days"] = days
    return found.urlencode()


def speeds(asked: Asked) -> list[Line]:
    """From the day's roll-ups and histograms, which keep providers apart but not endpoints."""
    return [
        Line(
            row["model"],
            row["provider"] or "no provider",
            row["requests"],
            [*(duration(row, name) for name in SPEED[1:5]), speed(row)],
            asked.log_url(row, "provider"),
        )
        for row in asked.lines("provider", SPEED)
    ]


def failures(asked: Asked) -> list[Line]:
    """How many failed is from the roll-ups, in which way from the failed requests themselves."""
    rows = asked.lines("endpoint", FAILURE)
    statuses = statuses_of(asked.part.reach, asked.start, asked.end)
    return [
        Line(
            row["model"],
            row["endpoint"] or "no endpoint",
            row["requests"],
            [rate(row["error_rate"], row["error_rate_previous"]), *classes(row, statuses)],
            asked.log_url(row, "endpoint"),
        )
        for row in rows
    ]


def classes(row: dict[str, Any], statuses: Statuses) -> list[Figure]:
    """Each class of failure; unknown as soon as the log keeps fewer failures than there were."""
    key = (row["model_id"], row["endpoint_id"])
    now = rates(statuses.get((*key, True)), row["requests"], row["errors"])
    before = rates(
        statuses.get((*key, False)), row["requests_previous"] or 0, row["errors_previous"] or 0
    )
    return [rate(now[i], before[i]) for i in range(len(CLASSES))]


def rates(counts: list[int] | None, requests: int, errors: int) -> list[Decimal | None]:
    found = counts or [0] * len(CLASSES)
    if not requests or sum(found) < errors:
        return [None] * len(CLASSES)
    return [Decimal(count) / requests for count in found]


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


def statuses_of(reach: Reach, start: date, end: date) -> Statuses:
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
            (model, endpoint, is_now): counts
            for model, endpoint, is_now, *counts in cursor.fetchall()
        }
