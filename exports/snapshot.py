"""One state of the database for as long as a download takes, on a connection of its own.

Of its own, because a download may be broken off at any byte: closing it then is all there is to do,
and the thread's usual connection never sees a transaction that somebody forgot.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import connection

# A client that takes nothing for so long loses its snapshot, which would hold back vacuum and
# retention. One that is merely slow keeps it.
IDLE_SECONDS = 120
SIGN_OF_LIFE_SECONDS = 10

# In this order: waiting for a lock must not be waited for, and rows must be seen as they are once
# the lock is there, which keeps retention from dropping days that are still to come.
BEGIN = (
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'",
    "SET LOCAL lock_timeout = '10s'",
    "SET LOCAL TIME ZONE 'UTC'",
    "SET LOCAL work_mem = '64MB'",
    "LOCK TABLE ONLY usage_requestlog IN ACCESS SHARE MODE",
)


class Snapshot:
    """A read-only transaction that sees what was committed when it began, and nothing since."""

    def __init__(self, server: psycopg.Connection[Any]) -> None:
        self.server = server
        self.used_at = time.monotonic()

    def cursor(self) -> psycopg.ClientCursor[Any]:
        self.used_at = time.monotonic()
        return psycopg.ClientCursor(self.server)

    def stay_alive(self) -> None:
        """Call it between pieces: the client is slow, not gone."""
        if time.monotonic() - self.used_at > SIGN_OF_LIFE_SECONDS:
            self.cursor().execute("SELECT 1")


@contextlib.contextmanager
def snapshot(*, seconds: float | None = None) -> Iterator[Snapshot]:
    """For so many seconds at most, where somebody is waited for who may be slow on purpose.

    Errors are Django's, as everywhere: OperationalError where the database cannot be reached, or
    the time is over.
    """
    with (
        connection.wrap_database_errors,
        contextlib.closing(psycopg.connect(**connection.get_connection_params())) as server,
    ):
        server.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        server.read_only = True
        for statement in BEGIN:
            server.execute(statement)
        with ended_after(seconds, server):
            yield Snapshot(server)


@contextlib.contextmanager
def ended_after(seconds: float | None, server: psycopg.Connection[Any]) -> Iterator[None]:
    """Also while the server waits in the middle of COPY for a client that takes nothing, where none
    of its own time-outs reaches it."""
    if seconds is None:
        yield
        return
    server.execute(f"SET LOCAL statement_timeout = '{seconds * 1000:.0f}ms'")
    # Of another number: this one may be closed, and another connection's, by then.
    with socket.socket(fileno=os.dup(server.fileno())) as line:
        timer = threading.Timer(seconds, cut, [line])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def cut(line: socket.socket) -> None:
    """Both ends notice at once, whatever they wait for."""
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
