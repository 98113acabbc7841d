"""`manage.py tick`: runs the ticks of `schedules.py`, in one process among all workers at a time.

Each tick has a thread and a connection of its own, so that a slow mail server does not hold up the
folding of roll-ups.
"""

import logging
import threading
import time

from django.db import Error, OperationalError, close_old_connections, connection
from django.utils import timezone
from django.utils.module_loading import import_string

from config import pulse, schedules
from config.locks import Lock, SessionLock
from config.models import Heartbeat
from config.processes import Stop
from config.schedules import Tick

LOOK_EVERY_SECONDS = 0.5
BEAT_EVERY_SECONDS = 5.0
JOIN_SECONDS = 8.0
LONGEST_PAUSE_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Unstoppable(Exception):
    """A tick goes on although it must not run any more; only the end of the process helps."""


class Runner(threading.Thread):
    """Runs one tick again and again, until told to end."""

    def __init__(self, tick: Tick, ended: threading.Event) -> None:
        super().__init__(name=tick.name, daemon=True)
        self.tick = tick
        self.ended = ended
        self.next_note_at = 0.0

    def run(self) -> None:
        failures = 0
        try:
            while not self.ended.is_set():
                started_at = time.monotonic()
                failures = 0 if self.succeeds() else failures + 1
                took = time.monotonic() - started_at
                self.ended.wait(pause(self.tick, failures=failures, took=took))
        finally:
            connection.close()

    def succeeds(self) -> bool:
        try:
            close_old_connections()
            import_string(self.tick.run)()
            self.note_success()
        except OperationalError as error:
            # The database is away, which everybody says; a page of traceback says no more.
            logger.warning("tick %s: %s", self.tick.name, str(error).strip())
            return False
        except Exception:
            # Whatever one tick does, it does not stop, and the others never hear of it.
            logger.exception("tick %s failed", self.tick.name)
            return False
        return True

    def note_success(self) -> None:
        """When it last ran, for whoever looks at the operations page."""
        if time.monotonic() >= self.next_note_at:
            Heartbeat.objects.beat(Heartbeat.of_tick(self.tick.name), at=timezone.now())
            self.next_note_at = time.monotonic() + BEAT_EVERY_SECONDS


def pause(tick: Tick, *, failures: int, took: float) -> float:
    """Until the tick is due again; after failures longer each time, so that they can be read."""
    if failures:
        return min(tick.every_seconds * 2 ** min(failures, 10), LONGEST_PAUSE_SECONDS)
    return max(tick.every_seconds - took, 0.0)


class Ticker:
    """The runners, while this process is the one that ticks."""

    def __init__(self) -> None:
        self.lock = SessionLock(Lock.TICKS)
        self.runners: list[Runner] = []
        self.ended = threading.Event()
        self.next_beat_at = 0.0

    def look(self) -> None:
        """Take up the ticks when nobody else has them, lay them down when they are not ours."""
        try:
            ours = self.lock.try_to_hold()
            if ours and not self.runners:
                self.start()
            if ours:
                self.beat()
        except Error as error:
            logger.warning("ticks: the database does not answer: %s", str(error).strip())
            ours = False
        if not ours:
            self.stop()

    def start(self) -> None:
        close_old_connections()
        schedules.sync()
        self.ended = threading.Event()
        self.runners = [Runner(tick, self.ended) for tick in schedules.TICKS]
        for runner in self.runners:
            runner.start()

    def beat(self) -> None:
        if time.monotonic() >= self.next_beat_at:
            close_old_connections()
            Heartbeat.objects.beat(Heartbeat.TICKS, at=timezone.now())
            self.next_beat_at = time.monotonic() + BEAT_EVERY_SECONDS

    def stop(self) -> None:
        self.ended.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for runner in self.runners:
            runner.join(timeout=max(deadline - time.monotonic(), 0))
        if any(runner.is_alive() for runner in self.runners):
            raise Unstoppable
        self.runners = []


def tick_until_stopped(stop: Stop) -> None:
    ticker = Ticker()
    try:
        while not stop.requested:
            ticker.look()
            pulse.beat()
            time.sleep(LOOK_EVERY_SECONDS)
    finally:
        ticker.stop()
        ticker.lock.release()
