"""Every dataset that can be exported, by name: what it is, and how it is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from django.http import QueryDict

from accounts.access import Reach
from exports import standing_tables
from exports.datasets import Stretch, log_table, report_table
from exports.focus import open_focus
from exports.tables import Table
from usage import requests
from usage.reports import question
from usage.reports.question import Parameters, today_in


class Opener(Protocol):
    def __call__(self, parameters: Parameters, reach: Reach, *, now: datetime) -> Table: ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """`open` makes a table of what is asked for. Raises BadQuestion."""

    name: str
    title: str
    description: str
    open: Opener
    # Whether requests that arrive late change what it said of a period.
    is_of_usage: bool = True


def open_log(parameters: Parameters, reach: Reach, *, now: datetime) -> Table:
    """The request log for the filters that its list takes."""
    query = requests.parse(parameters, reach)
    start, end = period = period_of(parameters, query.reach)
    asked = {name: parameters.getlist(name) for name in parameters.keys()}  # noqa: SIM118
    return log_table(query, period, start=start, end=end, asked=asked)


def period_of(parameters: Parameters, reach: Reach) -> Stretch:
    """Between which moments the list of requests looks."""
    start, end = (
        requests.edge_condition(name, "", text, reach).parameters[0] if text else None
        for name in ("from", "to")
        for text in [parameters.get(name)]
    )
    return start, end


def open_report(parameters: Parameters, reach: Reach, *, now: datetime) -> Table:
    """Any report, for the parameters that it takes."""
    return report_table(question.parse(parameters, reach, now=now))


def preset(name: str, period: Callable[[date], tuple[date, date]], **fixed: str) -> Opener:
    """A report of which the groups and metrics are said; the period and filters are free."""

    def opened(parameters: Parameters, reach: Reach, *, now: datetime) -> Table:
        asked = as_query(parameters)
        for key, value in fixed.items():
            asked.setlist(key, [value])
        if not (asked.get("from") or asked.get("to")):
            start, end = period(today_in(reach, now=now))
            asked["from"], asked["to"] = start.isoformat(), end.isoformat()
        return report_table(question.parse(asked, reach, now=now), name)

    return opened


def as_query(parameters: Parameters) -> QueryDict:
    return query_of({key: parameters.getlist(key) for key in parameters.keys()})  # noqa: SIM118


def query_of(values: Mapping[str, list[str]]) -> QueryDict:
    """What a query string says, out of lists of texts."""
    query = QueryDict(mutable=True)
    for key, texts in values.items():
        query.setlist(key, texts)
    return query


def last_month(today: date) -> tuple[date, date]:
    end = today.replace(day=1)
    return (end - timedelta(1)).replace(day=1), end


def last_30_days(today: date) -> tuple[date, date]:
    return today - timedelta(29), today + timedelta(1)


SPENT = (
    "requests,errors,input_tokens,cache_read_tokens,cache_write_tokens,output_tokens,"
    "reasoning_tokens,total_tokens,cost,unpriced_requests,ceiling_cost"
)
TIMES = ",".join(
    f"{name}{suffix}"
    for name in ("latency_ms", "time_to_first_token_ms")
    for suffix in ("", "_p50", "_p90", "_p95", "_p99")
)

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("requests", "Request log", "Every request that the filters leave.", open_log),
        Dataset("usage", "Usage report", "Any report, by any groups.", open_report),
        Dataset(
            "month-end",
            "Month-end spend",
            "Spend by month, client, workspace, project, model and member; last month unless "
            "another period is asked for.",
            preset(
                "month-end",
                last_month,
                granularity="month",
                group_by="client,workspace,project,model,member",
                metrics=SPENT,
                order="month,client,workspace,project,model,member",
            ),
        ),
        Dataset(
            "projects",
            "Projects",
            "What each project tag used and cost, and whom it is passed on to.",
            preset(
                "projects",
                last_30_days,
                granularity="none",
                group_by="workspace,project,client",
                metrics=SPENT,
                order="workspace,project,client",
            ),
        ),
        Dataset(
            "latency",
            "Provider latency",
            "Requests, errors and answer times by day, provider and model.",
            preset(
                "latency",
                last_30_days,
                granularity="day",
                group_by="provider,model",
                metrics=f"requests,errors,error_rate,{TIMES},tokens_per_second",
                order="day,provider,model",
            ),
        ),
        Dataset(
            "focus",
            "FOCUS 1.2",
            "Costs as the FinOps Open Cost and Usage Specification has them: a row a day, "
            "workspace, project, API key, model and meter.",
            open_focus,
        ),
        Dataset(
            "budgets",
            "Budgets",
            "Every budget's periods: limit, spent, estimated, held and remaining.",
            standing_tables.open_budgets,
            is_of_usage=False,
        ),
        Dataset(
            "alerts",
            "Budget alerts",
            "Every threshold that was crossed, and when.",
            standing_tables.open_alerts,
            is_of_usage=False,
        ),
        Dataset(
            "prices",
            "Price book",
            "List prices and the accounts' own rates, with the time that they hold for.",
            standing_tables.open_prices,
            is_of_usage=False,
        ),
    )
}
