"""Reads settings from the environment strictly: what cannot be read is told by its name, in one
sentence, and nothing is taken for no or for a default."""

from collections.abc import Iterable
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

YES_AND_NO = {"true", "on", "ok", "y", "yes", "1", "false", "off", "n", "no", "0", ""}
WORDS = {bool: "yes or no", int: "a whole number", float: "a number"}


class Environment(environ.Env):
    def get_value(self, var: str, cast: Any = None, *arguments: Any, **more: Any) -> Any:
        text = self.ENVIRON.get(var)
        if cast is bool and text is not None and text.lower() not in YES_AND_NO:
            raise unreadable(var, WORDS[bool])
        try:
            return super().get_value(var, cast, *arguments, **more)
        except ValueError as error:
            raise unreadable(var, WORDS.get(cast, "something else")) from error

    def one_of(self, var: str, choices: Iterable[str], *, default: str) -> str:
        text: str = self.get_value(var, str, default=default)
        if text not in choices:
            raise unreadable(var, f"one of {', '.join(choices)}")
        return text

    def postgresql(self, var: str) -> dict[str, Any]:
        """Django's settings of the database that the variable names."""
        must_be = "postgres://USER:PASSWORD@HOST:PORT/NAME, PostgreSQL 15 or newer"
        if not self.str(var).startswith(("postgres://", "postgresql://")):
            raise unreadable(var, must_be)
        try:
            found: dict[str, Any] = self.db_url(var)
        except (ValueError, ImproperlyConfigured) as error:
            raise unreadable(var, must_be) from error
        if not found["NAME"]:
            raise unreadable(var, must_be)
        return found

    def mail_server(self, var: str, *, default: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.email_url(var, default=default)
        except (ValueError, ImproperlyConfigured) as error:
            raise unreadable(var, "smtp://USER:PASSWORD@HOST:PORT, or smtp+tls://...") from error
        return found


def unreadable(var: str, must_be: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"(config.E010) {var} cannot be read. HINT: it must be {must_be}.")
