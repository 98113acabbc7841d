"""What the dashboard calls the dimensions, and the rows of reports by them."""

from typing import Any, NamedTuple

from usage.explorer.namesakes import Namesakes


class Words(NamedTuple):
    """A dimension in words: one of it, many of it, and requests that have none of it."""

    one: str
    many: str
    nobody: str


DIMENSIONS_IN_WORDS = {
    "model": Words("model", "models", "unknown"),
    "project": Words("project", "projects", "no project"),
    "member": Words("member", "members", "no member"),
    "api_key": Words("API key", "API keys", "no API key"),
    "provider": Words("provider", "providers", "unknown provider"),
    "workspace": Words("workspace", "workspaces", "unknown"),
    "client": Words("client", "clients", "no client"),
    "endpoint": Words("endpoint", "endpoints", "unknown endpoint"),
}

NAMED_ONCE = ("model", "provider", "endpoint")


def name_of(row: dict[str, Any], dimension: str, known: Namesakes | None = None) -> str:
    """With what it belongs to, where `known` says that others have the name too."""
    words = DIMENSIONS_IN_WORDS[dimension]
    name = row.get(f"{dimension}_name") or row[dimension] or words.nobody
    belongs_to = (known or {}).get(dimension, {}).get(row[f"{dimension}_id"])
    return f"{name} ({belongs_to})" if belongs_to else name


def identity(row: dict[str, Any], dimension: str) -> dict[str, Any]:
    """The filter that finds the row's requests: by id where names may repeat."""
    key = row[f"{dimension}_id"]
    if key is None:
        return {dimension: "none"}
    return {dimension: row[dimension]} if dimension in NAMED_ONCE else {f"{dimension}_id": key}
