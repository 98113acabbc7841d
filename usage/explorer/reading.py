"""An address read: what it asks, and beside which control to say what is wrong in it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from django.http import QueryDict

from accounts.access import Reach
from accounts.models import Account, time_zones
from usage import periods
from usage.explorer.exploration import (
    AUTO,
    BUCKET_LENGTHS,
    CHARTS,
    MOST_ROWS,
    OWN,
    TIME,
    Exploration,
    fitting_rows,
)
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

ASKING = ("metrics", "group_by", "granularity", "columns")
MOST_TIME_COLUMNS = 200

Found = TypeVar("Found")


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
