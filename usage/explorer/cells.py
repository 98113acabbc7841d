"""One figure of the table: how it reads, every digit on hover, its change, and where it leads."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from usage.changes import NEW, NOTHING, Change, by_ratio
from usage.explorer import words
from usage.explorer.drill import deeper, narrowing
from usage.explorer.exploration import Exploration
from usage.explorer.grid import Figures, Grid, Group, Line, why_unknown

HEAT_LEVELS = 8


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    exact: str
    link: str | None = None
    change: Change | None = None
    before: str = ""
    heat: int = 0
    is_total: bool = False

    @property
    def html(self) -> SafeString:
        """The table's cell. Of thousands, a template would take ten times as long."""
        figure: str = escape(self.text)
        if self.link:
            figure = f'<a href="{escape(self.link)}">{figure}</a>'
        if self.change:
            moved = escape(f"{self.change.arrow} {self.change.text}")
            figure += f'<span class="tb-sub" title="Before: {escape(self.before)}">{moved}</span>'
        heat = f' data-heat="{self.heat}"' if self.heat else ""
        kind = " tbx-sum" if self.is_total else ""
        title = escape(self.exact)
        return mark_safe(f'<td class="tb-num{kind}"{heat} title="{title}">{figure}</td>')  # noqa: S308 - each part is escaped


class Cells:
    """Makes the cells of a grid."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.metrics = grid.exploration.question.metrics
        self.is_spread = grid.exploration.axis is not None
        self.is_compared = grid.is_comparable
        self.every = ranked(grid) if grid.exploration.chart == "heat" else {}

    def of(self, line: Line) -> Iterator[Cell]:
        for group, figures in zip(self.grid.groups, line.figures, strict=True):
            link = cell_link(self.grid, line, group) if figures else None
            for metric in self.metrics:
                yield self.cell(line, group, figures, metric, link)

    def cell(
        self, line: Line, group: Group, figures: Figures | None, metric: str, link: str | None
    ) -> Cell:
        is_total = group.kind == "total" and self.is_spread
        if figures is None:
            return Cell("", "no requests", is_total=is_total)
        value = figures.get(metric)
        reason = why_unknown(line, group, metric) if value is None else ""
        shaded = is_shaded(line, group, self.grid.exploration)
        return Cell(
            text=words.figure_text(metric, value, short=self.is_spread),
            exact=reason or words.exact_text(metric, value),
            link=link,
            change=change_of(metric, figures) if self.is_compared else None,
            before=before_of(metric, figures) if self.is_compared else "",
            heat=heat_of(value, self.every.get(metric, [])) if shaded else 0,
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
    ratio = figures.get(f"{metric}_change")
    if ratio is not None:
        return by_ratio(ratio)
    return NEW if figures.get(metric) and not figures.get(f"{metric}_previous") else NOTHING


def before_of(metric: str, figures: Figures) -> str:
    return words.exact_text(metric, figures.get(f"{metric}_previous"))


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
