"""Records at full speed in a process of its own, and folds twice a second, while others ask."""

import contextlib
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection, connections

from bench._traffic import Traffic, posted
from usage.ingest.receive import receive
from usage.rollups.fold import fold

BATCH = 1000
FOLD_SECONDS = 0.5
PREPARED = 20  # batches: what they cost to make is not recording
ANSWER_SECONDS = 60


class Recorder:
    """Start it before anything else runs threads in this process: it forks."""

    def __init__(self, traffic: Traffic) -> None:
        fork = multiprocessing.get_context("fork")
        self.traffic = traffic
        self.going = fork.Event()
        self.recorded = fork.Value("q", 0)
        connections.close_all()
        self.process = fork.Process(target=self._work, daemon=True)
        self.process.start()

    @contextlib.contextmanager
    def at_full_speed(self) -> Iterator[None]:
        before = self.recorded.value
        self.going.set()
        try:
            deadline = time.monotonic() + ANSWER_SECONDS
            while self.recorded.value == before and time.monotonic() < deadline:
                time.sleep(0.01)
            yield
        finally:
            self.going.clear()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.join()

    def _work(self) -> None:
        threading.Thread(target=self._fold, daemon=True).start()
        rng = random.Random(11)
        bodies = [posted(rng, count=BATCH) for _ in range(PREPARED)]
        for number in range(10**9):
            self.going.wait()
            now = datetime.now(UTC)
            rows = [fresh(row, number, now) for row in bodies[number % PREPARED]]
            receive(rows, source="native", account=self.traffic.account, token=None, now=now)
            with self.recorded.get_lock():
                self.recorded.value += BATCH

    def _fold(self) -> None:
        while True:
            self.going.wait()
            started_at = time.monotonic()
            while self.going.is_set() and fold():
                pass
            time.sleep(max(0.0, started_at + FOLD_SECONDS - time.monotonic()))
            connection.close_if_unusable_or_obsolete()


def fresh(row: bytes, number: int, now: datetime) -> bytes:
    """The prepared row as another request, of this moment."""
    return row % (number, now.isoformat().encode())
