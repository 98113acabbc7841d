"""On whose behalf rows are changed: told to PostgreSQL, whose triggers write the audit log.

It is a setting of the database session, so that whatever the change is made by, a form, `update()`
or SQL, it is known who stands behind it. Each connection begins with the actor of its process.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from accounts.models import AccessToken, User

SETTING = "tokenbook.actor"
ACT_AS = f"SELECT set_config('{SETTING}', %s, false)"


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, an access token, or a part of the platform."""

    name: str
    user_id: int | None = None
    token_id: int | None = None

    @property
    def as_setting(self) -> str:
        return json.dumps({"name": self.name, "user": self.user_id, "token": self.token_id})


INGEST = Actor("ingest")


def of_user(user: Any) -> Actor:
    """Of somebody who has not logged in: the log-in itself."""
    if not isinstance(user, User):
        return Actor("log-in")
    return Actor(user.get_username(), user_id=user.pk)


def of_token(token: AccessToken) -> Actor:
    return Actor(f"token {token.name}", token_id=token.pk)


@cache
def of_this_process() -> Actor:
    """The web server itself changes rows only for gateways; people are named request by request."""
    is_manage = Path(sys.argv[0]).name == "manage.py"
    command = sys.argv[1] if is_manage and len(sys.argv) > 1 else ""
    if command == "web":
        return INGEST
    if command in ("", "worker", "tick", "qcluster"):
        return Actor("system")
    return Actor(f"command {command}")


def act_as(actor: Actor) -> None:
    """Until `stop_acting`, or for as long as the connection lasts."""
    with connection.cursor() as cursor:
        cursor.execute(ACT_AS, [actor.as_setting])
    connection.acts_as = actor  # type: ignore[attr-defined]


def stop_acting() -> None:
    """Costs nothing where nobody acted. A connection that fails here is not used again."""
    if getattr(connection, "acts_as", None) is None:
        return
    try:
        act_as(of_this_process())
    except Error:
        if not connection.in_atomic_block:
            connection.close()
    connection.acts_as = None  # type: ignore[attr-defined]


@contextlib.contextmanager
def acting(actor: Actor) -> Iterator[None]:
    try:
        act_as(actor)
        yield
    finally:
        stop_acting()


def introduce(sender: Any, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Every new connection begins with the actor of its process."""
    connection.acts_as = None  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        cursor.execute(ACT_AS, [of_this_process().as_setting])
        if of_this_process() == INGEST:
            # Of what people and gateways wait for; workers and commands take their time.
            limit = f"{settings.STATEMENT_TIMEOUT_SECONDS}s"
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [limit])


connection_created.connect(introduce, dispatch_uid="introduce-the-actor")
