"""Child processes that are kept alive: each in its own process group, replaced when it dies or
falls silent. Nothing here imports Django, so that the launcher stays small.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from typing import NoReturn, Protocol

from config.directories import BASE_DIR, DATA_DIR
from config.pulse import Watch

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A child that lived this long was healthy, and its next death is treated as its first.
HEALTHY_SECONDS = 60.0
POLL_SECONDS = 0.1

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


class Stop:
    """Whether the operator asked us to stop (SIGINT, SIGTERM, SIGHUP); asking twice means haste."""

    def __init__(self) -> None:
        self.requests = 0
        for number in STOP_SIGNALS:
            # Under nohup a closed terminal is meant to change nothing.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.requests += 1

    @property
    def requested(self) -> bool:
        return self.requests > 0

    @property
    def in_haste(self) -> bool:
        return self.requests > 1


class KeptAlive(Protocol):
    def keep_alive(self) -> None:
        """Look once, and put right what is not."""


@dataclass
class Child:
    """One child process: what it runs, how long it may take to stop, and whether it beats."""

    name: str
    run: Callable[[], object]
    grace_seconds: float
    beats: bool = False

    process: BaseProcess | None = field(default=None, init=False)
    watch: Watch | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    start_again_at: float = field(default=0.0, init=False)
    pause_seconds: float = field(default=FIRST_PAUSE_SECONDS, init=False)

    def start(self) -> None:
        # Forked, so that what the supervisor has loaded is shared and not loaded again.
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_lead_group, args=(self.run,), name=self.name)
        self.process.start()
        # The child says so too, and whoever comes first, the group is there from now on.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(self.pid, self.pid)
        self.watch = Watch(self.pid) if self.beats else None
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        return (self.process and self.process.pid) or 0

    @property
    def exit_code(self) -> int | None:
        return self.process.exitcode if self.process else None

    @property
    def complaint(self) -> str:
        """Why the child must be replaced; empty while it is well."""
        if (code := self.exit_code) is not None:
            return f"ended with {describe(code)}"
        return "shows no life" if self.watch and self.watch.is_silent() else ""

    def keep_alive(self) -> None:
        """Replace the child when it is dead or silent, after a pause that doubles each time."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_again_at:
                self.start()
        elif complaint := self.complaint:
            self.kill()
            if now - self.started_at > HEALTHY_SECONDS:
                self.pause_seconds = FIRST_PAUSE_SECONDS
            self.start_again_at = now + self.pause_seconds
            say(f"{self.name} {complaint}; starting it again in {self.pause_seconds:.0f} s")
            self.pause_seconds = min(self.pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def stop(self, stop: Stop) -> None:
        """Ask the child to finish, wait for its grace, and end what is left of its group."""
        if self.process is None:
            return
        if self.exit_code is None:
            # The leader alone is told: what it started, it stops in its own order.
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.grace_seconds
        while self.exit_code is None and time.monotonic() < deadline and not stop.in_haste:
            time.sleep(POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the whole group: orphans of a dead leader would go on taking work."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.join()
        if self.watch:
            self.watch.close()
        self.process = self.watch = None


@contextlib.contextmanager
def running(children: Sequence[Child], stop: Stop) -> Iterator[None]:
    """The children, started; stopped in order however the block ends."""
    try:
        for child in children:
            child.start()
        yield
    finally:
        for child in children:
            child.stop(stop)


def keep_alive(everything: Sequence[KeptAlive], stop: Stop) -> None:
    """Until asked to stop."""
    while not stop.requested:
        for one in everything:
            one.keep_alive()
        time.sleep(POLL_SECONDS)


def management_command(name: str) -> Callable[[], NoReturn]:
    """Something to run that becomes `manage.py NAME`."""
    return partial(become, [sys.executable, str(BASE_DIR / "manage.py"), name])


def become(command: list[str]) -> NoReturn:
    """Replace this process: signals meet the new program, and the old one's memory goes."""
    # It starts in the project's directory; a relative path was meant from this one.
    os.environ["TOKENBOOK_DATA"] = str(DATA_DIR)
    os.chdir(BASE_DIR)
    os.execv(command[0], command)


def describe(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"


def say(sentence: str) -> None:
    print(f"tokenbook: {sentence}", file=sys.stderr, flush=True)


def _lead_group(run: Callable[[], object]) -> None:
    """In the child: a process group of its own, which the terminal's Ctrl-C does not reach."""
    os.setpgid(0, 0)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if LIBC is not None:
        # Should the supervisor be killed, the child is asked to stop.
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    run()
