"""A question spread over a table: rows by columns, with totals of both, in one statement.

Each figure is its metric's formula over the sums of just the requests behind it: also those of the
row and the column that stand for all others, and every total. None is a sum of other figures.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import connection

from usage.reports.catalogue import DIMENSIONS, PERCENTILES
from usage.reports.question import (
    BadQuestion,
    Question,
    closed_list,
    figure_names,
    parse_edge,
    readable,
    whole_number,
)
from usage.reports.rows import parameters_of, pick
from usage.reports.run import Column, Report, ask, columns_of, plain, tidy, warnings_of
from usage.reports.sql import (
    Compiled,
    client_join,
    columns,
    conditions,
    default_order,
    figures,
    group_keys,
    label_joins,
    listed,
    sortable,
    sum_names,
    sums,
    with_rows,
)

NONE = "none"
OTHER = 0  # the place of the row or column of all others; shown ones are counted from 1
EVERY = 2**31 - 1
# What GROUPING() says of a sum over cells, of a row, of a column, of all.
KINDS = ("cell", "row", "column", "total")

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """Which axis of a question goes over the columns: its granularity, or one of its dimensions.

    So many `rows` and `columns` are shown for themselves. `by` is the key of the column that rows
    are ordered by, as `column_key` writes it; without it by their totals.
    """

    axis: str
    rows: int = EVERY
    columns: int = EVERY
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Pivot:
    """The answer. `rows` and `columns` have their names and totals; cells are found by places."""

    question: Question
    axis: str
    rows: dict[int, Figures]
    columns: dict[int, Figures]
    cells: dict[tuple[int, int], Figures]
    totals: Figures
    row_count: int
    column_count: int
    warnings: list[str] = field(default_factory=list)


def ask_pivot(question: Question, spread: Spread, *, now: datetime) -> Pivot:
    """Raises BadQuestion where rows cannot be ordered so."""
    closed_list("axis", [spread.axis], axes_of(question))
    metrics = tuple(name for name in question.metrics if name not in PERCENTILES)
    pivot = read(replace(question, metrics=metrics or ("requests",)), spread, now=now)
    if len(metrics) == len(question.metrics):
        return pivot
    add_percentiles(pivot, question, now=now)
    return replace(pivot, question=question)


def read(question: Question, spread: Spread, *, now: datetime) -> Pivot:
    compiled = compile_pivot(question, spread)
    with connection.cursor() as cursor:
        cursor.execute(compiled.sql, compiled.parameters)
        fetched = cursor.fetchall()
    named = columns_of(question)
    pivot = Pivot(question, spread.axis, {}, {}, {}, {}, *(fetched[0][3:5] if fetched else (0, 0)))
    for kind, row, column, _, _, *values in fetched:
        match KINDS[kind]:
            case "cell":
                pivot.cells[row, column] = figures_in(values, question, named)
            case "row":
                pivot.rows[row] = everything_in(values, named)
            case "column":
                pivot.columns[column] = everything_in(values, named)
            case _:
                pivot.totals.update(figures_in(values, question, named))
    pivot.warnings.extend(warnings_of(question, compiled, 0, now=now))
    return pivot


def everything_in(values: Iterable[Any], named: list[Column]) -> Figures:
    return {
        column.name: tidy(value, column.type) for value, column in zip(values, named, strict=True)
    }


def figures_in(values: list[Any], question: Question, named: list[Column]) -> Figures:
    number = len(figure_names(question.metrics, question.compare))
    return everything_in(values[-number:], named[-number:])


def axes_of(question: Question) -> list[str]:
    time = [] if question.granularity == "none" else [question.granularity]
    return [*time, *question.group_by]


def column_key(axis: str, values: Mapping[str, Any]) -> str:
    """What a column is called in addresses: its bucket, its id, or its own text."""
    value = values[id_of(axis)]
    return NONE if value is None else str(plain(value))


def value_of_key(question: Question, axis: str, key: str) -> Any:
    """What `column_key` made the key of. Raises BadQuestion."""
    if key == NONE:
        return None
    if axis == question.granularity:
        bucket = parse_edge("by", key)
        if isinstance(bucket, datetime) != (axis in ("minute", "hour")):
            raise BadQuestion(f"by={key!r} is no {axis}.")
        return bucket
    readable("by", [key])
    return whole_number("by", key) if DIMENSIONS[axis].table else key


def id_of(axis: str) -> str:
    """The column of an answer that tells the axis's values apart."""
    return f"{axis}_id" if axis in DIMENSIONS and DIMENSIONS[axis].table else axis


def compile_pivot(question: Question, spread: Spread) -> Compiled:
    """Its rows are (kind, place of row and column, rows and columns in all, names, figures)."""
    rollup = pick(question)
    parameters = parameters_of(question) | {
        "rows": spread.rows,
        "columns": spread.columns,
        "by": spread.by and value_of_key(question, spread.axis, spread.by),
    }
    keys = group_keys(question, rollup)
    of_column = key_of(question, spread.axis)
    of_rows = [name for name in keys if name != of_column]
    measures = sum_names(question)
    added = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in measures)
    where = " AND ".join(conditions(question, parameters))
    names = [f"ro.{n}" if n in of_rows else f"co.{n}" for n in keys]
    sql = f"""
{with_rows(question, rollup)}, grouped AS (
    SELECT {listed(f"{expression} AS {name}" for name, expression in keys.items())}
        {", ".join(sums(question))}
    FROM u{client_join(question)} WHERE {where}
    GROUP BY {", ".join(keys.values())}
), cells AS (
    -- As text, nothing equals nothing, and keys are found by hash.
    SELECT *, (ROW({", ".join(of_rows)}))::text AS row_key, (ROW({of_column}))::text AS column_key
    FROM grouped
), row_order AS (
    SELECT {listed(of_rows)} row_key,
        row_number() OVER (ORDER BY {", ".join(row_ordering(question, spread, of_rows))}) AS place
    FROM (
        SELECT {listed(of_rows)} row_key, {", ".join(chosen_sums(question, spread, of_column))}
        FROM cells GROUP BY {listed(of_rows)} row_key
    ) t
), column_order AS (
    SELECT {of_column}, column_key,
        row_number() OVER (ORDER BY {", ".join(column_ordering(question, spread, of_column))}) place
    FROM (SELECT {of_column}, column_key, {added} FROM cells GROUP BY {of_column}, column_key) t
), placed AS (
    SELECT CASE WHEN ro.place <= %(rows)s THEN ro.place ELSE {OTHER} END AS r,
        CASE WHEN co.place <= %(columns)s THEN co.place ELSE {OTHER} END AS c,
        {", ".join(measures)}
    FROM cells JOIN row_order ro USING (row_key) JOIN column_order co USING (column_key)
), summed AS (
    SELECT r, c, grouping(r, c) AS kind, {added}
    FROM placed GROUP BY GROUPING SETS ((r, c), (r), (c), ())
), shown AS (
    SELECT kind, r, c, {listed(names)} {figures(question)}
    FROM summed LEFT JOIN row_order ro ON kind = 1 AND ro.place = r
    LEFT JOIN column_order co ON kind = 2 AND co.place = c
)
SELECT s.kind, s.r, s.c, (SELECT count(*) FROM row_order), (SELECT count(*) FROM column_order),
    {", ".join(columns(question))}
FROM shown s{label_joins(question)}
ORDER BY s.kind, s.r, s.c"""
    return Compiled(sql, parameters, rollup.table if rollup else "usage_requestlog")


def key_of(question: Question, axis: str) -> str:
    """The axis's name inside of statements."""
    return "bucket" if axis == question.granularity else f"g{question.group_by.index(axis)}"


def chosen_sums(question: Question, spread: Spread, of_column: str) -> list[str]:
    """What rows are ordered by: the sums of the chosen column, or of all of them."""
    which = f"{of_column} IS NOT DISTINCT FROM %(by)s" if spread.by else "true"
    return [
        f"coalesce(sum({name}) FILTER (WHERE {which}), 0) AS {name}" for name in sum_names(question)
    ]


def row_ordering(question: Question, spread: Spread, of_rows: list[str]) -> list[str]:
    # What orders columns orders no rows.
    names = [name for name in question.order if name.removeprefix("-") != spread.axis]
    if not names:
        time = [question.granularity] if "bucket" in of_rows else []
        names = [*time, f"-{question.metrics[0]}"]
    return [*terms(question, names), *of_rows, "row_key"]


def column_ordering(question: Question, spread: Spread, of_column: str) -> list[str]:
    names = [name for name in question.order if name.removeprefix("-") == spread.axis]
    if not names:
        names = list(default_order(replace(question, order=()))[:1])
        if of_column != "bucket":
            names = [f"-{question.metrics[0]}"]
    return [*terms(question, names), of_column]


def terms(question: Question, names: Iterable[str]) -> list[str]:
    return [
        f"{sortable(question, name.removeprefix('-'))} "
        f"{'DESC' if name.startswith('-') else 'ASC'} NULLS LAST"
        for name in names
    ]


def add_percentiles(pivot: Pivot, question: Question, *, now: datetime) -> None:
    """Percentiles add up to nothing: those of cells, rows, columns and all are asked for each.

    Of all others together they stay unknown.
    """
    wanted = replace(
        question,
        metrics=tuple(name for name in question.metrics if name in PERCENTILES),
        order=(),
        limit=None,
    )
    of_rows = [axis for axis in axes_of(question) if axis != pivot.axis]
    each = (of_rows, [pivot.axis], [*of_rows, pivot.axis])
    reports = [ask(on(wanted, axes), now=now) for axes in each]
    rows, columns, cells = map(found, reports, each)
    known = dict.fromkeys(warning for report in reports for warning in report.warnings)
    pivot.warnings.extend(warning for warning in known if warning not in pivot.warnings)
    pivot.totals.update(cells[()])
    for place, row in pivot.rows.items():
        row.update(rows.get(identity(row, of_rows), {}) if place != OTHER else {})
    for place, column in pivot.columns.items():
        column.update(columns.get(identity(column, [pivot.axis]), {}) if place != OTHER else {})
    for (row_place, column_place), cell in pivot.cells.items():
        if OTHER not in (row_place, column_place):
            of_row = identity(pivot.rows[row_place], of_rows)
            of_column = identity(pivot.columns[column_place], [pivot.axis])
            cell.update(cells.get((*of_row, *of_column), {}))


def on(question: Question, axes: list[str]) -> Question:
    """The question by those of its axes alone."""
    return replace(
        question,
        group_by=tuple(name for name in question.group_by if name in axes),
        granularity=question.granularity if question.granularity in axes else "none",
    )


def identity(values: Mapping[str, Any], axes: Iterable[str]) -> tuple[Any, ...]:
    return tuple(values[id_of(axis)] for axis in axes)


def found(report: Report, axes: list[str]) -> dict[tuple[Any, ...], Figures]:
    """The figures of each of the axes' values, and under `()` of all."""
    names = figure_names(report.question.metrics, report.question.compare)
    rows = {identity(row, axes): {name: row[name] for name in names} for row in report.rows}
    return rows | {(): report.totals}
