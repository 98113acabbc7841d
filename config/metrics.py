"""`/metrics` in Prometheus's text format.

What the database knows is asked at each scrape and is the same on every web server. Counts of
answers are this server's own, over all its processes, since it started. Served only where
METRICS_TOKEN is set, to whoever sends it as a bearer token.
"""

import hmac
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from config import condition
from config.models import Heartbeat
from usage import tally

PREFIX = "tokenbook"
SECOND = timedelta(seconds=1)

GAUGES = {
    "unfolded_batches": "Batches that reports still read from the request log",
    "unfolded_requests": "Requests in those batches",
    "quarantined": "Posted rows that wait for somebody to look at them",
    "open_holds": "Authorizations whose request was not logged yet",
    "deliveries_waiting": "Alert mails on their way",
    "deliveries_failed": "Alert mails that were given up",
    "alerts_unaddressed": "Alerts whose mails are not made yet",
    "queued_tasks": "Tasks that wait for a worker",
    "failed_tasks": "Tasks that failed",
    "connections": "Connections to the database",
    "database_bytes": "Size of the database",
}
COUNTERS = {
    "answers": "Requests answered by this server, by route and status",
    "rows": "Posted rows by what became of them",
    "decisions": "Authorizations decided",
}


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    if not settings.METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(
            "Send the header: Authorization: Bearer <METRICS_TOKEN>\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    registry = CollectorRegistry()
    registry.register(Collector(now=timezone.now()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class Collector:
    def __init__(self, *, now: datetime) -> None:
        self.now = now

    def describe(self) -> list[Metric]:
        return []  # registering asks for nothing of the database

    def collect(self) -> Iterator[Metric]:
        yield from self.of_the_database()
        yield from self.of_this_server()

    def of_the_database(self) -> Iterator[Metric]:
        figures = condition.figures()
        for name, help in GAUGES.items():
            yield gauge(name, help, getattr(figures, name))
        lag = figures.lag(now=self.now) / SECOND
        yield gauge("fold_lag_seconds", "Since folding last succeeded, while batches wait", lag)
        yield from self.ages()
        days = condition.days_made_ahead(now=self.now)
        yield gauge("partition_days_ahead", "Days from today on with partitions", days)
        skew = condition.clock_skew() / SECOND
        yield gauge("clock_skew_seconds", "This clock, ahead of the database's", skew)

    def ages(self) -> Iterator[Metric]:
        parts, schedules = (
            GaugeMetricFamily(f"{PREFIX}_{name}_age_seconds", help, labels=[label])
            for name, label, help in (
                ("heartbeat", "part", "Since a part of the worker showed life"),
                ("schedule", "schedule", "Since the task of a schedule last succeeded"),
            )
        )
        for beat in Heartbeat.objects.order_by("name"):
            name = beat.name.removeprefix(Heartbeat.of_schedule(""))
            family = parts if name == beat.name else schedules
            family.add_metric([name], (self.now - beat.beat_at) / SECOND)
        yield parts
        yield schedules

    def of_this_server(self) -> Iterator[Metric]:
        yield gauge("disk_free_bytes", "Free where the data directory is", condition.free_bytes())
        families: dict[str, dict[Any, int]] = defaultdict(dict)
        for name, labels, total in tally.counted():
            families[name][tuple(sorted(labels.items()))] = total
        for name, totals in sorted(families.items()):
            keys = [label for label, _ in next(iter(totals))]
            family = CounterMetricFamily(f"{PREFIX}_{name}", COUNTERS[name], labels=keys)
            for values, total in sorted(totals.items()):
                family.add_metric([value for _, value in values], total)
            yield family


def gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help, value=value)
