"""Each request has an id: the caller's `X-Request-ID`, if it is one, or one made here. It stands in
the answer and in every line of the log that was written meanwhile."""

import contextvars
import itertools
import os
import re
import secrets

HEADER = "X-Request-ID"
IN_ENVIRON = "HTTP_X_REQUEST_ID"
USABLE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z").match

current: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")


class Made:
    """Ids that no other process makes: a random beginning, and a number."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.prefix = secrets.token_hex(6)
        self.numbers = itertools.count(1)

    def next(self) -> str:
        return f"{self.prefix}-{next(self.numbers):x}"


made = Made()
os.register_at_fork(after_in_child=made.begin)


def id_of(given: str) -> str:
    """What was given, unless it could do harm where it is repeated."""
    return given if given and USABLE(given) else made.next()
