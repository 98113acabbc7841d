"""Spend over time, stacked by model: the series that the dashboard's chart draws."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from config.periods import DAY
from config.view import View
from usage import formatting
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


def buckets_of(start: date, end: date, grain: str, zone: ZoneInfo) -> Iterator[date | datetime]:
    """When each bucket of `[start, end)` begins, as reports name it: a day, or hours in UTC."""
    if grain == "hour":
        # Stepped in UTC: a day on which clocks change has 23 or 25 hours.
        moment = datetime.combine(start, time.min, tzinfo=zone).astimezone(UTC)
        last = datetime.combine(end, time.min, tzinfo=zone).astimezone(UTC)
        while moment < last:
            yield moment
            moment += timedelta(hours=1)
        return
    day = start
    if grain == "week":
        day -= start.weekday() * DAY
    elif grain == "month":
        day = start.replace(day=1)
    while day < end:
        yield day
        day = after(day, grain)


def after(day: date, grain: str) -> date:
    if grain == "month":
        return (day.replace(day=1) + 31 * DAY).replace(day=1)
    return day + (7 * DAY if grain == "week" else DAY)


def label(bucket: Any, grain: str, zone: ZoneInfo) -> str:
    if grain == "hour":
        return f"{bucket.astimezone(zone):%H:%M}"
    return f"{bucket:%b %Y}" if grain == "month" else f"{bucket:%b} {bucket.day}"


def title(bucket: Any, grain: str, zone: ZoneInfo) -> str:
    if grain == "hour":
        local = bucket.astimezone(zone)
        return f"{local:%a} {local.day} {local:%b}, {local:%H:%M} – {local:%H}:59"
    if grain == "month":
        return f"{bucket:%B %Y}"
    return f"{'Week of ' if grain == 'week' else ''}{bucket:%a} {bucket.day} {bucket:%b %Y}"


def link(view: View, bucket: Any, grain: str) -> str:
    """The requests of one bucket."""
    if grain == "hour":
        end = bucket + timedelta(hours=1)
        return view.log_url(**{"from": bucket.isoformat(), "to": end.isoformat()})
    start, end = max(bucket, view.period.start), min(after(bucket, grain), view.period.end)
    return view.log_url(**{"from": start.isoformat(), "to": end.isoformat()})
