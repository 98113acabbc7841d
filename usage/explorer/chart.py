"""The grid as series to draw: numbers for the drawing, the exact figures' words for reading.

Points know the cell of the table that they are, so that a click on either leads to the same place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from usage.explorer import words
from usage.explorer.exploration import TIME
from usage.explorer.grid import Figures, Grid, Group, Line, names_of
from usage.reports.catalogue import GRANULARITIES, METRICS

COLOURS = 10
MOST_BARS = 25
# What is stacked or cut from a whole must add up to it.
ADDING_UP = frozenset({"cost", "reported_cost", "reported_cost_difference", "ceiling_cost"})
STACKING = ("stacked", "area", "doughnut")

Place = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Point:
    value: Decimal | int | None
    place: Place = None


NO_POINT = Point(None)


@dataclass(frozen=True, slots=True)
class Series:
    """`colour` is a place in the scheme; all others and the period before have their own."""

    name: str
    points: Sequence[Point]
    colour: int | None = None
    kind: str = "value"
    total: Point = NO_POINT


def adds_up(metric: str) -> bool:
    return metric in ADDING_UP or METRICS[metric].type == "integer"


def chart_of(grid: Grid) -> dict[str, Any] | None:
    """What the page's script draws; None for the heat map, which the table is itself."""
    exploration = grid.exploration
    if exploration.chart == "heat" or not grid.lines:
        return None
    metric = exploration.drawn
    drawn_as, note = way(exploration.chart, metric, in_time=in_time(grid))
    labels, titles, series = laid_out(grid, drawn_as)
    series, more = coloured(series, drawn_as)
    return {
        "type": drawn_as,
        "horizontal": not in_time(grid) and drawn_as in ("bar", "stacked"),
        "unit": METRICS[metric].unit,
        "labels": labels,
        "titles": titles,
        "totals": totals(grid, len(labels)) if drawn_as in STACKING and len(series) > 1 else [],
        "series": [as_json(one, metric) for one in series],
        "others_at": len(labels) - 1 if has_others_place(grid, drawn_as) else None,
        "note": " ".join(filter(None, (note, more or undrawn(grid, drawn_as)))),
    }


def in_time(grid: Grid) -> bool:
    return grid.exploration.spread == TIME or (bool(grid.axes) and grid.axes[0] in GRANULARITIES)


def way(chart: str, metric: str, *, in_time: bool) -> tuple[str, str]:
    """How it is drawn: what does not add up is not stacked."""
    if chart not in STACKING or adds_up(metric):
        return chart, ""
    instead = "line" if in_time else "bar"
    words_instead = "lines" if in_time else "bars"
    label = words.metric_label(metric)
    return instead, f"{label} does not add up over rows: drawn as {words_instead}."


Laid = tuple[list[str], list[str], list[Series]]


def laid_out(grid: Grid, drawn_as: str) -> Laid:
    """Names along the axis, short and long, and the series over them."""
    if grid.exploration.spread == TIME:
        return over_columns(grid)
    if len(grid.axes) > 1 and grid.axes[0] in GRANULARITIES:
        return over_time_in_rows(grid)
    return over_rows(grid, drawn_as)


def over_columns(grid: Grid) -> Laid:
    """A series for each row, along the columns."""
    shown = [(g, group) for g, group in enumerate(grid.groups) if group.kind == "value"]
    lines = [(r, line) for r, line in enumerate(grid.lines) if line.kind != "total"]
    lines = lines or [(len(grid.lines) - 1, grid.total)]
    series = [
        Series(
            " · ".join(filter(None, names_of(grid, line))) or "All",
            [point(grid, r, g) for g, _ in shown],
            kind="other" if line.kind == "other" else "value",
            total=point(grid, r, 0),
        )
        for r, line in lines
    ]
    before = [before_of(grid, grid.total.figures[g]) for g, _ in shown]
    return (
        [group.label for _, group in shown],
        [group.title for _, group in shown],
        [*series, *earlier(grid, before)],
    )


def has_others_place(grid: Grid, drawn_as: str) -> bool:
    """Whether all others are one of the places along the axis: only where parts of a whole are
    drawn. Elsewhere they would dwarf those that are shown for themselves.
    """
    has_others = any(line.kind == "other" for line in grid.lines)
    return has_others and drawn_as == "doughnut" and grid.exploration.spread != TIME


def undrawn(grid: Grid, drawn_as: str) -> str:
    """What is in the table and not in the chart."""
    rows = len(grid.rows)
    if not in_time(grid) and rows > MOST_BARS:
        return f"The first {MOST_BARS} are drawn."
    others = grid.row_count - rows
    is_drawn = drawn_as in STACKING if grid.exploration.spread == TIME else drawn_as == "doughnut"
    if others <= 0 or is_drawn or not grid.axes:
        return ""
    return f"The {others:,} others are not drawn."


def over_rows(grid: Grid, drawn_as: str) -> Laid:
    """A series for each column, or for all of them, along the rows."""
    lines = [(r, line) for r, line in enumerate(grid.lines) if line.kind == "row"]
    lines = lines[: None if in_time(grid) else MOST_BARS]
    if has_others_place(grid, drawn_as):
        lines += [(r, line) for r, line in enumerate(grid.lines) if line.kind == "other"]
    lines = lines or [(len(grid.lines) - 1, grid.total)]
    names = [" · ".join(names_of(grid, line)) or "All" for _, line in lines]
    groups = [(g, group) for g, group in enumerate(grid.groups) if group.kind != "total"]
    if not groups:
        groups = [(0, Group("value", words.metric_label(grid.exploration.drawn)))]
    series = [
        Series(
            group.label,
            [point(grid, r, g) for r, _ in lines],
            kind="other" if group.kind == "other" else "value",
            total=point(grid, len(grid.lines) - 1, g),
        )
        for g, group in groups
    ]
    before = [before_of(grid, line.figures[0]) for _, line in lines]
    return (
        [short(grid, line, name) for (_, line), name in zip(lines, names, strict=True)],
        names,
        [
            *series,
            *earlier(grid, before),
        ],
    )


def over_time_in_rows(grid: Grid) -> Laid:
    """Rows that are times and more besides: a series for whatever stands beside the time."""
    time = grid.axes[0]
    places: dict[str, dict[Any, int]] = {}
    for r, line in enumerate(grid.rows):
        name = " · ".join(names_of(grid, line)[1:])
        places.setdefault(name, {})[line.values[time]] = r
    every = sorted({bucket for found in places.values() for bucket in found})
    zone = grid.exploration.zone
    with_day = grid.exploration.question.length.days > 1
    series = [
        Series(name, [point(grid, found[b], 0) if b in found else Point(None) for b in every])
        for name, found in places.items()
    ]
    return (
        [words.bucket_label(bucket, time, zone, with_day=with_day) for bucket in every],
        [words.value_text(time, {time: bucket}, zone) for bucket in every],
        series,
    )


def short(grid: Grid, line: Line, name: str) -> str:
    if line.kind != "row" or not in_time(grid):
        return name
    grain = grid.axes[0]
    asked = grid.exploration.question
    return words.bucket_label(
        line.values[grain], grain, grid.exploration.zone, with_day=asked.length.days > 1
    )


def point(grid: Grid, row: int, group: int) -> Point:
    """The figure in the row and group, and the cell of the table's body that shows it."""
    metrics = grid.exploration.question.metrics
    cell = len(grid.axes) + group * len(metrics) + metrics.index(grid.exploration.drawn)
    figures = grid.lines[row].figures[group]
    return Point(figures.get(grid.exploration.drawn) if figures else None, (row, cell))


def before_of(grid: Grid, figures: Figures | None) -> Any:
    return figures.get(f"{grid.exploration.drawn}_previous") if figures else None


def earlier(grid: Grid, values: list[Any]) -> list[Series]:
    """The period before as a series of its own, of all together."""
    if grid.exploration.question.compare is None:
        return []
    return [Series("Period before", [Point(value) for value in values], kind="before")]


def coloured(series: list[Series], drawn_as: str) -> tuple[list[Series], str]:
    """As many as there are colours. Of what is stacked the rest is one more, of all others."""
    values = [one for one in series if one.kind == "value"]
    shown = [replace(one, colour=place) for place, one in enumerate(values[:COLOURS])]
    before = [one for one in series if one.kind == "before"]
    rest = [*values[COLOURS:], *(one for one in series if one.kind == "other")]
    if drawn_as not in STACKING:
        note = f"The first {len(shown)} are drawn." if len(values) > len(shown) else ""
        return [*shown, *before], note
    return [*shown, *([together(rest)] if rest else []), *before], ""


def together(rest: list[Series]) -> Series:
    """What adds up, added up: exact figures of different requests."""
    columns = zip(*(one.points for one in rest), strict=True)
    name = rest[0].name if len(rest) == 1 else "All others"
    total = added([one.total for one in rest])
    return Series(name, [added(column) for column in columns], kind="other", total=total)


def added(points: Sequence[Point]) -> Point:
    values = [one.value for one in points if one.value is not None]
    place = points[0].place if len(points) == 1 else None
    return Point(sum(values, Decimal(0)) if values else None, place)


def totals(grid: Grid, number: int) -> list[str]:
    """What all series come to at each place along the axis, as the report says it."""
    metric = grid.exploration.drawn
    if grid.exploration.spread == TIME:
        found = [grid.total.figures[g] for g, one in enumerate(grid.groups) if one.kind == "value"]
    elif len(grid.axes) > 1 and grid.axes[0] in GRANULARITIES:
        return []
    else:
        found = [line.figures[0] for line in grid.lines][:number]
    return [words.figure_text(metric, figures.get(metric)) if figures else "" for figures in found]


def as_json(series: Series, metric: str) -> dict[str, Any]:
    zero = 0 if adds_up(metric) else None
    return {
        "name": series.name,
        "kind": series.kind,
        "colour": series.colour,
        "total": ""
        if series.total.value is None
        else words.figure_text(metric, series.total.value),
        "total_value": float(series.total.value or 0),
        "total_cell": list(series.total.place) if series.total.place else None,
        "values": [zero if one.value is None else float(one.value) for one in series.points],
        "texts": [text_of(one, metric) for one in series.points],
        "cells": [list(one.place) if one.place else None for one in series.points],
    }


def text_of(one: Point, metric: str) -> str:
    return "" if one.value is None else words.figure_text(metric, one.value)
