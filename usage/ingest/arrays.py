"""Columns as PostgreSQL array literals, several times faster than adapting each element."""

import json
from collections.abc import Iterable
from typing import Any


def numbers(values: Iterable[int | None]) -> str:
    return "{" + ",".join(["NULL" if v is None else str(v) for v in values]) + "}"


def moments(values: Iterable[Any]) -> str:
    return "{" + ",".join([f'"{v.isoformat()}"' for v in values]) + "}"


def booleans(values: Iterable[bool | None]) -> str:
    return "{" + ",".join(["NULL" if v is None else ("t" if v else "f") for v in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    return "{" + ",".join(["NULL" if v is None else quoted(v) for v in values]) + "}"


def objects(values: Iterable[dict | None]) -> str:
    return "{" + ",".join(["NULL" if not v else quoted(json.dumps(v)) for v in values]) + "}"


def quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
