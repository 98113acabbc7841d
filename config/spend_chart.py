"""Spend over time, stacked by a dimension: the series that the dashboard's chart draws."""

from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from config.naming import DIMENSIONS_IN_WORDS, identity, name_of
from config.view import View
from usage import formatting
from usage.buckets import Bucket, cut, label, title
from usage.explorer.namesakes import Namesakes
from usage.reports.question import Filter, Question
from usage.reports.run import Report

METRICS = ("cost",)


def series_question(view: View, top: Report) -> Question:
    """What those at the top of a report spent in each bucket; the rest is the difference."""
    ids = tuple(row[f"{view.by}_id"] for row in top.rows if row[f"{view.by}_id"] is not None)
    nobody = len(ids) < len(top.rows) or not ids  # a filter by nothing at all is none
    return view.question(
        metrics=METRICS,
        granularity=view.grain,
        group_by=(view.by,),
        filters={view.by: Filter(ids=ids, none=nobody)},
    )


def totals_question(view: View) -> Question:
    return view.question(metrics=METRICS, granularity=view.grain)


def chart(
    view: View, top: Report, series: Report, every: Report, *, known: Namesakes | None = None
) -> dict[str, Any]:
    """Of those at the top, and of all others together: amounts in each bucket.

    Numbers are for drawing; what is read is the text, made of the exact amounts.
    """
    key = f"{view.by}_id"
    amounts = {(row[view.grain], row[key]): row["cost"] or Decimal(0) for row in series.rows}
    totals = {row[view.grain]: row["cost"] or Decimal(0) for row in every.rows}
    buckets = cut(view.period.start, view.period.end, view.grain, view.zone)
    datasets = [
        dataset(
            name_of(row, view.by, known),
            place,
            [amounts.get((bucket.key, row[key])) for bucket in buckets],
            link=view.log_url(**identity(row, view.by)),
        )
        for place, row in enumerate(top.rows)
        if row["cost"]
    ]
    if top.other:
        shown = [row[key] for row in top.rows]
        rest = [
            totals.get(bucket.key, Decimal(0))
            - sum((amounts.get((bucket.key, i), Decimal(0)) for i in shown), Decimal(0))
            for bucket in buckets
        ]
        datasets.append(dataset(f"Other {DIMENSIONS_IN_WORDS[view.by].many}", None, rest))
    return {
        "labels": labels(buckets, view.grain, view.zone),
        "titles": [
            title(bucket.begins if view.grain == "hour" else bucket.key, view.grain, view.zone)
            for bucket in buckets
        ],
        "totals": [formatting.money(totals.get(bucket.key, Decimal(0))) for bucket in buckets],
        "links": [link(view, bucket) for bucket in buckets],
        "datasets": datasets,
    }


def dataset(
    name: str, place: int | None, amounts: list[Decimal | None], *, link: str = ""
) -> dict[str, Any]:
    return {
        "name": name,
        "place": place,
        "link": link,
        "total": formatting.money(sum((amount or Decimal(0) for amount in amounts), Decimal(0))),
        "values": [float(amount or 0) for amount in amounts],
        "texts": [formatting.money(amount) if amount else "" for amount in amounts],
    }


def labels(buckets: list[Bucket], grain: str, zone: ZoneInfo) -> list[str]:
    """What stands below the bars; of hours over several days the day too."""
    if grain != "hour":
        return [label(bucket.key, grain, zone) for bucket in buckets]
    local = [cast(datetime, bucket.begins).astimezone(zone) for bucket in buckets]
    several_days = len({moment.date() for moment in local}) > 1
    return [f"{f'{m:%b} {m.day}, ' if several_days else ''}{m:%H:%M}" for m in local]


def link(view: View, bucket: Bucket) -> str:
    """The requests of one bucket."""
    return view.log_url(**{"from": bucket.begins.isoformat(), "to": bucket.ends.isoformat()})
