"""How much one caller may ask for, so that others are served too: calls a second of a token, and
reports, downloads and unread bodies at once of an account. Counted in each process by itself:
nothing is asked of anybody.
"""

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from rest_framework.exceptions import Throttled

BURST_SECONDS = 2.0
STRANGER = 0  # no account has this id
TOO_MANY_BODIES = "Too many bodies are still on their way. Send this one again."
TOO_MANY_DOWNLOADS = (
    "Too many downloads are under way. Fetch this one when another has ended, or let the worker "
    "make the file: POST exports/."
)
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
    """How many things each caller is having done in this process, and all callers together: of the
    threads so large a part at most, so that the others are always left to others."""

    def __init__(
        self,
        refusal: Callable[[], Throttled],
        *,
        each: float = 1 / 2,
        together: float = 1.0,
        patience_seconds: float = 0.0,
    ) -> None:
        self.refusal = refusal
        self.each, self.together = each, together
        self.patience_seconds = patience_seconds
        self.running: Counter[int] = Counter()
        self.number = 0
        self.change = threading.Condition()

    @contextlib.contextmanager
    def one_more(self, caller: int) -> Iterator[None]:
        """Raises Throttled when no place becomes free in time."""
        each = max(int(settings.WEB_THREADS * self.each), 1)
        together = math.ceil(settings.WEB_THREADS * self.together)

        def is_room() -> bool:
            return self.running[caller] < each and self.number < together

        with self.change:
            if not self.change.wait_for(is_room, self.patience_seconds):
                raise self.refusal()
            self.running[caller] += 1
            self.number += 1
        try:
            yield
        finally:
            with self.change:
                self.running[caller] -= 1
                self.number -= 1
                if not self.running[caller]:
                    del self.running[caller]
                self.change.notify_all()


class TooManyBodies(Throttled, SuspiciousOperation):
    """Django itself answers 400 to what is suspicious, where no API's handler does."""

    def __init__(self) -> None:
        super().__init__(wait=1, detail=TOO_MANY_BODIES)


reports = AtOnce(lambda: Throttled(wait=1, detail=TOO_MANY_REPORTS))
# Who takes a download or sends a body may be slow on purpose; even all of them leave threads.
downloads = AtOnce(
    lambda: Throttled(wait=5, detail=TOO_MANY_DOWNLOADS),
    each=1 / 6,
    together=1 / 4,
    patience_seconds=1.0,
)
bodies = AtOnce(TooManyBodies, together=2 / 3, patience_seconds=1.0)


class Body:
    """A body as WSGI has it. The thread that reads it cannot be called back while its sender is
    silent, hence only so many of a caller's are read at once. Raises TooManyBodies.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.caller = STRANGER

    def read(self, size: int = -1) -> bytes:
        with bodies.one_more(self.caller):
            return self.inner.read(size)

    def readline(self, size: int = -1) -> bytes:
        with bodies.one_more(self.caller):
            return self.inner.readline(size)


def is_from(environ: Mapping[str, Any], account_id: int) -> None:
    """Whose body a request's is, as soon as that is known."""
    body = environ.get("wsgi.input")
    if isinstance(body, Body):
        body.caller = account_id
