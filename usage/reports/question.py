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
from usage.reports.catalogue import DEFAULT_METRICS, DIMENSIONS, GRANULARITIES, METRICS

MAX_ROWS = 10_000


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

    def __post_init__(self) -> None:
        closed_list("dimension", self.group_by, DIMENSIONS)
        closed_list("dimension", self.filters, DIMENSIONS)
        closed_list("metric", self.metrics, METRICS)
        closed_list("granularity", [self.granularity], GRANULARITIES)
        time = [] if self.granularity == "none" else [self.granularity]
        sortable = [*self.metrics, *self.group_by, *time]
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

    @property
    def is_grouped(self) -> bool:
        return bool(self.group_by) or self.granularity != "none"

    @property
    def by_days(self) -> bool:
        """Whether the period is cut at the accounts' own midnights."""
        return not isinstance(self.start, datetime)

    def starts_before(self, moment: datetime) -> bool:
        """Whether the period begins before that moment, or, of days, before its day."""
        if isinstance(self.start, datetime):
            return self.start < moment
        return self.start < moment.date()

    @property
    def length(self) -> timedelta:
        if isinstance(self.start, datetime) and isinstance(self.end, datetime):
            return self.end - self.start
        return timedelta(self.end.toordinal() - self.start.toordinal())

    def before(self) -> "Question":
        """The same question over the period of the same length that ends where this begins.

        Raises BadQuestion where time had not begun then.
        """
        return replace(self, start=earlier(self.start, self.length), end=self.start)

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
            "timezone": self.time_zone or sorted({a.time_zone for a in self.reach.accounts}),
            "accounts": [account.slug for account in self.reach.accounts],
        }


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
