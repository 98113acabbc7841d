"""Periods that people choose: presets and own dates, each with the period it is compared with.

Periods are days `[start, end)` of the account. Pure: today is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

DAY = timedelta(1)
DEFAULT = "7d"
LENGTHS = {"today": 1, "7d": 7, "30d": 30, "90d": 90}
LABELS = {
    "today": "Today",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "month": "This month",
    "last_month": "Last month",
}
LONGEST_BY_DAY = 124
LONGEST_BY_WEEK = 740
LONGEST = timedelta(days=3660)


class BadPeriod(ValueError):
    """Dates that make no period; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days `[start, end)` and, to compare with, `[before_start, before_end)`."""

    key: str
    start: date
    end: date
    before_start: date
    before_end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def granularity(self) -> str:
        if self.days == 1:
            return "hour"
        if self.days <= LONGEST_BY_DAY:
            return "day"
        return "week" if self.days <= LONGEST_BY_WEEK else "month"

    @property
    def label(self) -> str:
        return days_label(self.start, self.end)

    @property
    def before_label(self) -> str:
        return days_label(self.before_start, self.before_end)

    @property
    def last_day(self) -> date:
        return self.end - DAY

    def as_query(self) -> dict[str, str]:
        """The query parameters that name it again, later as well as now."""
        if self.key == "custom":
            return {"from": self.start.isoformat(), "to": self.end.isoformat()}
        return {} if self.key == DEFAULT else {"range": self.key}


def chosen(parameters: Mapping[str, str], *, today: date) -> Period:
    """The period that query parameters name. Raises BadPeriod."""
    if parameters.get("from") or parameters.get("to"):
        return _custom(parameters.get("from"), parameters.get("to"), today=today)
    key = parameters.get("range") or DEFAULT
    if key not in LABELS:
        raise BadPeriod(f"There is no range {key!r}: one of {', '.join(LABELS)}.")
    return preset(key, today=today)


def preset(key: str, *, today: date) -> Period:
    if key == "month":
        start = today.replace(day=1)
        before = previous_month(start)
        # The same days of the month before, which may have fewer of them.
        return Period(key, start, today + DAY, before, min(before + (today + DAY - start), start))
    if key == "last_month":
        end = today.replace(day=1)
        start = previous_month(end)
        return Period(key, start, end, previous_month(start), start)
    start = today + DAY - LENGTHS[key] * DAY
    return Period(key, start, today + DAY, start - LENGTHS[key] * DAY, start)


def _custom(first: str | None, last: str | None, *, today: date) -> Period:
    try:
        end = date.fromisoformat(last) if last else today + DAY
        start = date.fromisoformat(first) if first else end - LENGTHS[DEFAULT] * DAY
        if not start < end:
            raise BadPeriod("The first day must not be after the last one.")
        if end - start > LONGEST:
            raise BadPeriod("Choose ten years at most.")
        return Period("custom", start, end, start - (end - start), start)
    except OverflowError as error:
        raise BadPeriod("These days are too far away.") from error
    except ValueError as error:
        if isinstance(error, BadPeriod):
            raise
        raise BadPeriod("Write days like 2026-01-31.") from error


def previous_month(first: date) -> date:
    return (first - DAY).replace(day=1)


def days_label(start: date, end: date) -> str:
    """`Nov 22`, `Nov 16 – 22`, `Oct 24 – Nov 22, 2026`: the last day is the one before `end`."""
    last = end - DAY
    if start == last:
        return f"{start:%b} {start.day}, {start.year}"
    head = f"{start:%b} {start.day}"
    if start.year != last.year:
        head += f", {start.year}"
    same_month = (start.year, start.month) == (last.year, last.month)
    tail = f"{last.day}" if same_month else f"{last:%b} {last.day}"
    return f"{head} – {tail}, {last.year}"
