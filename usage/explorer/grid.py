"""The answer laid out: lines of figures under groups of columns, for the page and for files alike.

Nothing is calculated here. Every figure, totals and all others together included, is one that the
report service answered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from usage import buckets
from usage.explorer import words
from usage.explorer.exploration import MOST_OTHER_COLUMNS, Exploration
from usage.explorer.namesakes import Namesakes, namesakes, told_apart
from usage.reports.catalogue import PERCENTILES
from usage.reports.pivot import OTHER, Pivot, Spread, ask_pivot, column_key
from usage.reports.question import figure_names
from usage.reports.run import Report, ask

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of figures under one heading: of all (`total`), of one value, of all others."""

    kind: str
    label: str
    title: str = ""
    key: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: one of the question's, all others together, or the total.

    `figures` are those of each group, None where no request was.
    """

    kind: str
    values: Mapping[str, Any]
    figures: tuple[Figures | None, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """`figures` are the names of the figures under every group."""

    exploration: Exploration
    axes: tuple[str, ...]
    groups: tuple[Group, ...]
    figures: tuple[str, ...]
    lines: tuple[Line, ...]
    row_count: int
    column_count: int
    warnings: tuple[str, ...] = ()
    namesakes: Namesakes = field(default_factory=dict)

    @property
    def rows(self) -> list[Line]:
        return [line for line in self.lines if line.kind == "row"]

    @property
    def total(self) -> Line:
        return self.lines[-1]

    @property
    def is_comparable(self) -> bool:
        """Whether there was anything before to compare with."""
        figures = self.total.figures[0] or {}
        return any(figures.get(name) for name in self.figures if name.endswith("_previous"))

    @property
    def is_empty(self) -> bool:
        """Whether there was no request at all, as far as the answer tells."""
        if self.axes:
            return not self.rows
        if self.exploration.axis:
            return self.column_count == 0
        return (self.total.figures[0] or {}).get("requests") == 0


def lay_out(exploration: Exploration, *, now: datetime) -> Grid:
    """Ask, and lay the answer out. Raises BadQuestion where rows cannot be ordered so."""
    axis = exploration.axis
    asked = replace(exploration.question, limit=exploration.limit)
    if axis is None:
        return of_report(exploration, ask(asked, now=now))
    most = None if exploration.spread == "time" else MOST_OTHER_COLUMNS
    spread = Spread(axis, rows=exploration.limit, by=exploration.by)
    if most:
        spread = replace(spread, columns=most)
    return of_pivot(exploration, ask_pivot(asked, spread, now=now))


def of_report(exploration: Exploration, report: Report) -> Grid:
    lines = [Line("row", row, (row,)) for row in report.rows]
    if report.other is not None:
        lines.append(Line("other", {}, (report.other,)))
    return Grid(
        exploration=exploration,
        axes=tuple(exploration.row_axes),
        groups=(Group("total", "Total"),),
        figures=figures_of(exploration),
        lines=(*lines, Line("total", {}, (report.totals,))),
        row_count=report.row_count,
        column_count=0,
        warnings=tuple(report.warnings),
        namesakes=namesakes(report.rows, exploration.row_axes, exploration.zone),
    )


def of_pivot(exploration: Exploration, pivot: Pivot) -> Grid:
    places = column_places(exploration, pivot)
    names = figures_of(exploration)

    def line(kind: str, place: int, total: Figures) -> Line:
        cells = (pivot.cells.get((place, column)) for column, _ in places)
        return Line(kind, total if kind == "row" else {}, (total, *cells))

    rows = {place: row for place, row in pivot.rows.items() if place != OTHER}
    lines = [line("row", place, row) for place, row in rows.items()] if exploration.row_axes else []
    if OTHER in pivot.rows:
        lines.append(line("other", OTHER, pivot.rows[OTHER]))
    totals = Line("total", {}, (pivot.totals, *(pivot.columns.get(column) for column, _ in places)))
    return Grid(
        exploration=exploration,
        axes=tuple(exploration.row_axes),
        groups=(Group("total", "Total"), *(group for _, group in places)),
        figures=names,
        lines=(*lines, totals),
        row_count=pivot.row_count if exploration.row_axes else 0,
        column_count=pivot.column_count,
        warnings=tuple(pivot.warnings),
        namesakes=namesakes(rows.values(), exploration.row_axes, exploration.zone),
    )


def figures_of(exploration: Exploration) -> tuple[str, ...]:
    return tuple(figure_names(exploration.question.metrics, exploration.question.compare))


def column_places(exploration: Exploration, pivot: Pivot) -> list[tuple[int, Group]]:
    """Each column's place in the answer, in the order that they are shown in."""
    if exploration.spread == "time":
        return list(time_columns(exploration, pivot))
    axis, zone = pivot.axis, exploration.zone
    columns = {place: column for place, column in pivot.columns.items() if place != OTHER}
    known = namesakes(columns.values(), [axis], zone)
    shown = [
        (place, Group("value", text, text, column_key(axis, column), column))
        for place, column in columns.items()
        for text in [told_apart(axis, column, zone, known)]
    ]
    if OTHER not in pivot.columns:
        return shown
    others = f"{pivot.column_count - len(shown):,} others"
    return [*shown, (OTHER, Group("other", others, "All others together"))]


def time_columns(exploration: Exploration, pivot: Pivot) -> Iterator[tuple[int, Group]]:
    """Every bucket of the period: where there was no request, a gap would look like none."""
    asked, grain = exploration.question, pivot.axis
    by_bucket = {column[grain]: place for place, column in pivot.columns.items()}
    every = set(buckets.within(asked.start, asked.end, grain, exploration.zone))
    shown = sorted(every | by_bucket.keys())
    with_day = asked.length.days > 1
    for bucket in shown:
        values = {grain: bucket}
        text = words.bucket_label(bucket, grain, exploration.zone, with_day=with_day)
        title = buckets.title(bucket, grain, exploration.zone)
        yield (
            by_bucket.get(bucket, -1),
            Group("value", text, title, column_key(grain, values), values),
        )


def names_of(grid: Grid, line: Line) -> list[str]:
    """What the line is called under each axis; of the others and the total only the first."""
    if line.kind == "row":
        zone = grid.exploration.zone
        return [told_apart(axis, line.values, zone, grid.namesakes) for axis in grid.axes]
    text = "Total" if line.kind == "total" else f"{grid.row_count - len(grid.rows):,} others"
    return [text, *("" for _ in grid.axes[1:])] if grid.axes else []


def why_unknown(line: Line, group: Group, metric: str) -> str:
    """Why a figure is not there, in words; empty where that is told by itself."""
    if metric in PERCENTILES and "other" in (line.kind, group.kind):
        return "Percentiles of several rows do not add up"
    return ""
