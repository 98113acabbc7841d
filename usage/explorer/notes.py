"""What there is to know of an answer: what spend leaves out, and what it is compared with."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from usage import buckets, periods
from usage.explorer import words
from usage.explorer.exploration import Exploration
from usage.explorer.grid import Grid
from usage.reports.catalogue import METRICS
from usage.reports.question import Question
from usage.reports.rows import dimensions_of, percentiles_of, pick
from usage.reports.run import ask

SINCE_EVER = date(2015, 1, 1)
# What durations are counted by.
COUNTED = ("workspace", "model", "provider")


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
        total_of(asked, "requests"), start=SINCE_EVER, end=asked.since + timedelta(1), filters={}
    )
    return bool(ask(first_days, now=now).totals["requests"])


def unpriced_requests(asked: Question, *, now: datetime) -> int:
    """How many requests spend says nothing of, where spend is asked for at all."""
    if not any(METRICS[name].unit == "USD" for name in asked.metrics):
        return 0
    return ask(total_of(asked, "unpriced_requests"), now=now).totals["unpriced_requests"]


def why_slow(asked: Question) -> str:
    """What makes it an answer from single requests; empty where sums and counts answer."""
    if pick(asked) is not None:
        return ""
    others = tuple(name for name in asked.metrics if name not in percentiles_of(asked))
    if pick(replace(asked, metrics=others or ("requests",), order=())) is not None:
        names = [d.name for d in dimensions_of(asked) if d.name not in COUNTED]
        by = " and ".join(dict.fromkeys(words.dimension_label(name).lower() for name in names))
        return (
            f"Percentiles by {by or asked.granularity} are read from single requests, one by one: "
            "of millions this takes seconds. By day, workspace, model and provider they come from "
            "counts, at once."
        )
    return (
        "This is read from single requests, one by one: of millions it takes seconds. Days by "
        "workspace, project, member, key, model, provider and endpoint come from sums, at once."
    )


def total_of(asked: Question, metric: str) -> Question:
    """One figure of all that the question is about."""
    return replace(
        asked,
        granularity="none",
        group_by=(),
        metrics=(metric,),
        order=(),
        limit=None,
        compare=None,
    )
