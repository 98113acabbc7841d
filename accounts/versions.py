"""In-process copies of small tables, refreshed in every process soon after any of them changes."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db.models import F

from accounts.models import CacheVersion

T = TypeVar("T")

CHECK_EVERY_SECONDS = 1.0


def bump(name: str) -> None:
    """Tell every process that the rows behind `name` changed. Call it inside the transaction."""
    CacheVersion.objects.get_or_create(name=name)
    CacheVersion.objects.filter(name=name).update(version=F("version") + 1)


class Versioned(Generic[T]):
    """A value made by `load()`, made anew within a second of `bump(name)` in any process.

    The version is read before the value, so a change that lands in between is seen next time.
    """

    def __init__(self, name: str, load: Callable[[], T]) -> None:
        self.name = name
        self.load = load
        self.checked_at = 0.0
        # Both in one, so that of two threads that load neither leaves its value under the other's
        # version.
        self.loaded: tuple[int, T] | None = None

    def get(self) -> T:
        now = time.monotonic()
        loaded = self.loaded
        if loaded is None or now - self.checked_at >= CHECK_EVERY_SECONDS:
            version = self._current()
            if loaded is None or version != loaded[0]:
                loaded = self.loaded = version, self.load()
            self.checked_at = now
        return loaded[1]

    def forget(self) -> None:
        """Make the value anew at the next use (after a change in this very process)."""
        self.loaded = None

    def _current(self) -> int:
        row = CacheVersion.objects.filter(name=self.name).values_list("version", flat=True).first()
        return row or 0
