"""The page for whoever runs the platform: is everything running, what waits, what failed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, Schedule

from accounts.scoped_admin import is_platform
from config import condition, health, schedules
from config.models import Heartbeat
from usage import formatting

# A tick may wait for its own last run, and beats are noted every few seconds.
LATE_AFTER = timedelta(minutes=1)
SHOWN_FAILURES = 10

LARGEST = """
SELECT c.relname, pg_total_relation_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 2 DESC LIMIT 12"""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that runs again and again, and when it last did."""

    name: str
    every: str
    last_at: datetime | None
    next_at: datetime | None
    state: str
    tone: str


def page(request: HttpRequest) -> HttpResponse:
    if not is_platform(request):
        raise PermissionDenied
    now = timezone.now()
    figures = condition.figures()
    context = {
        **admin.site.each_context(request),
        "title": "Condition",
        "obstacles": health.obstacles(now=now),
        "tiles": tiles(figures, now=now),
        "parts": [*running_parts(now=now), *scheduled_parts(now=now)],
        "failures": Failure.objects.order_by("-stopped")[:SHOWN_FAILURES],
        "tables": [(name, size_of(size)) for name, size in largest_tables()],
        "zone": UTC,
    }
    return TemplateResponse(request, "config/operations.html", context)


def tiles(figures: condition.Figures, *, now: datetime) -> list[tuple[str, str, str, str]]:
    """(what, how much, more about it, where to look)"""
    lag = figures.lag(now=now)
    free = condition.free_bytes()
    quarantine = reverse("admin:usage_quarantinedrow_changelist")
    return [
        ("Not folded yet", formatting.count(figures.unfolded_requests), lag_text(lag), ""),
        ("Tasks in the queue", formatting.count(figures.queued_tasks), "", ""),
        (
            "Alert mails waiting",
            formatting.count(figures.deliveries_waiting),
            f"{formatting.count(figures.deliveries_failed)} given up",
            reverse("admin:budgets_delivery_changelist"),
        ),
        ("Rows set aside", formatting.count(figures.quarantined), "", quarantine),
        ("Open holds", formatting.count(figures.open_holds), "", ""),
        ("Database", size_of(figures.database_bytes), f"{figures.connections} connections", ""),
        ("Free disk", size_of(free), "where the data directory is", ""),
        (
            "Log prepared for",
            f"{condition.days_made_ahead(now=now)} days",
            "daily partitions from today on",
            "",
        ),
    ]


def lag_text(lag: timedelta) -> str:
    return f"folded {lag.total_seconds():.0f} s ago" if lag else "all folded"


def running_parts(*, now: datetime) -> list[Part]:
    beats = dict(Heartbeat.objects.values_list("name", "beat_at"))
    parts = [(name, "always", 0.0) for name in (Heartbeat.QUEUE, Heartbeat.TICKS)]
    parts += [
        (Heartbeat.of_tick(tick.name), f"{tick.every_seconds:g} s", tick.every_seconds)
        for tick in schedules.TICKS
    ]
    return [
        part_of(name, every, beats.get(name), since=now - LATE_AFTER - timedelta(seconds=seconds))
        for name, every, seconds in parts
    ]


def part_of(name: str, every: str, last_at: datetime | None, *, since: datetime) -> Part:
    late = last_at is None or last_at < since
    return Part(
        name, every, last_at, None, "late" if late else "running", "bad" if late else "good"
    )


def scheduled_parts(*, now: datetime) -> list[Part]:
    beats = dict(Heartbeat.objects.values_list("name", "beat_at"))
    tasks = [schedule.task for schedule in schedules.SCHEDULES]
    failed = dict(Failure.objects.filter(func__in=tasks).order_by("stopped").values_list(
        "func", "stopped"
    ))  # fmt: skip
    return [
        scheduled(row, beats.get(Heartbeat.of_schedule(row.name)), failed.get(row.func), now=now)
        for row in Schedule.objects.order_by("name")
    ]


def scheduled(
    row: Schedule, succeeded_at: datetime | None, failed_at: datetime | None, *, now: datetime
) -> Part:
    failed = failed_at is not None and (succeeded_at is None or failed_at > succeeded_at)
    late = row.next_run is not None and now - row.next_run > LATE_AFTER
    state = "failed" if failed else "late" if late else "waiting"
    last_at = failed_at if failed else succeeded_at
    tone = "bad" if failed or late else ""
    return Part(f"schedule {row.name}", row.cron, last_at, row.next_run, state, tone)


def largest_tables() -> list[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute(LARGEST)
        return cursor.fetchall()


def size_of(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
