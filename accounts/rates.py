"""How much one caller may ask for, so that others are served too: calls a second of a token, and
reports at once of an account. Counted in each process by itself: nothing is asked of anybody.
"""

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator

from django.conf import settings
from rest_framework.exceptions import Throttled

BURST_SECONDS = 2.0
TOO_MANY_REPORTS = "Too many reports of this account are being made. Ask again in a moment."


class Rates:
    """Each token's bucket: it holds the calls of two seconds and fills as time goes by."""

    def __init__(self) -> None:
        self.levels: dict[int, tuple[float, float]] = {}
        self.lock = threading.Lock()

    def take(self, token_id: int) -> None:
        """Raises Throttled with the seconds to wait."""
        per_second = settings.RATE_LIMIT_PER_TOKEN / settings.WEB_WORKERS
        if not per_second:
            return
        now = time.monotonic()
        most = max(per_second * BURST_SECONDS, 1.0)
        with self.lock:
            level, at = self.levels.get(token_id, (most, now))
            level = min(level + (now - at) * per_second, most)
            if level >= 1:
                self.levels[token_id] = level - 1, now
                return
            self.levels[token_id] = level, now
        raise Throttled(wait=math.ceil((1 - level) / per_second))


rates = Rates()


class AtOnce:
    """How many reports each account is having made in this process."""

    def __init__(self) -> None:
        self.running: Counter[int] = Counter()
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def one_more(self, account_id: int) -> Iterator[None]:
        """Half of the threads are always left to others. Raises Throttled."""
        with self.lock:
            if self.running[account_id] >= max(settings.WEB_THREADS // 2, 1):
                raise Throttled(wait=1, detail=TOO_MANY_REPORTS)
            self.running[account_id] += 1
        try:
            yield
        finally:
            with self.lock:
                self.running[account_id] -= 1
                if not self.running[account_id]:
                    del self.running[account_id]


reports = AtOnce()
