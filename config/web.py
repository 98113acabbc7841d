"""`manage.py web`: granian over `config.wsgi`."""

import gc
import logging
import os
import signal

from django.conf import settings
from django.db import connections
from django.urls import get_resolver
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from config import systemd
from config.address import Address

KILL_AFTER_SECONDS = 25
TICK_SECONDS = 1
STOPS = {signal.SIGTERM, signal.SIGINT}


def serve(address: Address) -> None:
    server = Granian(
        "config.wsgi:application",
        address=address.host,
        port=address.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.WEB_WORKERS,
        blocking_threads=settings.WEB_THREADS,
        # Connections of a worker, idle ones included; past it new ones wait in the backlog.
        backlog=1024,
        backpressure=512,
        respawn_failed_workers=True,
        respawn_interval=1,
        workers_kill_timeout=KILL_AFTER_SECONDS,
        log_level=LogLevels.warning,
    )
    prepare_to_fork()
    server.on_startup(
        lambda: systemd.tell_when_listening(address.port, processes=settings.WEB_WORKERS)
    )
    # More threads than cores are meant: they wait for PostgreSQL, and share its commits.
    logging.getLogger("_granian").addFilter(lambda line: "Python threads" not in line.getMessage())
    server.serve()


def prepare_to_fork() -> None:
    """Load the application once for all workers, and leave its memory untouched."""
    import config.wsgi  # noqa: F401 (granian looks it up by name)

    get_resolver().url_patterns  # noqa: B018 (reading it imports every view)
    connections.close_all()
    let_workers_hear_every_stop()
    gc.freeze()
    # A batch is thousands of objects, none of them in a circle: looking for circles is in vain.
    gc.set_threshold(50_000, 10, 10)


def let_workers_hear_every_stop() -> None:
    """For a worker that is asked to stop while it starts.

    Until it has its own answer to the signal it would only note it in its copy of the parent's
    memory, and go on to serve: it ends instead. And a signal that comes right before its main
    thread begins to wait does not wake it: the next tick does.
    """

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def prepare_worker() -> None:
        for number in STOPS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=prepare_worker)
