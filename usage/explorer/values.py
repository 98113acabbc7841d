"""What a dimension can be filtered by: the values that the reader's requests of the period have.

Asked of the report service within the reader's reach, so that no name is told that is not theirs:
the tables of names hold what other accounts call their models.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from usage import formatting
from usage.explorer import words
from usage.explorer.drill import one_value
from usage.explorer.exploration import Exploration
from usage.reports.catalogue import DIMENSIONS
from usage.reports.pivot import id_of
from usage.reports.question import Filter, closed_list
from usage.reports.run import ask

MOST = 20
LONGEST_DETAIL = 60


def found_values(
    exploration: Exploration, dimension: str, text: str, *, now: datetime
) -> list[dict[str, str]]:
    """Values with the text in their name or key, the most used first. Raises BadQuestion."""
    closed_list("dimension", [dimension], DIMENSIONS)
    others = {n: f for n, f in exploration.question.filters.items() if n != dimension}
    asked = replace(
        exploration.question,
        granularity="none",
        group_by=(dimension, "workspace") if dimension == "project" else (dimension,),
        metrics=("requests",),
        filters=others,
        order=(),
        limit=None,
        compare=None,
    )
    wanted = text.strip().casefold()
    rows = once(ask(asked, now=now).rows, dimension)
    fitting = [
        row
        for row in rows
        if wanted in searched(exploration, dimension, row)
        and not is_chosen(exploration, dimension, row)
    ]
    return [as_choice(exploration, dimension, row) for row in fitting[:MOST]]


def once(rows: list[dict[str, Any]], dimension: str) -> list[dict[str, Any]]:
    """Each value once: a project is in one workspace, but having none is the same in all."""
    found: dict[Any, dict[str, Any]] = {}
    for row in rows:
        known = found.setdefault(row[id_of(dimension)], row)
        if known is not row:
            known["requests"] += row["requests"]
    return list(found.values())


def searched(exploration: Exploration, dimension: str, row: dict[str, Any]) -> str:
    """All that the row's value goes by."""
    name = words.value_text(dimension, row, exploration.zone)
    return f"{name}\n{row[dimension] or ''}".casefold()


def is_chosen(exploration: Exploration, dimension: str, row: dict[str, Any]) -> bool:
    chosen = exploration.question.filters.get(dimension, Filter())
    if row[dimension] is None:
        return chosen.none
    return row[dimension] in chosen.keys or row.get(f"{dimension}_id") in chosen.ids


def as_choice(exploration: Exploration, dimension: str, row: dict[str, Any]) -> dict[str, str]:
    """`query` is the page with this value among the dimension's filters."""
    label = words.value_text(dimension, row, exploration.zone)
    key = row[dimension]
    in_workspace = dimension == "project" and key is not None
    parameters = exploration.parameters()
    (parameter, value), *_ = [
        (name, value) for name, value in one_value(exploration, dimension, row).items() if value
    ]
    return {
        "label": label,
        "detail": row["workspace_name"] if in_workspace else key_detail(key, label),
        "figure": f"{formatting.compact(row['requests'])} requests",
        "query": exploration.query(**{parameter: [*parameters.get(parameter, []), value]}),
    }


def key_detail(key: str | None, label: str) -> str:
    return key if key and key != label and len(key) <= LONGEST_DETAIL else ""
