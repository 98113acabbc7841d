"""What tells things of one name apart: the workspace or the account that each belongs to."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Model

from accounts.models import ApiKey, Client, Member, Project, Workspace
from usage.explorer import words
from usage.reports.pivot import id_of

Sources = dict[str, tuple[type[Model], str]]

BELONGS_TO: Sources = {
    "project": (Project, "workspace__name"),
    "api_key": (ApiKey, "workspace__name"),
    "workspace": (Workspace, "account__name"),
    "client": (Client, "account__name"),
    "member": (Member, "account__name"),
}

# Axis -> id -> what to say behind the name.
Namesakes = dict[str, dict[int, str]]


def namesakes(rows: Iterable[Mapping[str, Any]], axes: Iterable[str], zone: Any) -> Namesakes:
    """Of each axis those values whose name another one has too. Asks only where there are any.

    The ids are of an answer, so that nothing is told that the reader may not see.
    """
    rows = list(rows)
    found: Namesakes = {}
    for axis in axes:
        if axis not in BELONGS_TO:
            continue
        names = {row[id_of(axis)]: words.value_text(axis, dict(row), zone) for row in rows}
        often = Counter(names.values())
        ids = [pk for pk, name in names.items() if pk is not None and often[name] > 1]
        if ids:
            model, path = BELONGS_TO[axis]
            found[axis] = dict(model._default_manager.filter(pk__in=ids).values_list("pk", path))
    return found


def told_apart(axis: str, values: Mapping[str, Any], zone: Any, known: Namesakes) -> str:
    """The value's name, with what it belongs to where another has the same name."""
    name = words.value_text(axis, dict(values), zone)
    belongs_to = known.get(axis, {}).get(values.get(id_of(axis)) or 0)
    return f"{name} ({belongs_to})" if belongs_to else name
