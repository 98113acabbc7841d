"""/healthz and /readyz, for whatever watches over the processes."""

import logging
import threading
import time
from concurrent.futures import Future
from datetime import datetime, timedelta

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config import condition
from config.models import Heartbeat

logger = logging.getLogger("tokenbook.readiness")

FRESH = timedelta(seconds=30)
LOOK_AGAIN_SECONDS = 5.0
# Whoever asks waits no longer, even where the database lets connections in and says nothing.
DEADLINE_SECONDS = 2.0


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; says nothing of what it depends on."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether requests would be served as they should, and if not, why not."""
    reasons = watch.reasons()
    readiness.is_now(reasons)
    return JsonResponse({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)


class Watch:
    """Looks in a thread and over a connection of its own: a database that hangs holds whoever asks
    it. One look is under way at a time, and is everybody's who asks meanwhile."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.under_way: Future[list[str]] | None = None

    def reasons(self) -> list[str]:
        try:
            return self.look().result(DEADLINE_SECONDS)
        except TimeoutError:
            return [
                f"No answer within {DEADLINE_SECONDS:.0f} seconds: the database hangs, or this "
                "machine has too much to do."
            ]

    def look(self) -> Future[list[str]]:
        with self.lock:
            if self.under_way is None or self.under_way.done():
                self.under_way = Future()
                # A daemon: no process waits at its end for a database that hangs.
                arguments = (self.under_way,)
                threading.Thread(target=look_around, args=arguments, daemon=True).start()
            return self.under_way


def look_around(found: Future[list[str]]) -> None:
    try:
        found.set_result(obstacles(now=timezone.now()))
    except Exception as error:
        found.set_exception(error)
    finally:
        connection.close()


class Readiness:
    """Tells the log when it changes, and not each time that it is asked for."""

    def __init__(self) -> None:
        self.is_ready = True

    def is_now(self, reasons: list[str]) -> None:
        was_ready, self.is_ready = self.is_ready, not reasons
        if was_ready and reasons:
            logger.warning("Not ready: %s", " ".join(reasons))
        elif not was_ready and not reasons:
            logger.warning("Ready again.")


watch, readiness = Watch(), Readiness()


def obstacles(*, now: datetime) -> list[str]:
    try:
        if schema.is_behind():
            return ["There are migrations to apply: run `manage.py migrate`."]
        return [*stale_heartbeats(now=now), *lack_of_room(), *lagging(now=now)]
    except Error as error:
        return [f"The database does not answer: {type(error).__name__}."]


def stale_heartbeats(*, now: datetime) -> list[str]:
    # One from the future was left by a clock that was ahead, and says nothing of now.
    fresh_ones = Heartbeat.objects.filter(beat_at__gt=now - FRESH, beat_at__lt=now + FRESH)
    fresh = set(fresh_ones.values_list("name", flat=True))
    return [
        f"The worker's {name} shows no life: is `manage.py worker` running?"
        for name in (Heartbeat.QUEUE, Heartbeat.TICKS)
        if name not in fresh
    ]


def lack_of_room() -> list[str]:
    free = condition.free_bytes()
    if free >= condition.LEAST_FREE_BYTES:
        return []
    return [f"The data directory's disk has only {free // 1024**2} MB left."]


def lagging(*, now: datetime) -> list[str]:
    """Reports stay exact meanwhile, and grow slower with every request."""
    with connection.cursor() as cursor:
        cursor.execute(FOLDED_AT, [Heartbeat.of_tick("fold")])
        (folded_at,) = cursor.fetchone()
    if folded_at is None or now - folded_at < condition.LONGEST_LAG:
        return []
    minutes = (now - folded_at) // timedelta(minutes=1)
    return [f"Roll-ups were last brought up to date {minutes} minutes ago."]


# Null where nothing waits, or was ever folded.
FOLDED_AT = """
SELECT (SELECT beat_at FROM config_heartbeat WHERE name = %s)
WHERE EXISTS (SELECT FROM usage_batch) UNION ALL SELECT NULL LIMIT 1"""


class Schema:
    """Whether all migrations are applied; once they are, that is remembered."""

    def __init__(self) -> None:
        self.looked_at = float("-inf")
        self.behind = True

    def is_behind(self) -> bool:
        if self.behind and time.monotonic() - self.looked_at > LOOK_AGAIN_SECONDS:
            self.behind = has_unapplied_migrations()
            self.looked_at = time.monotonic()
        return self.behind


schema = Schema()


def has_unapplied_migrations() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
