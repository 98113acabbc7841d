"""Counts of what this server answered, over all of its processes, since it started.

A counter is a column of memory that the processes share because they were forked after it was made;
each process adds in a row of its own, so that none waits for another. What the database can tell is
counted there and not here.
"""

import mmap
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

ROWS = 64
COLUMNS = 256
PID = 0  # the first column says whose row it is


@dataclass(frozen=True, slots=True)
class Counter:
    column: int

    def add(self, number: int = 1) -> None:
        cells, first = own.cells, own.row() * COLUMNS
        with own.lock:
            cells[first + self.column] += number


class Shared:
    """The cells, and which row of them belongs to this process."""

    def __init__(self) -> None:
        self.cells = memoryview(mmap.mmap(-1, ROWS * COLUMNS * 8)).cast("Q")
        self.lock = threading.Lock()
        self.mine: int | None = None
        self.names: dict[tuple[str, tuple[tuple[str, str], ...]], Counter] = {}

    def row(self) -> int:
        if self.mine is None:
            self.mine = self.claim()
        return self.mine

    def claim(self) -> int:
        """A row that nobody has, or whose process is gone: its counts stay and are added to."""
        start = os.getpid() % ROWS
        for offset in range(ROWS):
            row = (start + offset) % ROWS
            if not is_alive(self.cells[row * COLUMNS + PID]):
                self.cells[row * COLUMNS + PID] = os.getpid()
                return row
        return start

    def forked(self) -> None:
        self.mine = None
        self.lock = threading.Lock()


def is_alive(pid: int) -> bool:
    if pid in (0, os.getpid()):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


own = Shared()
os.register_at_fork(after_in_child=own.forked)


def counter(name: str, **labels: str) -> Counter:
    """The counter of that name and those labels. Made when modules are loaded, before any fork."""
    key = name, tuple(sorted(labels.items()))
    if key not in own.names:
        if len(own.names) + 2 > COLUMNS:
            raise OverflowError("There are more counters than columns.")
        own.names[key] = Counter(len(own.names) + 1)
    return own.names[key]


def counted() -> Iterator[tuple[str, dict[str, str], int]]:
    """Name, labels and sum over all processes of every counter."""
    for (name, labels), one in list(own.names.items()):
        total = sum(own.cells[row * COLUMNS + one.column] for row in range(ROWS))
        yield name, dict(labels), total
