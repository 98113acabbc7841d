"""How the providers answered in the dashboard's period: errors and latency, against before."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from config import tiles
from config.naming import identity, name_of
from config.view import View
from usage.changes import NOTHING, Change, point_change, relative_change
from usage.reports.question import Question
from usage.reports.run import Report

SHOWN = 8


@dataclass(frozen=True, slots=True)
class ProviderRow:
    name: str
    requests: int
    errors: int
    error_rate: Decimal | None
    error_change: Change
    median_ms: Decimal | None
    slowest_ms: Decimal | None
    latency_change: Change
    cost: Decimal | None
    link: str
    failed_link: str


def question(view: View) -> Question:
    """Its totals are what the tiles show: durations are counted by provider, so that those of all
    requests cost nothing more.
    """
    return view.question(
        metrics=tiles.METRICS, group_by=("provider",), order=("-requests",), limit=SHOWN
    )


def question_before(view: View) -> Question:
    return view.before(replace(question(view), limit=None))


def rows(
    view: View, report: Report, before: Report, incomparable: Change | None
) -> list[ProviderRow]:
    earlier = {row["provider_id"]: row for row in before.rows}
    quiet = NOTHING if incomparable else None
    return [provider(view, row, earlier.get(row["provider_id"], {}), quiet) for row in report.rows]


def provider(
    view: View, row: dict[str, Any], earlier: dict[str, Any], incomparable: Change | None
) -> ProviderRow:
    which = identity(row, "provider")
    return ProviderRow(
        name=name_of(row, "provider"),
        requests=row["requests"],
        errors=row["errors"],
        error_rate=row["error_rate"],
        error_change=point_change(
            row["error_rate"], earlier.get("error_rate"), incomparable, more_is="bad"
        ),
        median_ms=row["latency_ms_p50"],
        slowest_ms=row["latency_ms_p95"],
        latency_change=relative_change(
            row["latency_ms_p95"], earlier.get("latency_ms_p95"), incomparable, more_is="bad"
        ),
        cost=row["cost"],
        link=view.log_url(**which),
        failed_link=view.failed_url(**which),
    )
