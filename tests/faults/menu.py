"""What may go wrong: each breaks something when its block begins, and mends it when that ends."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import psutil
from django.db import connection

from tests.faults.company import DISK_BYTES, Company, fill, resize

HOUR = 3600.0
# What a process needs to notice that something is wrong, on a machine that is busy.
NOTICED_SECONDS = 3.0


class Skipped(Exception):
    """This cannot be done here; the message says why."""


@dataclass(frozen=True)
class Fault:
    """`seconds`: how long it stays broken. `ready`: what `/readyz` must say meanwhile, where that
    is certain; none of its answers may say otherwise after `noticed` seconds."""

    name: str
    breaks: Callable[[Company, random.Random], AbstractContextManager[Any]]
    seconds: float = 0.0
    ready: bool | None = None
    noticed: float = NOTICED_SECONDS


# Killed


def killed(whom: Callable[[Company, random.Random], psutil.Process]) -> Any:
    @contextlib.contextmanager
    def breaks(company: Company, rng: random.Random) -> Iterator[None]:
        victim = whom(company, rng)
        victim.kill()
        yield

    return breaks


def a_web_process(company: Company, rng: random.Random) -> psutil.Process:
    return rng.choice(company.web().children())


def an_idle_process_of_the_queue(company: Company, rng: random.Random) -> psutil.Process:
    (sentinel,) = company.queue().children()
    return rng.choice(sentinel.children())


@contextlib.contextmanager
def launcher_killed(company: Company, rng: random.Random) -> Iterator[None]:
    """And started again by whoever started it, once its children have ended."""
    assert company.launcher is not None
    children = psutil.Process(company.launcher.pid).children(recursive=True)
    company.launcher.kill()
    company.launcher.wait()
    yield
    postgres = set(company.postmaster().children(recursive=True)) | {company.postmaster()}
    psutil.wait_procs(set(children) - postgres, timeout=60)
    company.start()


@contextlib.contextmanager
def everything_killed(company: Company, rng: random.Random) -> Iterator[None]:
    """As a power cut: and then somebody starts the machine."""
    for process in [*company.family(), *company.postmaster().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert company.launcher is not None
    company.launcher.wait()
    yield
    company.start()


# PostgreSQL


def postgres_told(number: signal.Signals) -> Any:
    """SIGINT: the fast stop, which ends whoever is connected; SIGQUIT: the immediate one."""

    @contextlib.contextmanager
    def breaks(company: Company, rng: random.Random) -> Iterator[None]:
        company.postmaster().send_signal(number)
        yield

    return breaks


@contextlib.contextmanager
def connections_dropped(company: Company, rng: random.Random) -> Iterator[None]:
    """Again and again, as a restarted pooler or a bad firewall does."""
    for _ in range(5):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        time.sleep(0.3)
    yield


# Paused


def paused(whom: Callable[[Company], list[psutil.Process]]) -> Any:
    @contextlib.contextmanager
    def breaks(company: Company, rng: random.Random) -> Iterator[None]:
        stopped = whom(company)
        _signal(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(stopped, signal.SIGCONT)

    return breaks


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def the_web(company: Company) -> list[psutil.Process]:
    return _with_children(company.web())


def the_worker(company: Company) -> list[psutil.Process]:
    return _with_children(company.worker())


def the_ticks(company: Company) -> list[psutil.Process]:
    return [company.ticks()]


def the_postgres(company: Company) -> list[psutil.Process]:
    return _with_children(company.postmaster())


# The world around


@contextlib.contextmanager
def mail_refused(company: Company, rng: random.Random) -> Iterator[None]:
    company.mail_gate.refuse()
    yield
    company.mail_gate.open()


@contextlib.contextmanager
def mail_hanging(company: Company, rng: random.Random) -> Iterator[None]:
    company.mail_gate.hang()
    yield
    company.mail_gate.open()


def storage_of(company: Company) -> Any:
    if company.storage_gate is None:
        raise Skipped("no storage in this run")
    return company.storage_gate


@contextlib.contextmanager
def storage_refused(company: Company, rng: random.Random) -> Iterator[None]:
    storage_of(company).refuse()
    yield
    storage_of(company).open()


@contextlib.contextmanager
def storage_hanging(company: Company, rng: random.Random) -> Iterator[None]:
    storage_of(company).hang()
    yield
    storage_of(company).open()


@contextlib.contextmanager
def callers_cut(company: Company, rng: random.Random) -> Iterator[None]:
    """Every caller in mid-sentence, a few times."""
    for _ in range(6):
        company.web_gate.cut()
        time.sleep(0.2)
    yield


@contextlib.contextmanager
def disk_full(company: Company, rng: random.Random) -> Iterator[None]:
    if not company.disk_is_ours:
        raise Skipped("no disk of its own: that takes root and leave to mount")
    fill(company.data)
    try:
        yield
    finally:
        resize(company.data, DISK_BYTES)


def clock_moved(seconds: float) -> Any:
    @contextlib.contextmanager
    def breaks(company: Company, rng: random.Random) -> Iterator[None]:
        if company.clock.library is None:
            raise Skipped("no C compiler: the clock cannot be moved")
        company.clock.move(seconds)
        try:
            yield
        finally:
            company.clock.move(0)

    return breaks


WEB_PROCESS = Fault("one web process killed", killed(a_web_process))
WEB = Fault("web killed with its first process", killed(lambda c, _: c.web()))
WORKER = Fault("worker killed with its first process", killed(lambda c, _: c.worker()))
QUEUE = Fault("the queue's first process killed", killed(lambda c, _: c.queue()))
IDLE = Fault("an idle process of the queue killed", killed(an_idle_process_of_the_queue))
TICKS = Fault("the ticks killed", killed(lambda c, _: c.ticks()))
LAUNCHER = Fault("the launcher killed, then started", launcher_killed, 2)
POWER = Fault("everything killed at once, then started", everything_killed, 1, ready=False)
BACKEND = Fault("a backend of PostgreSQL killed", killed(lambda c, rng: rng.choice(c.backends())))
POSTMASTER = Fault("PostgreSQL killed", killed(lambda c, _: c.postmaster()))
FAST = Fault("PostgreSQL stopped fast", postgres_told(signal.SIGINT))
IMMEDIATE = Fault("PostgreSQL stopped at once", postgres_told(signal.SIGQUIT))
DROPPED = Fault("all connections to PostgreSQL dropped, 5 times", connections_dropped)
WEB_PAUSED = Fault("web paused for 12 s", paused(the_web), 12, ready=False)
WORKER_PAUSED = Fault("worker paused for 40 s", paused(the_worker), 40, ready=False, noticed=36)
TICKS_PAUSED = Fault("ticks paused for 45 s", paused(the_ticks), 45)
POSTGRES_PAUSED = Fault("PostgreSQL paused for 12 s", paused(the_postgres), 12, ready=False)
POSTGRES_HICCUP = Fault("PostgreSQL paused for 2 s", paused(the_postgres), 2)
MAIL_REFUSED = Fault("mail server down for 10 s", mail_refused, 10, ready=True)
MAIL_HANGING = Fault("mail server silent for 20 s", mail_hanging, 20, ready=True)
STORAGE_REFUSED = Fault("storage down for 10 s", storage_refused, 10, ready=True)
STORAGE_HANGING = Fault("storage silent for 20 s", storage_hanging, 20, ready=True)
CUT = Fault("all callers cut off, 6 times", callers_cut)
DISK_FULL = Fault("disk full for 12 s", disk_full, 12, ready=False)
CLOCK_AHEAD = Fault("clock 1 hour ahead for 10 s", clock_moved(HOUR), 10)
CLOCK_BEHIND = Fault("clock 1 hour behind for 10 s", clock_moved(-HOUR), 10)
CLOCK_DAYS_AHEAD = Fault("clock 2 days ahead for 10 s", clock_moved(48 * HOUR), 10)

ALL = (
    WEB_PROCESS, WEB, WORKER, QUEUE, IDLE, TICKS, LAUNCHER, POWER, BACKEND, POSTMASTER, FAST,
    IMMEDIATE, DROPPED, WEB_PAUSED, WORKER_PAUSED, TICKS_PAUSED, POSTGRES_PAUSED, MAIL_REFUSED,
    MAIL_HANGING, STORAGE_REFUSED, STORAGE_HANGING, CUT, DISK_FULL, CLOCK_AHEAD, CLOCK_BEHIND,
    CLOCK_DAYS_AHEAD, POSTGRES_HICCUP,
)  # fmt: skip
QUICK = (WEB_PROCESS, POSTMASTER, CUT)
