"""Spend over time, stacked by model: the series that the dashboard's chart draws."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from config.view import View
from usage import formatting
from usage.buckets import after, buckets_of, label, title
from usage.reports.question import Filter
from usage.reports.run import Report, ask

OTHER = "Other models"


def chart(view: View, by_model: Report) -> dict[str, Any]:
    """For the models of a report by model, and all others together: amounts in each bucket.

    Numbers are for drawing; what is read is the text, made of the exact amounts.
    """
    grain = view.period.granularity
    ids = [row["model_id"] for row in by_model.rows]
    asked = view.question(
        metrics=("cost",),
        granularity=grain,
        group_by=("model",),
        filters={"model": Filter(ids=tuple(ids))},
    )
    amounts = {(row[grain], row["model_id"]): row["cost"] for row in ask(asked, now=view.now).rows}
    every = ask(view.question(metrics=("cost",), granularity=grain), now=view.now)
    totals = {row[grain]: row["cost"] for row in every.rows}
    buckets = list(buckets_of(view.period.start, view.period.end, grain, view.zone))
    series = [
        dataset(row["model"], place, [amounts.get((bucket, row["model_id"])) for bucket in buckets])
        for place, row in enumerate(by_model.rows)
        if row["cost"]
    ]
    if by_model.other:
        rest = [
            (totals.get(bucket) or Decimal(0))
            - sum((amounts.get((bucket, i)) or Decimal(0) for i in ids), Decimal(0))
            for bucket in buckets
        ]
        series.append(dataset(OTHER, None, rest))
    return {
        "labels": [label(bucket, grain, view.zone) for bucket in buckets],
        "titles": [title(bucket, grain, view.zone) for bucket in buckets],
        "totals": [formatting.money(totals.get(bucket) or Decimal(0)) for bucket in buckets],
        "links": [link(view, bucket, grain) for bucket in buckets],
        "datasets": series,
    }


def dataset(name: str, place: int | None, amounts: list[Decimal | None]) -> dict[str, Any]:
    return {
        "name": name,
        "place": place,
        "total": formatting.money(sum((amount or Decimal(0) for amount in amounts), Decimal(0))),
        "values": [float(amount or 0) for amount in amounts],
        "texts": [formatting.money(amount) if amount else "" for amount in amounts],
    }


def link(view: View, bucket: Any, grain: str) -> str:
    """The requests of one bucket."""
    if grain == "hour":
        end = bucket + timedelta(hours=1)
        return view.log_url(**{"from": bucket.isoformat(), "to": end.isoformat()})
    start, end = max(bucket, view.period.start), min(after(bucket, grain), view.period.end)
    return view.log_url(**{"from": start.isoformat(), "to": end.isoformat()})
