"""A question compiled to one SQL statement over a roll-up and the rows not yet folded into it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from usage.reports import percentiles
from usage.reports.catalogue import DIMENSIONS, METRICS, PERCENTILES, RAW_MEASURES, Dimension
from usage.reports.percentiles import beside, halves, is_total
from usage.reports.question import MAX_ROWS, Question
from usage.reports.rows import (
    UNFOLDED,
    folded_rows,
    log_rows,
    parameters_of,
    pick,
    pick_histogram,
    workspaces,
)
from usage.rollups.tables import MEASURES, Rollup

# What one request adds to whatever can be summed, over a row `l` of the log.
ALL_MEASURES = MEASURES | RAW_MEASURES

WORD = re.compile(r"[a-z_0-9]+")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The statement, its parameters, and where it reads (`source` is a table's name)."""

    sql: str
    parameters: dict[str, Any]
    source: str


def compile_question(question: Question, *, source: Rollup | None = None) -> Compiled:
    """The statement that answers the question, from the smallest table that can.

    Its rows are (kind, rows in all, time, id/key/name of each dimension, each figure) where kind
    is row, other or total. `source` forces a roll-up (to compare them with each other).
    """
    rollup = source or pick(question)
    parameters = parameters_of(question) | {"limit": question.limit or MAX_ROWS}
    keys = group_keys(question, rollup)
    where = " AND ".join(conditions(question, parameters))
    sql = f"""
{with_rows(question, rollup)}, {grouped(question, rollup, keys, where)}, ranked AS (
    SELECT *, row_number() OVER (ORDER BY {", ".join(ordering(question, keys))}) AS place
    FROM grouped WHERE NOT is_total
), rest AS (
    SELECT {", ".join(added(question))} FROM ranked WHERE place > %(limit)s HAVING count(*) > 0
), shown AS (
    SELECT 'row' AS kind, place, {listed(keys)} {figures(question)}
    FROM ranked WHERE place <= %(limit)s
    UNION ALL
    SELECT 'other', 0, {listed("NULL" for _ in keys)} {figures(question)} FROM rest
    UNION ALL
    SELECT 'total', 0, {listed("NULL" for _ in keys)} {figures(question)}
    FROM grouped WHERE is_total
)
SELECT s.kind, (SELECT count(*) FROM ranked), {", ".join(columns(question))}
FROM shown s{label_joins(question)}
ORDER BY s.kind <> 'row', s.place"""
    return Compiled(sql, parameters, rollup.table if rollup else "usage_requestlog")


def with_rows(question: Question, rollup: Rollup | None) -> str:
    """How a statement begins: with `u`, the rows of sums that the question is about."""
    return f"""WITH z AS MATERIALIZED ({workspaces(question)}),
unfolded AS (SELECT * FROM {UNFOLDED}),
u AS ({source_rows(question, rollup)}
)"""


def source_rows(question: Question, rollup: Rollup | None) -> str:
    """Rows of sums in the period: of the roll-up and of what it has not got yet, or of the log."""
    measures = needed_measures(question)
    each = [f"{ALL_MEASURES[name]} AS {name}" for name in measures]
    if rollup is None:
        ones = [f"l.{name} AS one_{name}" for name in percentiles.durations_of(question)]
        return log_rows(question, None, [*each, *ones])
    folded = folded_rows(question, rollup, [f"r.{name}" for name in measures])
    return f"{folded}\n    UNION ALL{log_rows(question, rollup, each)}"


def grouped(question: Question, rollup: Rollup | None, keys: Mapping[str, str], where: str) -> str:
    """The CTE `grouped`, and what it is made of: sums and percentiles of each group and of all."""
    found = sums(question) + ([] if rollup else percentiles.exact(question))
    join = client_join(question)
    summed = f"""
    SELECT {listed([f"{sql} AS {name}" for name, sql in keys.items()])}
        {is_total(keys.values())} AS is_total,
        {", ".join(found)}
    FROM u{join}
    WHERE {where}
    GROUP BY {grouping_sets(keys)}
"""
    histogram = pick_histogram(question) if rollup and percentiles.names_of(question) else None
    if histogram is None:
        return f"grouped AS ({summed})"
    counts = percentiles.from_histogram(question, histogram, keys, join=join, where=where)
    both = beside("summed", sum_names(question), question, keys)
    return f"summed AS ({summed}), {counts}, grouped AS ({both})"


def group_keys(question: Question, rollup: Rollup | None) -> dict[str, str]:
    """Name in the statement -> expression over `u`, for the time and each dimension."""
    keys = {"bucket": bucket(question, rollup)} if question.granularity != "none" else {}
    return keys | {f"g{i}": DIMENSIONS[name].column for i, name in enumerate(question.group_by)}


def bucket(question: Question, rollup: Rollup | None) -> str:
    """When a row's bucket begins: a day, or for minutes and hours a moment."""
    grain = question.granularity
    if rollup is not None:
        return {"day": "u.day", "hour": "u.hour"}.get(grain, f"date_trunc('{grain}', u.day)::date")
    zone = "%(zone)s::text" if question.time_zone else "u.time_zone"
    if grain in ("minute", "hour"):
        return f"date_trunc('{grain}', u.occurred_at, {zone})"
    return f"date_trunc('{grain}', u.occurred_at AT TIME ZONE {zone})::date"


def grouping_sets(keys: Mapping[str, str]) -> str:
    """The groups and their total; grouped by nothing, the total alone."""
    return f"GROUPING SETS (({', '.join(keys.values())}), ())" if keys else "()"


def needed_measures(question: Question) -> list[str]:
    used = {word for name in question.metrics for word in WORD.findall(METRICS[name].formula)}
    return [name for name in ALL_MEASURES if name in used] or ["requests"]


def sum_names(question: Question) -> list[str]:
    return [f"{name}{suffix}" for suffix in halves(question) for name in needed_measures(question)]


def sums(question: Question) -> list[str]:
    return [
        f"coalesce(sum(u.{name}) FILTER (WHERE {half}), 0) AS {name}{suffix}"
        for suffix, half in halves(question).items()
        for name in needed_measures(question)
    ]


def added(question: Question) -> list[str]:
    """The measures of the rows past the limit; percentiles cannot be added."""
    return [f"sum({name}) AS {name}" for name in sum_names(question)] + [
        f"NULL::numeric AS {name}" for name in percentiles.names_of(question)
    ]


def figures(question: Question) -> str:
    return ", ".join(
        f"({formula}) AS m{i}" for i, formula in enumerate(formulas(question).values())
    )


def formulas(question: Question) -> dict[str, str]:
    """Column of the answer -> SQL over the sums of a group."""
    found = {}
    for name in question.metrics:
        now = found[name] = METRICS[name].formula
        if question.compare:
            then = found[f"{name}_{question.compare}"] = of_before(now)
            # By the size of what was, so that the sign says which way it went.
            found[f"{name}_change"] = f"(({now}) - ({then}))::numeric / nullif(abs({then}), 0)"
    return found


def of_before(formula: str) -> str:
    """A metric's formula over the sums of the period before."""
    return WORD.sub(
        lambda word: (
            f"{word[0]}_before" if word[0] in ALL_MEASURES or word[0] in PERCENTILES else word[0]
        ),
        formula,
    )


def conditions(question: Question, parameters: dict[str, Any]) -> list[str]:
    found = ["true"]
    for name, wanted in question.filters.items():
        dimension = DIMENSIONS[name]
        parameters[f"{name}_keys"] = list(wanted.keys)
        parameters[f"{name}_ids"] = list(wanted.ids)
        ways = [f"{dimension.column} IS NULL"] if wanted.none else []
        if wanted.keys or wanted.ids:
            ways.append(matches(dimension))
        found.append(f"({' OR '.join(ways)})")
    return found


def matches(dimension: Dimension) -> str:
    keys, ids = f"%({dimension.name}_keys)s", f"%({dimension.name}_ids)s"
    if dimension.table is None:
        return f"{dimension.column} = ANY({keys})"
    return f"""{dimension.column} = ANY(ARRAY(
            SELECT id FROM {dimension.table} d
            WHERE d.{dimension.key} = ANY({keys}::text[]) OR d.id = ANY({ids}::int[])))"""


def client_join(question: Question) -> str:
    if "client" not in (*question.group_by, *question.filters):
        return ""
    return """
    LEFT JOIN (SELECT id AS of_project, client_id FROM accounts_project) c
        ON c.of_project = u.project_id"""


def ordering(question: Question, keys: Mapping[str, str]) -> list[str]:
    names = question.order or default_order(question)
    terms = [
        f"{sortable(question, name.removeprefix('-'))} "
        f"{'DESC' if name.startswith('-') else 'ASC'} NULLS LAST"
        for name in names
    ]
    return [*terms, *keys] or ["1"]


def default_order(question: Question) -> tuple[str, ...]:
    first = f"-{question.metrics[0]}"
    return (first,) if question.granularity == "none" else (question.granularity, first)


def sortable(question: Question, name: str) -> str:
    if name == question.granularity:
        return "bucket"
    if name in question.group_by:
        dimension, key = DIMENSIONS[name], f"g{question.group_by.index(name)}"
        if dimension.table is None:
            return key
        return f"(SELECT d.{dimension.key} FROM {dimension.table} d WHERE d.id = {key})"
    return f"({formulas(question)[name]})"


def columns(question: Question) -> list[str]:
    found = ["s.bucket"] if question.granularity != "none" else []
    for i, name in enumerate(question.group_by):
        dimension = DIMENSIONS[name]
        found.append(f"s.g{i}")
        if dimension.table:
            found.append(f"d{i}.{dimension.key}")
        if dimension.label:
            found.append(re.sub(r"\bd\.", f"d{i}.", qualified(dimension.label)))
    return found + [f"s.m{i}" for i in range(len(formulas(question)))]


def qualified(label: str) -> str:
    return label if "d." in label else f"d.{label}"


def label_joins(question: Question) -> str:
    return "".join(
        f"\n    LEFT JOIN {DIMENSIONS[name].table} d{i} ON d{i}.id = s.g{i}"
        for i, name in enumerate(question.group_by)
        if DIMENSIONS[name].table
    )


def listed(items: Iterable[str]) -> str:
    """Items of a SELECT list that more follow."""
    return "".join(f"{item}, " for item in items)
