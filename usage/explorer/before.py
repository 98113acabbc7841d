"""What there is to say of the period before: which it is, and whether it compares at all."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from usage import buckets, periods
from usage.explorer.exploration import Exploration
from usage.explorer.grid import Grid
from usage.reports.question import Question
from usage.reports.run import ask

SINCE_EVER = date(2015, 1, 1)


def label_of(exploration: Exploration) -> str:
    """The days of the period before; empty where nothing is compared."""
    asked, zone = exploration.question, exploration.zone
    if asked.compare is None:
        return ""
    first = buckets.day_of(asked.since, zone)
    return periods.days_label(first, max(buckets.day_of(asked.start, zone), first + timedelta(1)))


def why_incomparable(grid: Grid, *, now: datetime) -> str:
    """Half a period of data would make every change look twice as large."""
    asked = grid.exploration.question
    if asked.compare is None:
        return ""
    if not grid.is_comparable:
        return f"Nothing to compare with: there was nothing from {label_of(grid.exploration)}."
    if asked.by_days and not recorded_before(asked, now=now):
        return (
            f"Recording began within the period before ({label_of(grid.exploration)}): "
            "the changes compare with a part of it."
        )
    return ""


def recorded_before(asked: Question, *, now: datetime) -> bool:
    """Whether there was any request when the period before began."""
    first_days = replace(
        asked,
        start=SINCE_EVER,
        end=asked.since + timedelta(1),
        granularity="none",
        group_by=(),
        metrics=("requests",),
        filters={},
        order=(),
        limit=None,
        compare=None,
    )
    return bool(ask(first_days, now=now).totals["requests"])
