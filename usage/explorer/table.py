"""The grid as a table of a page: words for figures, links to sort by and to look deeper."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from usage.explorer import words
from usage.explorer.cells import Cell, Cells, cell_link
from usage.explorer.exploration import LIMITS, Exploration
from usage.explorer.grid import Grid, Group, Line, names_of
from usage.reports.catalogue import GRANULARITIES, METRICS, PERCENTILES


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
class Name:
    """What a row is called under one axis; `detail` is its key, where that is another word."""

    text: str
    detail: str = ""
    link: str | None = None

    @property
    def html(self) -> SafeString:
        """The table's cell, as those of figures: there are as many as rows and axes."""
        text: str = escape(self.text)
        title = f"{text} ({escape(self.detail)})" if self.detail else text
        shown = f'<a href="{escape(self.link)}">{text}</a>' if self.link else text
        return mark_safe(  # noqa: S308 - each part is escaped
            f'<th scope="row" class="tbx-head"><span class="tbx-cut" title="{title}">{shown}'
            "</span></th>"
        )


@dataclass(frozen=True, slots=True)
class Row:
    kind: str
    names: list[Name]
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
    cells = Cells(grid)
    rows = [
        Row(line.kind, list(name_cells(grid, line)), list(cells.of(line))) for line in grid.lines
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
    metrics = exploration.question.metrics
    if exploration.axis:
        # Over columns, rows are never ordered by what does not add up.
        return next((f"-{name}" for name in metrics if name not in PERCENTILES), "")
    return f"-{metrics[0]}"


def name_cells(grid: Grid, line: Line) -> Iterator[Name]:
    link = cell_link(grid, line, grid.groups[0])
    for index, text in enumerate(names_of(grid, line)):
        axis = grid.axes[index]
        key = line.values.get(axis)
        detail = str(key) if isinstance(key, str) and key != text else ""
        yield Name(text, detail, link if index == 0 else None)
