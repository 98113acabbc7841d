"""The grid as a table of a page: words for figures, links to sort by and to look deeper."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from usage import formatting
from usage.explorer import words
from usage.explorer.drill import deeper, narrowing
from usage.explorer.exploration import LIMITS, Exploration
from usage.explorer.grid import Figures, Grid, Group, Line, names_of, why_unknown
from usage.reports.catalogue import GRANULARITIES, METRICS, PERCENTILES

HEAT_LEVELS = 8
MORE_IS_WORSE = ("errors", "error_rate", "unpriced_requests")


@dataclass(frozen=True, slots=True)
class Change:
    text: str
    arrow: str
    title: str


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    exact: str
    link: str | None = None
    change: Change | None = None
    heat: int = 0
    is_total: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a column that rows can be ordered by; `sort` is the query that does."""

    text: str
    title: str
    sort: str | None
    direction: str = "none"
    is_total: bool = False
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    kind: str
    names: list[Any]
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """`groups` is empty where nothing is spread over columns, or each has one column only."""

    groups: list[Group]
    group_width: int
    headings: list[Heading]
    rows: list[Row] = field(default_factory=list)
    more: str | None = None
    more_label: str = ""


def table_of(grid: Grid) -> Table:
    exploration = grid.exploration
    metrics = exploration.question.metrics
    heat = ranked(grid) if exploration.chart == "heat" else {}
    rows = [
        Row(line.kind, list(name_cells(grid, line)), list(cells_of(grid, line, heat)))
        for line in grid.lines
    ]
    more = next((limit for limit in LIMITS if limit > exploration.limit), None)
    has_more = grid.row_count > len(grid.rows) and bool(grid.axes) and more is not None
    return Table(
        groups=list(grid.groups) if exploration.axis and len(metrics) > 1 else [],
        group_width=len(metrics),
        headings=[*axis_headings(grid), *figure_headings(grid)],
        rows=rows,
        more=exploration.query(limit=str(more)) if has_more else None,
        more_label=f"Show {min(more or 0, grid.row_count):,} of {grid.row_count:,}",
    )


def axis_headings(grid: Grid) -> Iterator[Heading]:
    for axis in grid.axes:
        sort, direction = sorting(grid.exploration, axis, by=None, first="")
        yield Heading(
            words.axis_label(axis), f"Order by {words.axis_label(axis).lower()}", sort, direction,
            is_number=False,
        )  # fmt: skip


def figure_headings(grid: Grid) -> Iterator[Heading]:
    exploration = grid.exploration
    metrics = exploration.question.metrics
    for group in grid.groups:
        for metric in metrics:
            text = words.metric_label(metric)
            if exploration.axis:
                text = text if len(metrics) > 1 else group.label
            by = group.key or None
            can_sort = group.kind != "other" and not (exploration.axis and metric in PERCENTILES)
            sort, direction = sorting(exploration, metric, by=by) if can_sort else (None, "none")
            title = f"{group.title or group.label}: " if exploration.axis else ""
            yield Heading(
                text,
                f"{title}{METRICS[metric].description}",
                sort,
                direction,
                is_total=group.kind == "total" and exploration.axis is not None,
            )


def sorting(
    exploration: Exploration, name: str, *, by: str | None, first: str = "-"
) -> tuple[str | None, str]:
    """The query that orders rows by it, the other way round where they are; and which way."""
    current = exploration.question.order[0] if exploration.question.order else usual(exploration)
    is_it = current.removeprefix("-") == name and (exploration.by == by or name not in METRICS)
    if is_it:
        turned = name if current.startswith("-") else f"-{name}"
        direction = "descending" if current.startswith("-") else "ascending"
        return exploration.query(order=turned, by=by), direction
    return exploration.query(order=f"{first}{name}", by=by), "none"


def usual(exploration: Exploration) -> str:
    """What rows are ordered by without an order."""
    if exploration.row_axes and exploration.row_axes[0] in GRANULARITIES:
        return exploration.row_axes[0]
    return f"-{exploration.question.metrics[0]}"


def name_cells(grid: Grid, line: Line) -> Iterator[dict[str, Any]]:
    link = cell_link(grid, line, grid.groups[0])
    for index, text in enumerate(names_of(grid, line)):
        axis = grid.axes[index]
        key = line.values.get(axis)
        detail = str(key) if isinstance(key, str) and key != text else ""
        yield {"text": text, "detail": detail, "link": link if index == 0 else None}


def cells_of(grid: Grid, line: Line, heat: dict[str, list[Decimal]]) -> Iterator[Cell]:
    for group, figures in zip(grid.groups, line.figures, strict=True):
        for metric in grid.exploration.question.metrics:
            yield cell_of(grid, line, group, figures, metric, heat)


def cell_of(
    grid: Grid,
    line: Line,
    group: Group,
    figures: Figures | None,
    metric: str,
    heat: dict[str, list[Decimal]],
) -> Cell:
    exploration = grid.exploration
    is_total = group.kind == "total" and exploration.axis is not None
    if figures is None:
        return Cell("", "no requests", is_total=is_total)
    value = figures.get(metric)
    reason = why_unknown(grid, line, group, metric) if value is None else ""
    return Cell(
        text=words.figure_text(metric, value, short=exploration.axis is not None),
        exact=reason or words.exact_text(metric, value),
        link=cell_link(grid, line, group),
        change=change_of(metric, figures) if grid.is_comparable else None,
        heat=heat_of(value, heat.get(metric, [])) if is_shaded(line, group, exploration) else 0,
        is_total=is_total,
    )


def cell_link(grid: Grid, line: Line, group: Group) -> str | None:
    """The page that looks into just the requests of the cell; others and the total have none."""
    exploration = grid.exploration
    if "other" in (line.kind, group.kind):
        return None
    axes: list[str] = []
    changes: dict[str, Any] = {}
    if line.kind == "row":
        axes += grid.axes
        changes |= narrowing(exploration, line.values, grid.axes)
    if group.kind == "value" and exploration.axis:
        axes.append(exploration.axis)
        changes |= narrowing(exploration, group.values, [exploration.axis])
    return deeper(exploration, changes, axes) if axes else None


def change_of(metric: str, figures: Figures) -> Change:
    """How the figure moved, with what it was on hover."""
    before, ratio = figures.get(f"{metric}_previous"), figures.get(f"{metric}_change")
    title = f"Before: {words.exact_text(metric, before)}"
    if ratio is None:
        is_new = not before and figures.get(metric)
        return Change("new" if is_new else "", "↑" if is_new else "", title)
    if ratio == 0:
        return Change("unchanged", "→", title)
    arrow = "↑" if ratio > 0 else "↓"
    if ratio >= 10:
        return Change(f"{formatting.count(int(ratio) + 1)} times", arrow, title)
    return Change(formatting.percent(abs(ratio)), arrow, title)


def is_shaded(line: Line, group: Group, exploration: Exploration) -> bool:
    inner = group.kind != "total" or not exploration.axis
    return line.kind == "row" and inner


def ranked(grid: Grid) -> dict[str, list[Decimal]]:
    """Of each metric the figures that are shaded, the least first."""
    found: dict[str, list[Decimal]] = {}
    for line in grid.rows:
        for group, figures in zip(grid.groups, line.figures, strict=True):
            if figures is None or not is_shaded(line, group, grid.exploration):
                continue
            for metric in grid.exploration.question.metrics:
                if (value := figures.get(metric)) is not None:
                    found.setdefault(metric, []).append(Decimal(value))
    return {metric: sorted(values) for metric, values in found.items()}


def heat_of(value: Any, every: list[Decimal]) -> int:
    """From 0, which is nothing, to `HEAT_LEVELS`, by rank: an outlier would leave the rest pale."""
    if value is None or value <= 0 or not every:
        return 0
    return -(-bisect_right(every, value) * HEAT_LEVELS // len(every))
