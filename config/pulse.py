"""Signs of life that a child leaves for its supervisor, as files of its process group.

A beat is an instant; a busy process may be silent for as long as its work may take. Files rather
than rows, because a supervisor must know when a child hangs on the database.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from config.directories import PULSE_DIR

SILENCE_SECONDS = 20.0
# Loading everything on a slow disk takes its time.
FIRST_BEAT_SECONDS = 90.0


def beat() -> None:
    """Nothing happens in a process that nobody supervises: only supervisors make the file."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(beat_file(os.getpgrp()))


def begin_work() -> None:
    if beat_file(os.getpgrp()).exists():
        work_file(os.getpgrp(), os.getpid()).touch()


def end_work() -> None:
    work_file(os.getpgrp(), os.getpid()).unlink(missing_ok=True)


def beat_file(group: int) -> Path:
    return PULSE_DIR / f"beat-{group}"


def work_file(group: int, pid: int) -> Path:
    return PULSE_DIR / f"work-{group}-{pid}"


@dataclass
class Watch:
    """What a supervisor sees of one process group."""

    group: int
    last_work_at: float = 0.0
    looked_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._open()

    def is_silent(self) -> bool:
        now = time.time()
        if abs(now - self.looked_at) > SILENCE_SECONDS / 2:
            # The machine slept, and the child with us; or its clock was set.
            self._open()
            self.last_work_at = 0.0
        self.looked_at = now
        if self._somebody_works():
            self.last_work_at = now
        last_beat_at = self._last_beat_at()
        return (
            now - max(last_beat_at, self.last_work_at) > SILENCE_SECONDS
            or now - last_beat_at > longest_work_seconds()
        )

    def close(self) -> None:
        beat_file(self.group).unlink(missing_ok=True)
        for path in PULSE_DIR.glob(f"work-{self.group}-*"):
            path.unlink(missing_ok=True)

    def _open(self) -> None:
        PULSE_DIR.mkdir(parents=True, exist_ok=True)
        path = beat_file(self.group)
        path.touch()
        as_if_at = time.time() + FIRST_BEAT_SECONDS - SILENCE_SECONDS
        os.utime(path, (as_if_at, as_if_at))

    def _last_beat_at(self) -> float:
        path = beat_file(self.group)
        if not path.exists():
            # Somebody cleaned up: a vanished file says nothing about the child.
            self._open()
        return path.stat().st_mtime

    def _somebody_works(self) -> bool:
        """A process that was killed at work leaves its file behind."""
        pids = [int(path.name.split("-")[2]) for path in PULSE_DIR.glob(f"work-{self.group}-*")]
        return any(is_alive(pid) for pid in pids)


def longest_work_seconds() -> float:
    """A task that runs longer is started a second time, so that no silence may be longer."""
    from django.conf import settings

    return float(settings.Q_CLUSTER["retry"])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def forget_the_dead() -> None:
    """Remove what groups left whose supervisor was killed."""
    for path in PULSE_DIR.glob("beat-*"):
        group = int(path.name.split("-")[1])
        if not is_alive(group):
            Watch(group).close()
