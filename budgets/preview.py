"""What a hard limit would have refused in the periods before, had it been there.

By the real cost, in the order in which requests were made: from the first request that would not
have fit until its period ended, everything is taken to be refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.db import connection

from budgets.ledger import period_of, question_of
from budgets.models import Budget
from budgets.outlook import consumed_of
from usage import formatting
from usage.reports.run import ask

DAY = timedelta(1)
NOTHING = Decimal(0)
LOOKED_BACK = {"day": 30, "week": 4, "month": 1, "quarter": 1}


@dataclass(frozen=True, slots=True)
class Refused:
    """One period, local days `[start_on, end_on)`, and what of it the limit would have refused.

    Without `first_at` the single requests of the day are gone: their number is a share of the
    day's, the money is exact.
    """

    start_on: date
    end_on: date
    requests: int
    consumed: Decimal
    refused_requests: int = 0
    refused: Decimal = NOTHING
    first_on: date | None = None
    first_at: datetime | None = None

    @property
    def days(self) -> str:
        return formatting.days(self.start_on, self.end_on)


@dataclass(frozen=True, slots=True)
class Preview:
    periods: list[Refused]
    is_present: bool  # nothing was recorded before the present period

    @property
    def hit(self) -> list[Refused]:
        return [one for one in self.periods if one.refused_requests]

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self.periods)

    @property
    def consumed(self) -> Decimal:
        return sum((one.consumed for one in self.periods), NOTHING)

    @property
    def refused_requests(self) -> int:
        return sum(one.refused_requests for one in self.periods)

    @property
    def refused(self) -> Decimal:
        return sum((one.refused for one in self.periods), NOTHING)

    @property
    def is_rough(self) -> bool:
        return any(one.first_at is None for one in self.hit)


def preview(budget: Budget, *, now: datetime) -> Preview:
    """Of a budget with a limit, saved or not."""
    today = now.astimezone(budget.account.zone).date()
    earlier = [refused(budget, *days, now=now) for days in periods_before(budget.period, today)]
    if any(one.requests for one in earlier):
        return Preview(earlier, is_present=False)
    start_on, _ = period_of(budget.period, today)
    return Preview([refused(budget, start_on, today + DAY, now=now)], is_present=True)


def periods_before(period: str, today: date) -> Iterable[tuple[date, date]]:
    """The whole periods to look at, the oldest first; what never ends has none."""
    found, (start_on, _) = [], period_of(period, today)
    for _ in range(LOOKED_BACK.get(period, 0)):
        end_on = start_on
        start_on, _ = period_of(period, end_on - DAY)
        found.append((start_on, end_on))
    return reversed(found)


def refused(budget: Budget, start_on: date, end_on: date, *, now: datetime) -> Refused:
    report = ask(question_of(budget, start_on, end_on, granularity="day"), now=now)
    days = sorted((row["day"], row["requests"], consumed_of(row)) for row in report.rows)
    requests = sum(count for _, count, _ in days)
    consumed = sum((cost for _, _, cost in days), NOTHING)
    whole = Refused(start_on, end_on, requests, consumed)
    limit = budget.limit or NOTHING
    before = NOTHING
    for place, (day, count, cost) in enumerate(days):
        if before + cost > limit or limit == 0:
            later = sum(number for _, number, _ in days[place + 1 :])
            found = refused_on(budget, day, room=limit - before)
            if not found.requests:  # the rows are gone: a share of the day's
                found = DayRefused(share(count, before + cost - limit, cost), None, NOTHING)
            passed = before + found.passed if found.first_at else min(limit, consumed)
            return Refused(
                start_on, end_on, requests, consumed, found.requests + later, consumed - passed,
                day, found.first_at,
            )  # fmt: skip
        before += cost
    return whole


def share(count: int, part: Decimal, whole: Decimal) -> int:
    return max(1, round(count * part / whole)) if whole else count


@dataclass(frozen=True, slots=True)
class DayRefused:
    requests: int
    first_at: datetime | None
    passed: Decimal


# A day of the log in order, and from where on its running sum is more than what was left.
REFUSED_ON = """
WITH run AS (
    SELECT l.occurred_at, coalesce(l.cost, l.ceiling_cost, 0) AS cost,
        sum(coalesce(l.cost, l.ceiling_cost, 0)) OVER (
            ORDER BY l.occurred_at, l.workspace_id, l.request_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS by_then
    FROM usage_requestlog l JOIN accounts_workspace w ON w.id = l.workspace_id
    WHERE w.account_id = %(account)s
        AND l.occurred_at >= %(start)s AND l.occurred_at < %(end)s
        AND budgets_is_above(%(scope)s, %(scope_id)s,
            l.workspace_id, l.project_id, l.member_id, l.api_key_id)
)
SELECT count(*) FILTER (WHERE by_then > %(room)s OR %(shut)s),
    min(occurred_at) FILTER (WHERE by_then > %(room)s OR %(shut)s),
    coalesce(max(by_then) FILTER (WHERE by_then <= %(room)s AND NOT %(shut)s), 0)
FROM run
"""


def refused_on(budget: Budget, day: date, *, room: Decimal) -> DayRefused:
    zone = budget.account.zone
    subject = budget.account if budget.scope == Budget.Scope.ACCOUNT else budget.subject
    parameters = {
        "account": budget.account_id,
        "start": datetime.combine(day, time.min, tzinfo=zone),
        "end": datetime.combine(day + DAY, time.min, tzinfo=zone),
        "scope": budget.scope,
        "scope_id": subject.pk,
        "room": room,
        "shut": not budget.limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(REFUSED_ON, parameters)
        return DayRefused(*cursor.fetchone())
