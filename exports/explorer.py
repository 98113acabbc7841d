"""What the explorer shows, as a file: the same lines, columns and order, with every digit."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from exports.admin_views import exportable
from exports.downloads import caller_of, download, file_name
from exports.formats import joined
from exports.kinds import kind_of
from usage.explorer.grid import Grid, Group, Line, lay_out, names_of
from usage.explorer.patience import patience
from usage.explorer.reading import explore
from usage.reports.catalogue import GRANULARITIES
from usage.reports.question import BadQuestion
from usage.reports.run import Column, columns_of, plain

EXTENSIONS = ["csv", "json", "xlsx"]


def explorer_file(request: HttpRequest, extension: str) -> HttpResponseBase:
    """Of what the caller may export; who may see more than that gets less than is shown."""
    exploration = explore(request.GET, exportable(request), now=timezone.now())
    problems = list(exploration.problems.values())
    try:
        with patience():
            grid = None if problems else lay_out(exploration, now=timezone.now())
    except BadQuestion as error:
        grid, problems = None, [str(error.detail)]
    if grid is None:
        return HttpResponseBadRequest("\n".join(problems), content_type="text/plain; charset=utf-8")
    kind, columns = kind_of(extension), file_columns(grid)
    file_format = kind.file_format
    rows = (file_format.row(columns, values) for values in file_rows(grid))
    asked = exploration.question
    return download(
        file_format.whole(columns, joined(rows)),
        kind.media_type,
        file_name("explorer", asked.reach, asked.start, asked.end, extension),
        caller=caller_of(asked.reach),
    )


def file_columns(grid: Grid) -> list[Column]:
    """Axes and figures as on the page, each with a name of its own."""
    known = {column.name: column for column in columns_of(grid.exploration.question)}
    taken: set[str] = set()
    columns = [Column(unique(axis, taken), "string") for axis in grid.axes]
    for group in grid.groups:
        for figure in grid.figures:
            name = unique(heading(grid, group, figure), taken)
            columns.append(Column(name, known[figure].type, known[figure].unit))
    return columns


def heading(grid: Grid, group: Group, figure: str) -> str:
    """A figure under a column is named by both, a single one by its column."""
    axis = grid.exploration.axis
    if axis is None:
        return figure
    in_time = axis in GRANULARITIES and group.kind == "value"
    name = str(plain(group.values[axis])) if in_time else group.label
    return name if len(grid.figures) == 1 else f"{name} {figure}"


def unique(name: str, taken: set[str]) -> str:
    """The name, with a number behind where another column has it."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    taken.add(found)
    return found


def file_rows(grid: Grid) -> Iterator[list[Any]]:
    for line in grid.lines:
        figures = [
            None if found is None else found.get(figure)
            for found in line.figures
            for figure in grid.figures
        ]
        yield [*line_names(grid, line), *figures]


def line_names(grid: Grid, line: Line) -> list[Any]:
    """As on the page, but for times, which files write as they write all times."""
    return [
        plain(line.values[axis]) if axis in GRANULARITIES and line.kind == "row" else name
        for axis, name in zip(grid.axes, names_of(grid, line), strict=True)
    ]
