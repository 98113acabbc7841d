"""What a reader of the dashboard looks at: a part of their reach, over a period."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.urls import reverse

from accounts.access import Reach
from accounts.models import Account, Workspace
from config.naming import DIMENSIONS_IN_WORDS
from usage import periods
from usage.explorer.links import explorer_url
from usage.periods import LONGEST_BY_DAY, LONGEST_BY_WEEK, Period
from usage.reports.question import Question, today_in

DEFAULT_BY = "model"
# Hours of these are rolled up; hours of others are made of single requests.
HOURLY = ("model", "provider", "endpoint")
MOST_DAYS_OF_HOURS = 8
MOST_DAYS_OF_OTHER_HOURS = 2


@dataclass(frozen=True, slots=True)
class View:
    """What a reader looks at: a part of their reach, over a period.

    `by` is the dimension that the chart is stacked by, `grain` how time is cut in it.
    """

    reach: Reach
    account: Account | None
    workspace: Workspace | None
    period: Period
    by: str
    grain: str
    now: datetime

    @property
    def zone(self) -> ZoneInfo:
        return self.reach.accounts[0].zone if self.reach.accounts else ZoneInfo("UTC")

    @property
    def zone_label(self) -> str:
        zones = {account.time_zone for account in self.reach.accounts}
        return zones.pop() if len(zones) == 1 else "each account's own zone"

    def question(self, **more: Any) -> Question:
        return Question(reach=self.reach, start=self.period.start, end=self.period.end, **more)

    def before(self, question: Question) -> Question:
        """The same question over the period before; of today, yesterday up to this time of day."""
        zones = {account.time_zone for account in self.reach.accounts}
        start, end = self.period.before_start, self.period.before_end
        if self.period.key != "today" or len(zones) != 1:
            return replace(question, start=start, end=end)
        midnight = datetime.combine(start, datetime.min.time(), tzinfo=self.zone)
        until = self.now.astimezone(self.zone).replace(tzinfo=None) - timedelta(1)
        last = max(until.replace(tzinfo=self.zone), midnight + timedelta(seconds=1))
        return replace(question, start=midnight, end=last)

    @property
    def before_label(self) -> str:
        if self.period.key == "today":
            return f"yesterday by {self.now.astimezone(self.zone):%H:%M}"
        return self.period.before_label

    def kept(self) -> list[tuple[str, str]]:
        """The parameters of part and period, for forms that change something else."""
        parameters = {
            "account": self.account.slug if self.account else "",
            "workspace": self.workspace.slug if self.workspace else "",
            **self.period.as_query(),
        }
        return [(name, value) for name, value in parameters.items() if value]

    def as_query(self, **changes: str | None) -> str:
        """The query string of this view with some of its parameters changed."""
        parameters: dict[str, str | None] = {
            **dict(self.kept()),
            "by": self.by if self.by != DEFAULT_BY else None,
            "grain": self.grain if self.grain != self.period.granularity else None,
        }
        if "range" in changes:
            parameters.pop("from", None)
            parameters.pop("to", None)
        parameters |= changes
        return urlencode({name: value for name, value in parameters.items() if value})

    def explorer_url(self, *metrics: str, by: str | None = None) -> str:
        """The explorer with the same filters, by the dimension and over time."""
        by = by or self.by
        question = self.question(metrics=metrics, group_by=(by,), granularity=self.grain)
        # A preset stays one: tomorrow the link means tomorrow's seven days.
        return explorer_url(
            question,
            account=self.account.slug if self.account else None,
            workspace=self.workspace.slug if self.workspace else None,
            columns="time",
            **({} if self.period.key == "custom" else {"range": self.period.key}),
        )

    def log_url(self, **more: Any) -> str:
        """The request log with the same filters."""
        parameters = {
            "account": self.account.slug if self.account else None,
            "workspace": self.workspace.slug if self.workspace else None,
            "from": self.period.start.isoformat(),
            "to": self.period.end.isoformat(),
            **more,
        }
        given = {name: value for name, value in parameters.items() if value}
        return f"{reverse('admin:request_log')}?{urlencode(given)}"

    def failed_url(self, **more: Any) -> str:
        """The failed ones of them: every class of status that is an error."""
        return f"{self.log_url(status_class='4xx', **more)}&status_class=5xx"


def view_of(reach: Reach, parameters: Mapping[str, str], *, now: datetime) -> View:
    """The part and the period that query parameters name. Raises BadPeriod."""
    account = _named(reach.accounts, parameters.get("account"))
    if account is None and len(reach.accounts) == 1:
        account = reach.accounts[0]
    within = reach.within(account=account.slug) if account else reach
    workspace = _named(within.workspaces, parameters.get("workspace")) if account else None
    if workspace:
        within = Reach(within.accounts, (workspace,))
    period = periods.chosen(parameters, today=today_in(within, now=now))
    by = parameters.get("by") or DEFAULT_BY
    by = by if by in DIMENSIONS_IN_WORDS else DEFAULT_BY
    grains = grains_of(period, by)
    grain = parameters.get("grain") or period.granularity
    grain = grain if grain in grains else period.granularity
    return View(within, account, workspace, period, by, grain, now)


def grains_of(period: Period, by: str) -> list[str]:
    """The granularities that a chart of the period can show: neither two bars nor thousands."""
    days = period.days
    hours = days <= (MOST_DAYS_OF_HOURS if by in HOURLY else MOST_DAYS_OF_OTHER_HOURS)
    fits = {
        "hour": hours,
        "day": 2 <= days <= LONGEST_BY_DAY,
        "week": 14 <= days <= LONGEST_BY_WEEK,
        "month": days >= 60,
    }
    return [grain for grain, fit in fits.items() if fit or grain == period.granularity]


def _named(things: tuple[Any, ...], slug: str | None) -> Any:
    return next((thing for thing in things if thing.slug == slug), None) if slug else None
