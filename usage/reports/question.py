"""A question about usage: one value, parsed from query parameters and checked against the lists."""

import difflib
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from accounts.access import Reach
from accounts.errors import ApiError
from accounts.models import time_zones
from usage.reports.catalogue import (
    COMPARISONS,
    DEFAULT_METRICS,
    DIMENSIONS,
    GRANULARITIES,
    METRICS,
)

MAX_ROWS = 10_000
# Periods of which that many buckets are still an answer, and not a heap of rows.
LONGEST = {"minute": timedelta(days=1), "hour": timedelta(days=366)}


class BadQuestion(ApiError):
    """A question that cannot be asked so; the message says how it can."""

    default_code = "bad_question"


class Parameters(Protocol):
    """What a query string offers: Django's QueryDict, or anything alike."""

    def get(self, name: str, default: Any = None) -> Any: ...
    def getlist(self, name: str) -> list[str]: ...
    def keys(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True)
class Filter:
    """Values of a dimension: by key, by id, and whether having none counts too."""

    keys: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    none: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of the workspaces in `reach`, over the period `[start, end)`.

    Dates are days of each account; datetimes are moments. `order` holds metric, dimension or
    granularity names, `-` before a name for descending. Without a limit, `MAX_ROWS` rows at most.

    `compare="previous"` asks for each figure of the period before too, `[previous_start, start)`,
    and for its change. Buckets are compared by their place in the period: the third day with the
    third, the hour with the same hour by the clock on the wall.
    """

    reach: Reach
    start: date | datetime
    end: date | datetime
    granularity: str = "none"
    group_by: tuple[str, ...] = ()
    metrics: tuple[str, ...] = DEFAULT_METRICS
    filters: Mapping[str, Filter] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    limit: int | None = None
    time_zone: str | None = None
    compare: str | None = None

    def __post_init__(self) -> None:
        closed_list("dimension", self.group_by, DIMENSIONS)
        closed_list("dimension", self.filters, DIMENSIONS)
        closed_list("metric", self.metrics, METRICS)
        closed_list("granularity", [self.granularity], GRANULARITIES)
        closed_list("comparison", [self.compare] if self.compare else [], COMPARISONS)
        time = [] if self.granularity == "none" else [self.granularity]
        sortable = [*figure_names(self.metrics, self.compare), *self.group_by, *time]
        closed_list("order", [name.removeprefix("-") for name in self.order], sortable)
        for name, values in (("group_by", self.group_by), ("metrics", self.metrics)):
            if len(set(values)) != len(values):
                raise BadQuestion(f"{name} has the same name twice.")
        if not self.metrics:
            raise BadQuestion("Ask for at least one metric.")
        if isinstance(self.start, datetime) != isinstance(self.end, datetime):
            raise BadQuestion("Give both from and to as days, or both as moments.")
        if self.start >= self.end:
            raise BadQuestion("from must be before to; to itself is not part of the period.")
        self._check_period()

    def _check_period(self) -> None:
        _ = self.since  # raises where there is nothing before to compare with
        longest = LONGEST.get(self.granularity)
        if longest and self.length > longest:
            raise BadQuestion(
                f"By the {self.granularity} a period may have {plural(longest.days, 'day')}; "
                f"this one has {self.length / timedelta(1):,.6g}. Ask for less, or by the "
                f"{GRANULARITIES[GRANULARITIES.index(self.granularity) + 1]}."
            )

    @property
    def is_grouped(self) -> bool:
        return bool(self.group_by) or self.granularity != "none"

    @property
    def by_days(self) -> bool:
        """Whether the period is cut at the accounts' own midnights."""
        return not isinstance(self.start, datetime)

    def starts_before(self, moment: datetime) -> bool:
        """Whether what is looked at begins before that moment, or, of days, before its day."""
        if isinstance(self.since, datetime):
            return self.since < moment
        return self.since < moment.date()

    @property
    def length(self) -> timedelta:
        return length_of(self.start, self.end)

    @property
    def whole_months(self) -> int:
        """How many calendar months the period is; 0 where it is not whole ones, or not of days."""
        if not self.by_days or self.start.day != 1 or self.end.day != 1:
            return 0
        return (self.end.year - self.start.year) * 12 + self.end.month - self.start.month

    @property
    def moves_by_months(self) -> bool:
        """Whole months are compared with whole months, unless buckets within them are asked for."""
        return bool(self.whole_months) and self.granularity in ("none", "month")

    @property
    def previous_start(self) -> date | datetime:
        """Where the period before begins: as many whole months or else days and hours earlier.

        Raises BadQuestion where time had not begun then.
        """
        if self.moves_by_months:
            return months_earlier(self.start, self.whole_months)
        return earlier(self.start, self.length)

    @property
    def since(self) -> date | datetime:
        """From when on the question looks at requests at all."""
        return self.previous_start if self.compare else self.start

    def before(self) -> "Question":
        """The same question over the period before. Raises BadQuestion as `previous_start`."""
        return replace(self, start=self.previous_start, end=self.start)

    def as_dict(self) -> dict[str, Any]:
        return {
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "granularity": self.granularity,
            "group_by": list(self.group_by),
            "metrics": list(self.metrics),
            "filters": {
                name: [*f.keys, *(f"id:{i}" for i in f.ids), *(["none"] if f.none else [])]
                for name, f in self.filters.items()
            },
            "order": list(self.order),
            "limit": self.limit,
            "compare": self.compare,
            "previous": {"from": self.since.isoformat(), "to": self.start.isoformat()}
            if self.compare
            else None,
            "timezone": self.time_zone or sorted({a.time_zone for a in self.reach.accounts}),
            "accounts": [account.slug for account in self.reach.accounts],
        }


def length_of(start: date | datetime, end: date | datetime) -> timedelta:
    if isinstance(start, datetime) and isinstance(end, datetime):
        return end - start
    return timedelta(end.toordinal() - start.toordinal())


def figure_names(metrics: Iterable[str], compare: str | None) -> list[str]:
    """The columns of an answer's figures: of a comparison three for each metric."""
    suffixes = ("", f"_{compare}", "_change") if compare else ("",)
    return [f"{metric}{suffix}" for metric in metrics for suffix in suffixes]


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def closed_list(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(known)}."
            raise BadQuestion(f"There is no {kind} {name!r}: {hint}")


NOT_FILTERS = frozenset(
    [
        "from",
        "to",
        "granularity",
        "group_by",
        "metrics",
        "order",
        "limit",
        "timezone",
        "compare",
        "format",
        "account",
    ]
)


def parse(parameters: Parameters, reach: Reach, *, now: datetime) -> Question:
    """The question that query parameters ask. Raises BadQuestion.

    Without `from` and `to`: the last 30 days, today included.
    """
    unknown = [name for name in parameters.keys() if name not in NOT_FILTERS]  # noqa: SIM118
    filters = {name: parameters.getlist(name) for name in unknown}
    closed_list("parameter", (without_id(name) for name in filters), [*NOT_FILTERS, *DIMENSIONS])
    zone = parameters.get("timezone") or None
    if zone and zone not in time_zones():
        raise BadQuestion(f"{zone!r} is not a time zone; use a name such as Europe/Berlin.")
    start, end = period(
        parameters.get("from"), parameters.get("to"), reach=reach, zone=zone, now=now
    )
    return Question(
        reach=reach.within(account=parameters.get("account"), workspaces=None),
        start=start,
        end=end,
        granularity=parameters.get("granularity") or "none",
        group_by=words(parameters.getlist("group_by")),
        metrics=words(parameters.getlist("metrics")) or DEFAULT_METRICS,
        filters=parse_filters(filters),
        order=words(parameters.getlist("order")),
        limit=parse_limit(parameters.get("limit")),
        time_zone=zone,
        compare=parameters.get("compare") or None,
    )


def words(values: Iterable[str]) -> tuple[str, ...]:
    """Names that may be repeated or joined by commas."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def without_id(name: str) -> str:
    return name.removesuffix("_id")


def parse_filters(values: Mapping[str, list[str]]) -> dict[str, Filter]:
    filters: dict[str, Filter] = {}
    for name, given in values.items():
        dimension = without_id(name)
        readable(name, given)
        old = filters.get(dimension, Filter())
        if name.endswith("_id"):
            if dimension in DIMENSIONS and DIMENSIONS[dimension].table is None:
                raise BadQuestion(f"{dimension} has no ids; use {dimension}={given[0]}.")
            ids = tuple(whole_number(name, value) for value in given)
            filters[dimension] = replace(old, ids=(*old.ids, *ids))
        else:
            keys = tuple(value for value in given if value and value != "none")
            none = old.none or "none" in given
            filters[dimension] = replace(old, keys=(*old.keys, *keys), none=none)
    return {name: f for name, f in filters.items() if f != Filter()}


def parse_limit(value: str | None) -> int | None:
    return whole_number("limit", value, least=1, most=MAX_ROWS) if value else None


def whole_number(name: str, text: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Raises BadQuestion."""
    # The length first: Python refuses to read thousands of digits.
    if text.isdecimal() and len(text) <= 10 and least <= int(text) <= most:
        return int(text)
    raise BadQuestion(f"{name} is a whole number from {least:,} to {most:,}.")


def readable(name: str, values: Iterable[str]) -> None:
    """Raises BadQuestion for what no text in the database can be."""
    if any("\x00" in value for value in values):
        raise BadQuestion(f"{name} may not contain the NUL character.")


def today_in(reach: Reach, *, now: datetime, zone: str | None = None) -> date:
    """The accounts' day; of several in different zones the latest."""
    zones = [zone] if zone else [account.time_zone for account in reach.accounts] or ["UTC"]
    return max(now.astimezone(zoneinfo.ZoneInfo(name)).date() for name in zones)


def period(
    start: str | None, end: str | None, *, reach: Reach, zone: str | None, now: datetime
) -> tuple[date | datetime, date | datetime]:
    tomorrow = today_in(reach, now=now, zone=zone) + timedelta(1)
    first = parse_edge("from", start) if start else None
    last = parse_edge("to", end) if end else None
    if last is None:
        last = now if isinstance(first, datetime) else tomorrow
    if first is None:
        first = earlier(last, timedelta(30))
    return first, last


def earlier(edge: date | datetime, length: timedelta) -> date | datetime:
    try:
        return edge - length
    except OverflowError as error:
        raise BadQuestion(f"There is no time before {edge.isoformat()} to ask about.") from error


def months_earlier(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    if year < date.min.year:
        raise BadQuestion(f"There is no time before {day.isoformat()} to ask about.")
    return date(year, month + 1, 1)


def parse_edge(name: str, text: str) -> date | datetime:
    try:
        if len(text) == len("2026-01-31"):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadQuestion(
        f"{name}={text!r} is neither a day (2026-01-31) nor a moment with its offset "
        "(2026-01-31T12:00:00Z)."
    )
