"""The home dashboard: what was spent, by whom, against which budgets, and what needs a person.

Every figure is an answer of `usage.reports`; here answers are only put side by side.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet

from accounts.access import Reach
from budgets.standing import standings
from config import attention, spend_chart
from config.budget_bars import bar
from config.view import View, view_of
from usage import formatting, periods
from usage.models import QuarantinedRow
from usage.reports.question import Filter, Question
from usage.reports.run import Report, ask

TOP = 7
SHOWN_BUDGETS = 5
SINCE_EVER = date(2015, 1, 1)
TILE_METRICS = (
    "cost",
    "requests",
    "errors",
    "error_rate",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cache_hit_rate",
    "cost_per_request",
    "unpriced_requests",
)
ROW_METRICS = ("cost", "requests", "unpriced_requests")
TOPS = {"model": "Models", "project": "Projects", "member": "Members"}
NOBODY = {"model": "unknown", "project": "no project", "member": "no member"}


@dataclass(frozen=True, slots=True)
class Change:
    """From the period before to this one, in words; `tone` says whether that is good news."""

    text: str
    arrow: str = ""
    tone: str = "neutral"


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str
    exact: str
    note: str
    change: Change
    link: str | None = None


@dataclass(frozen=True, slots=True)
class TopRow:
    """One of those who spent most. `share` is its part of the period's spend, in percent."""

    name: str
    detail: str
    cost: Decimal | None
    requests: int
    unpriced: int
    share: Decimal
    change: Change
    link: str
    place: int


@dataclass(frozen=True, slots=True)
class TopTable:
    title: str
    rows: list[TopRow]
    other: Decimal | None
    others: int


def dashboard(
    reach: Reach,
    parameters: Mapping[str, str],
    *,
    now: datetime,
    quarantine: QuerySet[QuarantinedRow],
    whose_books: Collection[int] = (),
) -> dict[str, Any]:
    """The context of the dashboard's template; `quarantine` is what the reader may see of it, and
    `whose_books` are the accounts whose books are the reader's business.
    """
    try:
        view, problem = view_of(reach, parameters, now=now), ""
    except periods.BadPeriod as error:
        rest = {name: parameters.get(name, "") for name in ("account", "workspace")}
        view, problem = view_of(reach, rest, now=now), str(error)
    return {
        "view": view,
        "problem": problem,
        "accounts": reach.accounts,
        "workspaces": reach.within(account=view.account.slug).workspaces if view.account else (),
        "ranges": [
            {"key": key, "label": label, "query": view.as_query(range=key)}
            for key, label in periods.LABELS.items()
        ],
        **figures(view, quarantine, whose_books),
    }


def figures(
    view: View, quarantine: QuerySet[QuarantinedRow], whose_books: Collection[int] = ()
) -> dict[str, Any]:
    budgets = standings(view.reach, now=view.now)
    by_model = ask(
        view.question(metrics=TILE_METRICS, group_by=("model",), limit=TOP), now=view.now
    )
    before = ask(view.before(replace(by_model.question, limit=None)), now=view.now)
    incomparable = why_incomparable(view, before)
    there_is_any = bool(by_model.totals["requests"])
    return {
        "tiles": tiles(view, by_model.totals, before.totals, incomparable),
        "chart": spend_chart.chart(view, by_model) if there_is_any else None,
        "tops": [
            top_table(view, "model", by_model, before, incomparable),
            *(top(view, name, incomparable) for name in ("project", "member")),
        ]
        if there_is_any
        else [],
        "budgets": [bar(budget, now=view.now) for budget in budgets[:SHOWN_BUDGETS]],
        "more_budgets": max(0, len(budgets) - SHOWN_BUDGETS),
        "attention": [
            *attention.unpriced_models(view, by_model.totals["unpriced_requests"]),
            *attention.waiting_rows(view, quarantine),
            *attention.failed_deliveries(view, budgets),
            *attention.books(view, whose_books),
        ],
        "there_is_any": there_is_any,
        "usage_export": export_query(view),
    }


def tiles(
    view: View, now: dict[str, Any], before: dict[str, Any], incomparable: Change | None
) -> list[Tile]:
    in_and_out = (
        f"{formatting.compact(now['input_tokens'])} in · "
        f"{formatting.compact(now['output_tokens'])} out"
    )
    errors = f"{formatting.count(now['errors'])} of {formatting.count(now['requests'])} failed"
    return [
        Tile(
            "Spend",
            formatting.money(now["cost"]),
            formatting.exact_money(now["cost"]),
            unpriced_note(now),
            relative_change(now["cost"], before["cost"], incomparable),
            view.log_url(),
        ),
        Tile(
            "Requests",
            formatting.compact(now["requests"]),
            formatting.count(now["requests"]),
            f"{formatting.money(now['cost_per_request'])} each",
            relative_change(now["requests"], before["requests"], incomparable),
            view.log_url(),
        ),
        Tile(
            "Tokens",
            formatting.compact(now["total_tokens"]),
            formatting.count(now["total_tokens"]),
            in_and_out,
            relative_change(now["total_tokens"], before["total_tokens"], incomparable),
        ),
        Tile(
            "Error rate",
            formatting.percent(now["error_rate"]),
            errors,
            errors,
            point_change(now["error_rate"], before["error_rate"], incomparable, more_is="bad"),
            view.log_url(status_class="4xx") + "&status_class=5xx" if now["errors"] else None,
        ),
        Tile(
            "Cache hit rate",
            formatting.percent(now["cache_hit_rate"]),
            "Input tokens read from a cache, of all input tokens",
            "of input tokens",
            point_change(
                now["cache_hit_rate"], before["cache_hit_rate"], incomparable, more_is="good"
            ),
        ),
    ]


def unpriced_note(totals: dict[str, Any]) -> str:
    number = totals["unpriced_requests"]
    return f"{attention.plural(number, 'request')} unpriced" if number else ""


NO_EARLIER_DATA = Change("no earlier data")
PARTIAL = Change("earlier data is partial")
UNCHANGED = Change("unchanged", "→")


def why_incomparable(view: View, before: Report) -> Change | None:
    """Why the period before says nothing: it is empty, or began before there were any requests."""
    if not before.totals["requests"]:
        return NO_EARLIER_DATA
    first_days = Question(
        reach=view.reach,
        start=SINCE_EVER,
        end=view.period.before_start + timedelta(1),
        metrics=("requests",),
    )
    return None if ask(first_days, now=view.now).totals["requests"] else PARTIAL


def relative_change(now: Any, before: Any, incomparable: Change | None = None) -> Change:
    if incomparable or before is None or now is None:
        return incomparable or NO_EARLIER_DATA
    if now == before:
        return UNCHANGED
    if not before:
        return Change("from nothing", "↑")
    ratio = (Decimal(now) - Decimal(before)) / Decimal(before)
    arrow = "↑" if ratio > 0 else "↓"
    if ratio >= 10:
        return Change(f"{formatting.count(int(ratio) + 1)} times", arrow)
    return Change(formatting.percent(abs(ratio)), arrow)


def point_change(
    now: Decimal | None, before: Decimal | None, incomparable: Change | None, *, more_is: str
) -> Change:
    """Of a rate: in percentage points, which alone add up."""
    if incomparable or before is None or now is None:
        return incomparable or NO_EARLIER_DATA
    points = ((now - before) * 100).quantize(Decimal("0.1"))
    if points == 0:
        return UNCHANGED
    good = (points > 0) == (more_is == "good")
    return Change(f"{abs(points)} points", "↑" if points > 0 else "↓", "good" if good else "bad")


def top(view: View, dimension: str, incomparable: Change | None) -> TopTable:
    asked = view.question(metrics=ROW_METRICS, group_by=(dimension,), limit=TOP)
    report = ask(asked, now=view.now)
    ids = tuple(row[f"{dimension}_id"] for row in report.rows if row[f"{dimension}_id"])
    same = replace(asked, limit=None, filters={dimension: Filter(ids=ids, none=True)})
    before = ask(view.before(same), now=view.now)
    return top_table(view, dimension, report, before, incomparable)


def top_table(
    view: View, dimension: str, report: Report, before: Report, incomparable: Change | None
) -> TopTable:
    earlier = {row[f"{dimension}_id"]: row for row in before.rows}
    total = report.totals["cost"] or Decimal(0)
    rows = [
        top_row(
            view,
            dimension,
            row,
            row_change(row, earlier.get(row[f"{dimension}_id"]), incomparable),
            total=total,
            place=place,
        )
        for place, row in enumerate(report.rows)
    ]
    return TopTable(
        TOPS[dimension],
        rows,
        report.other["cost"] if report.other else None,
        report.row_count - len(rows),
    )


def row_change(
    row: dict[str, Any], earlier: dict[str, Any] | None, incomparable: Change | None
) -> Change:
    """Nothing is called new where there is nothing to compare with; the tiles say so already."""
    if incomparable:
        return Change("")
    if earlier is not None:
        return relative_change(row["cost"], earlier["cost"])
    return Change("new", "↑") if row["cost"] is not None else Change("")


def top_row(
    view: View,
    dimension: str,
    row: dict[str, Any],
    change: Change,
    *,
    total: Decimal,
    place: int,
) -> TopRow:
    key = row[dimension]
    name = row.get(f"{dimension}_name") or key or NOBODY[dimension]
    identity = {f"{dimension}_id": row[f"{dimension}_id"]} if key else {dimension: "none"}
    return TopRow(
        name=name,
        detail=key if key and key != name else "",
        cost=row["cost"],
        requests=row["requests"],
        unpriced=row["unpriced_requests"],
        share=(row["cost"] or Decimal(0)) * 100 / total if total else Decimal(0),
        change=change,
        link=view.log_url(**identity),
        place=place,
    )


def export_query(view: View) -> str:
    """The report by day and model, for a download of the same figures."""
    parameters: dict[str, Any] = {
        "from": view.period.start.isoformat(),
        "to": view.period.end.isoformat(),
        "granularity": view.period.granularity,
        "group_by": "workspace,project,member,model",
        "account": view.account.slug if view.account else None,
        "workspace": view.workspace.slug if view.workspace else None,
    }
    return urlencode({name: value for name, value in parameters.items() if value})
