"""What an address of the explorer asks, with what is wrong in it; and the address of what is asked.

The names are those of the API's query string, and a few of the page's own: `range` names a period
by its length, `columns` says which of the question's axes goes over the columns, `by` by which of
these rows are ordered, `chart` and `metric` how and what is drawn.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode
from zoneinfo import ZoneInfo

from django.http import QueryDict

from accounts.access import Reach
from accounts.models import Account, time_zones
from usage import periods
from usage.reports import question as questions
from usage.reports.catalogue import (
    COMPARISONS,
    DEFAULT_METRICS,
    DIMENSIONS,
    GRANULARITIES,
    METRICS,
    PERCENTILES,
)
from usage.reports.question import BadQuestion, Filter, Question, closed_list, figure_names

TIME = "time"
AUTO = "auto"
CHARTS = {
    "stacked": "Stacked bars",
    "bar": "Bars",
    "line": "Lines",
    "area": "Areas",
    "doughnut": "Doughnut",
    "heat": "Heat map",
}
OWN = ("range", "columns", "by", "chart", "metric", "view")
ASKING = ("metrics", "group_by", "granularity", "columns")
LIMITS = (5, 10, 25, 50, 100, 500)
DEFAULT_LIMIT = 10
# Rows of time are not the largest of many: all of them are wanted.
DEFAULT_LIMIT_IN_TIME = 500
MOST_ROWS = 1_000
MOST_TIME_COLUMNS = 200
MOST_OTHER_COLUMNS = 20
MOST_CELLS = 4_000

Found = TypeVar("Found")
Values = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Exploration:
    """A question, how its answer is laid out and drawn, and what could not be read of it.

    `problems` are messages by the control that they belong beside; `view` is the number of the
    saved view that it began with.
    """

    question: Question
    account: Account | None
    spread: str | None
    by: str | None
    chart: str
    drawn: str
    range_key: str
    grain: str
    problems: Mapping[str, str] = field(default_factory=dict)
    view: str | None = None

    @property
    def axis(self) -> str | None:
        """The axis over the columns, as the report service names it."""
        return self.question.granularity if self.spread == TIME else self.spread

    @property
    def row_axes(self) -> list[str]:
        time = [] if self.question.granularity == "none" else [self.question.granularity]
        return [axis for axis in (*time, *self.question.group_by) if axis != self.axis]

    @property
    def limit(self) -> int:
        asked = self.question
        most = fitting_rows(asked.metrics, self.spread, asked.granularity, asked.length)
        return asked.limit or min(default_limit(self.row_axes), most)

    @property
    def zone(self) -> ZoneInfo:
        if self.question.time_zone:
            return ZoneInfo(self.question.time_zone)
        accounts = self.question.reach.accounts
        return accounts[0].zone if accounts else ZoneInfo("UTC")

    def parameters(self) -> Values:
        """All that it takes to ask this again, in an order of their own."""
        asked = self.question
        found: Values = {
            "account": [self.account.slug] if self.account else [],
            **self.period_parameters(),
            "metrics": [",".join(asked.metrics)],
            "group_by": [",".join(asked.group_by)] if asked.group_by else [],
            "columns": [self.spread] if self.spread else [],
            "granularity": [self.grain] if self.grain != "none" else [],
            **filter_parameters(asked.filters),
            "compare": [asked.compare] if asked.compare else [],
            "order": [",".join(asked.order)] if asked.order else [],
            "by": [self.by] if self.by else [],
            "limit": [str(asked.limit)] if asked.limit else [],
            "timezone": [asked.time_zone] if asked.time_zone else [],
            "chart": [self.chart],
            "metric": [self.drawn] if self.drawn != asked.metrics[0] else [],
            "view": [self.view] if self.view else [],
        }
        return {name: values for name, values in found.items() if values}

    def period_parameters(self) -> Values:
        if self.range_key != "custom":
            return {"range": [self.range_key]}
        return {"from": [self.question.start.isoformat()], "to": [self.question.end.isoformat()]}

    def query(self, **changes: str | Iterable[str] | None) -> str:
        """The query string of this with some of its parameters changed, or left out."""
        return query_string(changed(self.parameters(), changes))

    def api_query(self) -> str:
        """The same question in the API's words; spread over columns, all of its rows."""
        found = {n: v for n, v in self.parameters().items() if n not in OWN}
        found |= {
            "from": [self.question.start.isoformat()],
            "to": [self.question.end.isoformat()],
            "granularity": [self.question.granularity],
            "limit": [] if self.spread else [str(self.limit)],
        }
        return urlencode(found, doseq=True, safe=",:")


def query_string(parameters: Values) -> str:
    return "&".join(pair(name, value) for name, values in parameters.items() for value in values)


@lru_cache(maxsize=4096)
def pair(name: str, value: str) -> str:
    """Every cell of a table has its address, and most of it is the same in all of them."""
    return f"{name}={quote_plus(value)}"


def changed(parameters: Values, changes: Mapping[str, str | Iterable[str] | None]) -> Values:
    """The parameters with others in the place of some; a new filter of a dimension is the only."""
    found = dict(parameters)
    for name, value in changes.items():
        values = [value] if isinstance(value, str) else list(value or ())
        if name in ("range", "from", "to"):
            for period in ("range", *(("from", "to") if name == "range" else ())):
                found.pop(period, None)
        found[name] = values
    return {name: values for name, values in found.items() if values}


def filter_parameters(filters: Mapping[str, Filter]) -> Values:
    found: Values = {}
    for name, wanted in filters.items():
        found[name] = [*wanted.keys, *(["none"] if wanted.none else [])]
        found[f"{name}_id"] = [str(pk) for pk in wanted.ids]
    return found


class Reader:
    """Reads one control after the other; what it cannot read becomes a problem beside it."""

    def __init__(self, parameters: QueryDict) -> None:
        self.parameters = parameters
        self.problems: dict[str, str] = {}

    def read(self, control: str, find: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return find()
        except BadQuestion as error:
            self.problems.setdefault(control, str(error.detail))
        except periods.BadPeriod as error:
            self.problems.setdefault(control, str(error))
        return otherwise

    def words(self, name: str, kind: str, known: Collection[str]) -> tuple[str, ...]:
        """Those of the names that are known, each once; the others are a problem."""
        given = dict.fromkeys(questions.words(self.parameters.getlist(name)))
        self.check(name, kind, given, known)
        return tuple(word for word in given if word in known)

    def one(self, name: str, kind: str, known: Collection[str]) -> str | None:
        value = self.parameters.get(name) or None
        self.check(name, kind, [value] if value else [], known)
        return value if value in known else None

    def check(self, control: str, kind: str, names: Iterable[str], known: Collection[str]) -> None:
        self.read(control, partial(closed_list, kind, names, known), None)


def explore(parameters: QueryDict, reach: Reach, *, now: datetime) -> Exploration:
    """Always an exploration that can be asked: what is wrong in the address is left out of it."""
    reader = Reader(parameters)
    account, within = account_of(reader, reach)
    zone = zone_of(reader)
    start, end, range_key = period_of(reader, within, zone, now=now)
    metrics, group_by, spread, grain = layout(reader)
    granularity = resolved(reader, grain, start, end, spread)
    if granularity == "none" and spread == TIME:
        spread = None
    length = questions.length_of(start, end)
    filters = filters_of(reader)
    compare = reader.one("compare", "comparison", COMPARISONS)
    asked = within_rules(
        reader,
        reach=narrowed(within, filters),
        start=start,
        end=end,
        granularity=granularity,
        group_by=group_by,
        metrics=metrics,
        filters=filters,
        limit=limit_of(reader, fitting_rows(metrics, spread, granularity, length)),
        time_zone=zone,
        compare=compare,
        order=order_of(reader, metrics, group_by, granularity, compare, spread=spread),
    )
    chart = reader.one("chart", "chart", CHARTS) or default_chart(asked, spread)
    drawn = reader.one("metric", "metric", asked.metrics) or asked.metrics[0]
    return Exploration(
        question=asked,
        account=account,
        spread=spread,
        by=(parameters.get("by") or None) if spread else None,
        chart=chart,
        drawn=drawn,
        range_key=range_key,
        grain=grain,
        problems=reader.problems,
        view=parameters.get("view") or None,
    )


def account_of(reader: Reader, reach: Reach) -> tuple[Account | None, Reach]:
    """An account that is not there or not the reader's has no figures, and both look the same."""
    slug = reader.parameters.get("account")
    if not slug:
        return (reach.accounts[0] if len(reach.accounts) == 1 else None), reach
    within = reach.within(account=slug)
    if not within.accounts:
        reader.problems["account"] = f"There is no account {slug!r}, or it is not yours to see."
        return None, within
    return within.accounts[0], within


def zone_of(reader: Reader) -> str | None:
    zone = reader.parameters.get("timezone") or None
    if zone and zone not in time_zones():
        reader.problems["timezone"] = f"{zone!r} is not a time zone; use one like Europe/Berlin."
        return None
    return zone


Edges = tuple[date | datetime, date | datetime, str]


def period_of(reader: Reader, reach: Reach, zone: str | None, *, now: datetime) -> Edges:
    today = questions.today_in(reach, now=now, zone=zone)
    usual = periods.preset(periods.DEFAULT, today=today)
    first, last = (reader.parameters.get(name) for name in ("from", "to"))
    otherwise = (usual.start, usual.end, usual.key)

    def preset() -> Edges:
        found = periods.chosen({"range": reader.parameters.get("range") or ""}, today=today)
        return found.start, found.end, found.key

    def own() -> Edges:
        start, end = questions.period(first, last, reach=reach, zone=zone, now=now)
        if isinstance(start, datetime) != isinstance(end, datetime):
            raise BadQuestion("Give both edges as days, or both as moments.")
        if start >= end:
            raise BadQuestion("The first day must not be after the last one.")
        if questions.length_of(start, end) > periods.LONGEST:
            raise BadQuestion("Choose ten years at most.")
        return start, end, "custom"

    return reader.read("period", own if first or last else preset, otherwise)


def layout(reader: Reader) -> tuple[tuple[str, ...], tuple[str, ...], str | None, str]:
    """Metrics, dimensions, what goes over the columns, and the granularity as it was chosen."""
    if not any(name in reader.parameters for name in ASKING):
        return ("cost",), ("model",), TIME, AUTO
    metrics = reader.words("metrics", "metric", METRICS) or DEFAULT_METRICS
    group_by = reader.words("group_by", "dimension", DIMENSIONS)
    spread = reader.one("columns", "columns", (TIME, *DIMENSIONS))
    grain = reader.one("granularity", "granularity", (AUTO, *GRANULARITIES)) or "none"
    if spread == TIME and grain == "none":
        grain = AUTO
    if spread in DIMENSIONS and spread not in group_by:
        group_by = (*group_by, str(spread))
    return metrics, group_by, spread, grain


def resolved(
    reader: Reader, grain: str, start: date | datetime, end: date | datetime, spread: str | None
) -> str:
    """The granularity; one that makes too many columns gives way to a coarser one."""
    length = questions.length_of(start, end)
    found = usual_grain(length) if grain == AUTO else grain
    if found == "none" or spread != TIME:
        return found
    coarser = next(g for g in GRANULARITIES[GRANULARITIES.index(found) :] if fits(length, g))
    if coarser != found:
        reader.problems["granularity"] = (
            f"By the {found} this period has more than {MOST_TIME_COLUMNS} columns; "
            f"it is shown by the {coarser}."
        )
    return coarser


BUCKET_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(1),
    "week": timedelta(7),
    "month": timedelta(28),
}


def fits(length: timedelta, grain: str) -> bool:
    return grain == "month" or length / BUCKET_LENGTHS[grain] <= MOST_TIME_COLUMNS


def usual_grain(length: timedelta) -> str:
    if length <= timedelta(hours=2):
        return "minute"
    if length <= timedelta(days=2):
        return "hour"
    if length <= timedelta(days=periods.LONGEST_BY_DAY):
        return "day"
    return "week" if length <= timedelta(days=periods.LONGEST_BY_WEEK) else "month"


def filters_of(reader: Reader) -> dict[str, Filter]:
    known = {*questions.NOT_FILTERS, *OWN}
    found: dict[str, Filter] = {}
    for name in reader.parameters:
        if name in known:
            continue
        given = reader.parameters.getlist(name)
        dimension = questions.without_id(name)
        problem = f"filter_{dimension}" if dimension in DIMENSIONS else "filters"
        reader.check(problem, "parameter", [dimension], [*known, *DIMENSIONS])
        if dimension in DIMENSIONS:
            nothing: dict[str, Filter] = {}
            read = reader.read(problem, partial(questions.parse_filters, {name: given}), nothing)
            for wanted in read.values():
                found[dimension] = joined(found.get(dimension, Filter()), wanted)
    return found


def joined(one: Filter, other: Filter) -> Filter:
    keys = dict.fromkeys((*one.keys, *other.keys))
    ids = dict.fromkeys((*one.ids, *other.ids))
    return Filter(tuple(keys), tuple(ids), none=one.none or other.none)


def narrowed(reach: Reach, filters: Mapping[str, Filter]) -> Reach:
    """Only the workspaces that the filters name: the fewer are looked at, the sooner it is told."""
    wanted = filters.get("workspace")
    if wanted is None or not wanted.keys or wanted.ids or wanted.none:
        return reach
    return reach.within(workspaces=list(wanted.keys))


def limit_of(reader: Reader, most: int) -> int | None:
    """How many rows are wanted, where the address says it."""
    text = reader.parameters.get("limit")
    if not text:
        return None
    read = partial(questions.whole_number, "limit", text, least=1, most=MOST_ROWS)
    limit = reader.read("limit", read, None)
    if limit is None or limit <= most:
        return limit
    reader.problems["limit"] = (
        f"With so many columns at most {questions.plural(most, 'row')} can be shown; the rest is "
        "in the row of others."
    )
    return most


def fitting_rows(
    metrics: tuple[str, ...], spread: str | None, granularity: str, length: timedelta
) -> int:
    """So many rows that the table does not grow past what a browser shows with ease."""
    columns = 1
    if spread == TIME and granularity != "none":
        columns += int(length / BUCKET_LENGTHS[granularity])
    elif spread:
        columns += MOST_OTHER_COLUMNS
    return max(5, min(MOST_ROWS, MOST_CELLS // (columns * len(metrics))))


def default_limit(row_axes: Iterable[str]) -> int:
    in_time = any(axis in GRANULARITIES for axis in row_axes)
    return DEFAULT_LIMIT_IN_TIME if in_time else DEFAULT_LIMIT


def order_of(
    reader: Reader,
    metrics: tuple[str, ...],
    group_by: tuple[str, ...],
    granularity: str,
    compare: str | None,
    *,
    spread: str | None,
) -> tuple[str, ...]:
    time = [] if granularity == "none" else [granularity]
    names = [*figure_names(metrics, compare), *group_by, *time]
    found = reader.words("order", "order", [*names, *(f"-{name}" for name in names)])
    of_percentiles = [name for name in found if is_of_percentile(name)]
    if spread and of_percentiles:
        reader.problems["order"] = (
            "Rows that are spread over columns cannot be ordered by a percentile."
        )
        return tuple(name for name in found if name not in of_percentiles)
    return found


def is_of_percentile(order: str) -> bool:
    return any(order.removeprefix("-").startswith(name) for name in PERCENTILES)


def within_rules(reader: Reader, **fields: Any) -> Question:
    """The question, without what cannot be asked together with the rest."""
    try:
        return Question(**fields)
    except BadQuestion as error:
        problem = str(error.detail)
    fields |= {"compare": None, "order": ()}
    try:
        asked = Question(**fields)
        reader.problems["compare"] = problem
    except BadQuestion:
        asked = Question(**fields | {"granularity": "day"})
        reader.problems["granularity"] = problem
    return asked


def default_chart(asked: Question, spread: str | None) -> str:
    metric = asked.metrics[0]
    adds_up = metric not in PERCENTILES and METRICS[metric].unit in ("USD", "requests", "tokens")
    if asked.granularity == "none":
        return "stacked" if spread and adds_up else "bar"
    return "stacked" if adds_up and (spread or asked.group_by) else "line"
