"""Those who spent most in the dashboard's period, with their share and change."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from config.naming import DIMENSIONS_IN_WORDS, identity, name_of
from config.view import View
from usage import formatting
from usage.changes import NEW, NOTHING, Change, relative_change
from usage.explorer.namesakes import Namesakes
from usage.reports.question import Filter, Question
from usage.reports.run import Report

SHOWN = 7
METRICS = ("cost", "requests", "unpriced_requests")
DIMENSIONS = ("model", "project", "member", "api_key")


@dataclass(frozen=True, slots=True)
class TopRow:
    """One of those who spent most. `share` is its part of the period's spend, 0 to 1."""

    name: str
    detail: str
    cost: Decimal | None
    requests: int
    unpriced: int
    share: Decimal
    change: Change
    link: str
    place: int | None

    @property
    def width(self) -> Decimal:
        return self.share * 100

    @property
    def share_in_words(self) -> str:
        return formatting.percent(self.share, places=0)


@dataclass(frozen=True, slots=True)
class TopTable:
    dimension: str
    title: str
    link: str
    rows: list[TopRow]
    other: Decimal | None
    others: int


def question(view: View, dimension: str) -> Question:
    return view.question(metrics=METRICS, group_by=(dimension,), limit=SHOWN)


def question_before(view: View, report: Report) -> Question:
    """What those of the report spent in the period before."""
    dimension = report.question.group_by[0]
    ids = tuple(row[f"{dimension}_id"] for row in report.rows if row[f"{dimension}_id"] is not None)
    filters = {dimension: Filter(ids=ids, none=True)}
    return view.before(replace(report.question, metrics=METRICS, limit=None, filters=filters))


def table(
    view: View,
    report: Report,
    before: Report,
    incomparable: Change | None,
    *,
    known: Namesakes | None = None,
) -> TopTable:
    dimension = report.question.group_by[0]
    earlier = {row[f"{dimension}_id"]: row for row in before.rows}
    total = report.totals["cost"] or Decimal(0)
    many = DIMENSIONS_IN_WORDS[dimension].many
    return TopTable(
        dimension,
        many[0].upper() + many[1:],
        view.explorer_url("cost", by=dimension),
        [
            top_row(
                view,
                dimension,
                row,
                change_of(row, earlier.get(row[f"{dimension}_id"]), incomparable),
                total=total,
                place=place if dimension == view.by else None,
                known=known,
            )
            for place, row in enumerate(report.rows)
        ],
        report.other["cost"] if report.other else None,
        report.row_count - len(report.rows),
    )


def change_of(
    row: dict[str, Any], earlier: dict[str, Any] | None, incomparable: Change | None
) -> Change:
    """Nothing is called new where there is nothing to compare with; the tiles say so already."""
    if incomparable:
        return NOTHING
    if earlier is not None:
        return relative_change(row["cost"], earlier["cost"])
    return NEW if row["cost"] is not None else NOTHING


def top_row(
    view: View,
    dimension: str,
    row: dict[str, Any],
    change: Change,
    *,
    total: Decimal,
    place: int | None,
    known: Namesakes | None,
) -> TopRow:
    key, name = row[dimension], name_of(row, dimension, known)
    return TopRow(
        name=name,
        detail=key if key and key != name else "",
        cost=row["cost"],
        requests=row["requests"],
        unpriced=row["unpriced_requests"],
        share=(row["cost"] or Decimal(0)) / total if total else Decimal(0),
        change=change,
        link=view.log_url(**identity(row, dimension)),
        place=place,
    )
