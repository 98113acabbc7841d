"""What an address of the explorer asks, and the address of what is asked.

The names are those of the API's query string, and a few of the page's own: `range` names a period
by its length, `columns` says which of the question's axes goes over the columns, `by` by which of
these rows are ordered, `chart` and `metric` how and what is drawn.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from urllib.parse import quote_plus, urlencode
from zoneinfo import ZoneInfo

from accounts.models import Account
from usage.reports.catalogue import GRANULARITIES
from usage.reports.question import Filter, Question

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
LIMITS = (5, 10, 25, 50, 100, 500)
DEFAULT_LIMIT = 10
# Rows of time are not the largest of many: all of them are wanted.
DEFAULT_LIMIT_IN_TIME = 500
MOST_ROWS = 1_000
MOST_OTHER_COLUMNS = 20
MOST_CELLS = 4_000
BUCKET_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(1),
    "week": timedelta(7),
    "month": timedelta(28),
}

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

    def api_query(self, *, all_rows: bool = False) -> str:
        """The same question in the API's words; spread over columns, all of its rows."""
        found = {n: v for n, v in self.parameters().items() if n not in OWN}
        found |= {
            "from": [self.question.start.isoformat()],
            "to": [self.question.end.isoformat()],
            "granularity": [self.question.granularity],
            "limit": [] if self.spread or all_rows else [str(self.limit)],
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
