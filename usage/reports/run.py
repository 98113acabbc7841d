"""Ask a question and get the answer: columns, rows, totals and what to know about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from django.db import connection

from usage.gone_days import gone_within
from usage.reports.catalogue import DIMENSIONS, METRICS
from usage.reports.question import MAX_ROWS, Question, figure_names
from usage.reports.sql import Compiled, compile_question

ANSWER_PLACES = Decimal("1e-10")
WIDE = Context(prec=100)  # sums may have more digits than Decimal's own 28


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The answer. `totals` and `other` hold the figures only; `other` is there under a limit."""

    question: Question
    columns: list[Column]
    rows: list[dict[str, Any]]
    totals: dict[str, Any]
    other: dict[str, Any] | None
    row_count: int
    source: str
    warnings: list[str] = field(default_factory=list)


def ask(question: Question, *, now: datetime) -> Report:
    compiled = compile_question(question)
    with connection.cursor() as cursor:
        cursor.execute(compiled.sql, compiled.parameters)
        fetched = cursor.fetchall()
    return answer(question, compiled, fetched, now=now)


def ask_all(questions: Sequence[Question]) -> list[Report]:
    """The answers to several questions, each of its own moment, for one round trip.

    Without warnings, which would take more of them.
    """
    compiled = [compile_question(question) for question in questions]
    with connection.cursor() as cursor:
        cursor.execute(";".join(cursor.mogrify(c.sql, c.parameters) for c in compiled))
        reports = []
        for question, each in zip(questions, compiled, strict=True):
            reports.append(answer(question, each, cursor.fetchall()))
            cursor.nextset()
    return reports


def answer(
    question: Question,
    compiled: Compiled,
    fetched: list[tuple[Any, ...]],
    *,
    now: datetime | None = None,
) -> Report:
    """With warnings where it is told when that is."""
    columns = columns_of(question)
    names = [column.name for column in columns]
    figures = figure_names(question.metrics, question.compare)
    first = len(names) - len(figures)
    rows: list[dict[str, Any]] = []
    other, totals, row_count = None, {}, 0
    for kind, row_count, *values in fetched:  # noqa: B007 - the count is the same in every row
        values = [tidy(value, column.type) for value, column in zip(values, columns, strict=True)]
        if kind == "row":
            rows.append(dict(zip(names, values, strict=True)))
        elif kind == "other":
            other = dict(zip(figures, values[first:], strict=True))
        else:
            totals = dict(zip(figures, values[first:], strict=True))
    return Report(
        question=question,
        columns=columns,
        rows=rows,
        totals=totals,
        other=other,
        row_count=row_count,
        source=compiled.source,
        warnings=warnings_of(question, compiled, row_count, now=now) if now else [],
    )


def tidy(value: Any, kind: str) -> Any:
    """Counts as integers; quotients get the ten places that money has, as sums have already."""
    if kind == "integer" and value is not None:
        return int(value)
    if isinstance(value, Decimal) and value.as_tuple().exponent < -10:  # type: ignore[operator]
        return value.quantize(ANSWER_PLACES, context=WIDE)
    return value


def columns_of(question: Question) -> list[Column]:
    columns = []
    if question.granularity != "none":
        kind = "datetime" if question.granularity in ("minute", "hour") else "date"
        columns.append(Column(question.granularity, kind))
    for name in question.group_by:
        dimension = DIMENSIONS[name]
        if dimension.table:
            columns.append(Column(f"{name}_id", "integer"))
        columns.append(Column(name, "string"))
        if dimension.label:
            columns.append(Column(f"{name}_name", "string"))
    return columns + [column for name in question.metrics for column in figures_of(name, question)]


def figures_of(name: str, question: Question) -> list[Column]:
    metric = METRICS[name]
    if not question.compare:
        return [Column(name, metric.type, metric.unit)]
    return [
        Column(name, metric.type, metric.unit),
        Column(f"{name}_{question.compare}", metric.type, metric.unit),
        Column(f"{name}_change", "decimal", "ratio"),
    ]


def warnings_of(
    question: Question, compiled: Compiled, row_count: int, *, now: datetime
) -> list[str]:
    warnings = []
    shown = question.limit or MAX_ROWS
    if row_count > shown and question.limit is None:
        warnings.append(
            f"The answer has {row_count:,} rows; these are the first {shown:,}. The totals cover "
            "all of them. Narrow the question, or export it."
        )
    if compiled.source == "usage_requestlog":
        kept = min((w.retention_days for w in question.reach.workspaces), default=30)
        oldest = now - timedelta(days=kept)
        gone = gone_within(question)
        if gone.requests or question.starts_before(oldest):
            warnings.append(
                "This question is answered from single requests, which are kept for "
                f"{kept} days; {gone or 'what is older may be missing'}."
            )
    return warnings


def as_json(report: Report) -> dict[str, Any]:
    """The answer as the API gives it: decimals as strings, times as text, nulls kept."""
    return {
        "query": report.question.as_dict(),
        "columns": [
            {"name": c.name, "type": c.type} | ({"unit": c.unit} if c.unit else {})
            for c in report.columns
        ],
        "rows": [{name: plain(value) for name, value in row.items()} for row in report.rows],
        "other": None
        if report.other is None
        else {name: plain(value) for name, value in report.other.items()},
        "totals": {name: plain(value) for name, value in report.totals.items()},
        "row_count": report.row_count,
        "warnings": report.warnings,
    }


def plain(value: Any) -> Any:
    """A value as JSON and CSV write it; a whole count stays a number."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if hasattr(value, "isoformat") else value
