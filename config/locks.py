"""Locks that PostgreSQL holds for a session, and frees however that session ends."""

import contextlib
from collections.abc import Iterator
from enum import IntEnum

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Lock(IntEnum):
    """Numbers that no other user of advisory locks in this database may use."""

    PREPARATION = 7_150_001
    TICKS = 7_150_002


class SessionLock:
    """Held on a connection of its own: Django closes its others between pieces of work, and each
    closing would free the lock."""

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.connection: BaseDatabaseWrapper | None = None

    def try_to_hold(self) -> bool:
        """Whether we hold the lock, asked of the database each time: after a restart of
        PostgreSQL it is free, and somebody else may have it."""
        try:
            if self.connection is None:
                self.connection = take(self.lock)
            else:
                ask(self.connection, "SELECT true")
        except Error:
            self.release()
            raise
        return self.connection is not None

    def release(self) -> None:
        if self.connection is not None:
            with contextlib.suppress(Error):
                self.connection.close()
            self.connection = None


def take(lock: Lock) -> BaseDatabaseWrapper | None:
    """A connection that holds the lock, or nothing when somebody else does."""
    connection = connections.create_connection(DEFAULT_DB_ALIAS)
    if ask(connection, "SELECT pg_try_advisory_lock(%s)", lock):
        return connection
    connection.close()
    return None


def ask(connection: BaseDatabaseWrapper, statement: str, *parameters: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return bool(cursor.fetchone()[0])


@contextlib.contextmanager
def held(lock: Lock) -> Iterator[None]:
    """Wait for the lock and hold it during the block."""
    connection = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        ask(connection, "SELECT pg_advisory_lock(%s) IS NOT NULL", lock)
        yield
    finally:
        connection.close()
