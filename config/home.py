"""The home dashboard: what was spent, by whom, against which budgets, and what needs a person.

Every figure is an answer of `usage.reports`; here answers are only put side by side. They are asked
in two round trips, because the second asks about those whom the first found at the top.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet

from accounts.access import Reach
from budgets.standing import standings
from config import attention, daily, providers, spend_chart, tiles, tops
from config.budget_bars import bar
from config.naming import DIMENSIONS_IN_WORDS
from config.tops import TopTable
from config.view import View, grains_of, view_of
from usage import periods
from usage.changes import NO_EARLIER_DATA, PARTIAL, Change
from usage.explorer.namesakes import Namesakes, namesakes
from usage.models import QuarantinedRow
from usage.reports.question import Question
from usage.reports.run import Report, ask_all

SHOWN_BUDGETS = 5


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
        "dimensions": [(name, words.one) for name, words in DIMENSIONS_IN_WORDS.items()],
        "grains": grains_of(view.period, view.by),
        "kept": view.kept(),
        **figures(view, quarantine, whose_books),
    }


def figures(
    view: View, quarantine: QuerySet[QuarantinedRow], whose_books: Collection[int] = ()
) -> dict[str, Any]:
    budgets = standings(view.reach, now=view.now)
    answers = asked(view)
    totals = answers.providers.totals
    there_is_any = bool(totals["requests"])
    return {
        "tiles": answers.tiles(view),
        "chart": spend_chart.chart(
            view, answers.by, answers.series, answers.every, known=answers.known
        )
        if there_is_any
        else None,
        "tops": answers.tables(view) if there_is_any else [],
        "providers": providers.rows(
            view, answers.providers, answers.providers_before, answers.incomparable
        ),
        "budgets": [bar(budget, now=view.now) for budget in budgets[:SHOWN_BUDGETS]],
        "more_budgets": max(0, len(budgets) - SHOWN_BUDGETS),
        "attention": attention.items(
            view,
            unpriced=answers.unpriced if totals["unpriced_requests"] else None,
            quarantine=quarantine,
            budgets=budgets,
            whose_books=whose_books,
        ),
        "there_is_any": there_is_any,
        "explore_link": view.explorer_url("cost"),
        "providers_link": view.explorer_url("error_rate", by="provider"),
        "usage_export": export_query(view),
    }


@dataclass(frozen=True, slots=True)
class Answers:
    """The reports that the dashboard is made of; `tops` and `before` by dimension."""

    unpriced: Report
    days: Report
    speeds: Report | None
    hours: Report | None
    tops: dict[str, Report]
    before: dict[str, Report]
    providers: Report
    providers_before: Report
    by: Report
    series: Report
    every: Report
    incomparable: Change | None
    known: Namesakes

    def tiles(self, view: View) -> list[tiles.Tile]:
        grain = "hour" if self.hours else view.period.granularity
        rows = self.hours.rows if self.hours else daily.with_speeds(self.days, self.speeds)
        return tiles.tiles(
            view,
            self.providers.totals,
            self.providers_before.totals,
            self.incomparable,
            lines=daily.lines(view, rows, grain),
            projection=daily.projection(view, self.days.rows),
            days=self.days.rows,
        )

    def tables(self, view: View) -> list[TopTable]:
        return [
            tops.table(
                view, self.tops[name], self.before[name], self.incomparable, known=self.known
            )
            for name in tops.DIMENSIONS
        ]


def asked(view: View) -> Answers:
    first: dict[str, Question] = {
        "unpriced": attention.unpriced_question(view),
        "days": daily.question(view),
        "providers": providers.question(view),
        "providers_before": providers.question_before(view),
        "every": spend_chart.totals_question(view),
        **{name: tops.question(view, name) for name in {*tops.DIMENSIONS, view.by}},
    }
    if view.period.granularity == "hour":
        first["hours"] = view.question(metrics=daily.METRICS, granularity="hour")
    elif view.period.granularity == "day":
        first["speeds"] = daily.speeds_question(view)
    found = together(first)
    second = {
        "series": spend_chart.series_question(view, found[view.by]),
        **{name: tops.question_before(view, found[name]) for name in tops.DIMENSIONS},
    }
    then = together(second)
    return Answers(
        unpriced=found["unpriced"],
        days=found["days"],
        speeds=found.get("speeds"),
        hours=found.get("hours"),
        tops=found,
        before=then,
        providers=found["providers"],
        providers_before=found["providers_before"],
        by=found[view.by],
        series=then["series"],
        every=found["every"],
        known=known_by_name(found, {*tops.DIMENSIONS, view.by}, view),
        incomparable=why_incomparable(view, found["providers_before"], found["days"]),
    )


def known_by_name(found: Mapping[str, Report], dimensions: Iterable[str], view: View) -> Namesakes:
    """What tells those of one name apart; asks only where there are any."""
    known: Namesakes = {}
    for name in dimensions:
        known |= namesakes(found[name].rows, (name,), view.zone)
    return known


def together(questions: Mapping[str, Question]) -> dict[str, Report]:
    return dict(zip(questions, ask_all([*questions.values()]), strict=True))


def why_incomparable(view: View, before: Report, days: Report) -> Change | None:
    """Why the period before says nothing: it is empty, or began before there were any requests."""
    if not before.totals["requests"]:
        return NO_EARLIER_DATA
    return None if daily.began_before(days, view.period.before_start) else PARTIAL


def export_query(view: View) -> str:
    """The report by time, workspace, project, member and model, to download the same figures."""
    parameters: dict[str, Any] = {
        "from": view.period.start.isoformat(),
        "to": view.period.end.isoformat(),
        "granularity": view.grain,
        "group_by": "workspace,project,member,model",
        "account": view.account.slug if view.account else None,
        "workspace": view.workspace.slug if view.workspace else None,
    }
    return urlencode({name: value for name, value in parameters.items() if value})
