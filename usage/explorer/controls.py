"""The page's controls: each choice is a link to the same page with that one thing changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from accounts.access import Reach
from usage import periods
from usage.explorer import words
from usage.explorer.exploration import (
    AUTO,
    CHARTS,
    LIMITS,
    TIME,
    Exploration,
    filter_parameters,
)
from usage.reports.catalogue import DIMENSIONS, GRANULARITIES, METRICS

ICONS = {
    "stacked": "stacked_bar_chart",
    "bar": "bar_chart",
    "line": "show_chart",
    "area": "area_chart",
    "doughnut": "donut_large",
    "heat": "grid_on",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose. Without a query it cannot be chosen now."""

    label: str
    query: str | None
    title: str = ""
    is_current: bool = False
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """Something chosen, and the query without it where it can be left out."""

    label: str
    value: str
    without: str | None


def controls_of(exploration: Exploration, reach: Reach) -> dict[str, Any]:
    return {
        "ranges": list(ranges(exploration)),
        "metric_chips": list(metric_chips(exploration)),
        "metric_menu": list(metric_menu(exploration)),
        "row_chips": list(row_chips(exploration)),
        "row_menu": list(row_menu(exploration)),
        "columns": columns_text(exploration),
        "column_menu": list(column_menu(exploration)),
        "swap": swapped(exploration),
        "grains": list(grains(exploration)),
        "charts": list(charts(exploration)),
        "drawn": list(drawn(exploration)),
        "limits": list(limits(exploration)),
        "compare": comparison(exploration),
        "hidden": hidden(exploration, "account", "workspace", "workspace_id"),
        "hidden_for_filter": hidden(exploration),
        "hidden_for_period": hidden(exploration, "range", "from", "to"),
        "workspaces": workspaces(exploration, reach),
        "workspace": workspace_of(exploration),
    }


def ranges(exploration: Exploration) -> Iterator[Choice]:
    for key, label in periods.LABELS.items():
        query = exploration.query(range=key)
        yield Choice(label, query, is_current=key == exploration.range_key)


def metric_chips(exploration: Exploration) -> Iterator[Chip]:
    metrics = exploration.question.metrics
    for name in metrics:
        rest = [other for other in metrics if other != name]
        without = exploration.query(metrics=",".join(rest), order=None, metric=None)
        yield Chip(words.metric_label(name), METRICS[name].description, without if rest else None)


def metric_menu(exploration: Exploration) -> Iterator[tuple[str, list[Choice]]]:
    chosen = exploration.question.metrics
    left = sorted((name for name in METRICS if name not in chosen), key=places)
    for group, names in groupby(left, key=words.metric_group):
        yield (
            group,
            [
                Choice(
                    words.metric_label(name),
                    exploration.query(metrics=",".join((*chosen, name))),
                    METRICS[name].description,
                )
                for name in names
            ],
        )


GROUPS = ("Money", "Requests", "Rates", "Tokens", "Speed", "Other meters")


def places(name: str) -> int:
    return GROUPS.index(words.metric_group(name))


def row_chips(exploration: Exploration) -> Iterator[Chip]:
    for axis in exploration.row_axes:
        yield Chip(words.axis_label(axis), "", without_axis(exploration, axis))


def without_axis(exploration: Exploration, axis: str) -> str:
    if axis in DIMENSIONS:
        rest = (name for name in exploration.question.group_by if name != axis)
        return exploration.query(group_by=",".join(rest), order=None, by=None)
    return exploration.query(granularity=None, order=None, by=None, chart=None)


def row_menu(exploration: Exploration) -> Iterator[Choice]:
    if exploration.question.granularity == "none" or exploration.spread == TIME:
        columns = None if exploration.spread == TIME else exploration.spread
        query = exploration.query(
            granularity=AUTO, columns=columns, limit=None, order=None, by=None, chart=None
        )
        yield Choice("Time", query)
    for name in DIMENSIONS:
        if name not in exploration.row_axes:
            columns = None if exploration.spread == name else exploration.spread
            rest = [n for n in exploration.question.group_by if n != name]
            query = exploration.query(
                group_by=",".join((*rest, name)), columns=columns, order=None, by=None
            )
            yield Choice(words.dimension_label(name), query, DIMENSIONS[name].description)


def columns_text(exploration: Exploration) -> str:
    if exploration.spread is None:
        return "None"
    return "Time" if exploration.spread == TIME else words.dimension_label(exploration.spread)


def column_menu(exploration: Exploration) -> Iterator[Choice]:
    yield Choice("None", spread_over(exploration, None), is_current=exploration.spread is None)
    is_time = exploration.spread == TIME
    yield Choice("Time", spread_over(exploration, TIME), is_current=is_time)
    for name in DIMENSIONS:
        query = spread_over(exploration, name)
        is_current = exploration.spread == name
        yield Choice(words.dimension_label(name), query, DIMENSIONS[name].description, is_current)


def spread_over(exploration: Exploration, spread: str | None) -> str:
    """The same with something else over the columns; what was there before is left out."""
    rows = [axis for axis in exploration.row_axes if axis in DIMENSIONS and axis != spread]
    time_in_rows = any(axis in GRANULARITIES for axis in exploration.row_axes)
    has_time = spread == TIME or time_in_rows
    return exploration.query(
        group_by=",".join((*rows, *([spread] if spread in DIMENSIONS else []))),
        columns=spread,
        granularity=(exploration.grain if exploration.grain != "none" else AUTO)
        if has_time
        else None,
        **dict.fromkeys(("order", "by", "limit", "chart")),
    )


def swapped(exploration: Exploration) -> str | None:
    """Rows for columns; only one axis fits over the columns."""
    if exploration.spread is None or len(exploration.row_axes) != 1:
        return None
    (row,) = exploration.row_axes
    return exploration.query(
        columns=row if row in DIMENSIONS else TIME,
        granularity=exploration.grain if exploration.grain != "none" else None,
        **dict.fromkeys(("order", "by", "limit", "chart")),
    )


def grains(exploration: Exploration) -> Iterator[Choice]:
    """How time is cut, where time is an axis at all."""
    if exploration.question.granularity == "none":
        return
    is_auto = exploration.grain == AUTO
    label = f"Auto ({exploration.question.granularity})"
    yield Choice(label, exploration.query(granularity=AUTO), is_current=is_auto)
    for name in GRANULARITIES[1:]:
        is_current = not is_auto and exploration.question.granularity == name
        query = exploration.query(granularity=name, order=None, by=None)
        yield Choice(words.plain_words(name), query, is_current=is_current)


def charts(exploration: Exploration) -> Iterator[Choice]:
    for name, label in CHARTS.items():
        query = exploration.query(chart=name)
        yield Choice(label, query, is_current=name == exploration.chart, icon=ICONS[name])


def drawn(exploration: Exploration) -> Iterator[Choice]:
    """Which of several metrics is drawn."""
    if len(exploration.question.metrics) < 2:
        return
    for name in exploration.question.metrics:
        is_current = name == exploration.drawn
        yield Choice(
            words.metric_label(name), exploration.query(metric=name), is_current=is_current
        )


def limits(exploration: Exploration) -> Iterator[Choice]:
    for limit in sorted({*LIMITS, exploration.limit}):
        is_current = limit == exploration.limit
        yield Choice(f"{limit:,}", exploration.query(limit=str(limit)), is_current=is_current)


def comparison(exploration: Exploration) -> Choice:
    is_on = exploration.question.compare is not None
    query = exploration.query(compare=None if is_on else "previous", order=None)
    return Choice("Compare with before", query, is_current=is_on)


def hidden(exploration: Exploration, *without: str) -> list[tuple[str, str]]:
    """What a form keeps of the address beside its own fields."""
    return [
        (name, value)
        for name, values in exploration.parameters().items()
        if name not in without
        for value in values
    ]


def workspaces(exploration: Exploration, reach: Reach) -> tuple[Any, ...]:
    account = exploration.account
    return reach.within(account=account.slug).workspaces if account else ()


def workspace_of(exploration: Exploration) -> str:
    """The slug of the one workspace that is looked at, if it is one."""
    wanted = exploration.question.filters.get("workspace")
    if wanted is None or wanted.ids or wanted.none or len(wanted.keys) != 1:
        return ""
    return wanted.keys[0]


def filter_chips(exploration: Exploration, names: dict[str, dict[str, str]]) -> Iterator[Chip]:
    """One for each value that is filtered by; `names` are those behind ids that may be told."""
    given = filter_parameters(exploration.question.filters)
    for name, values in given.items():
        dimension = name.removesuffix("_id")
        for value in values:
            rest = [other for other in values if other != value]
            text = value_words(name, value, names)
            yield Chip(words.dimension_label(dimension), text, exploration.query(**{name: rest}))


def value_words(name: str, value: str, names: dict[str, dict[str, str]]) -> str:
    if value == "none" and not name.endswith("_id"):
        return words.NOTHING.get(name, "none")
    if name.endswith("_id"):
        return names.get(name, {}).get(value) or f"no. {value}"
    return names.get(name, {}).get(value) or value
