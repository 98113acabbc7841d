"""The budgets' counters: moved with every recording, opened and recounted from the report."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import Sum

from accounts.access import Reach
from accounts.models import Account, Workspace
from budgets.counting import CONSUMED
from budgets.models import Budget, BudgetPeriod, Hold
from usage.ingest import arrays
from usage.ingest.resolve import Row
from usage.pricing.day_bill import Moved
from usage.pricing.ratecard import dollars
from usage.reports.question import Filter, Question
from usage.reports.run import ask
from usage.rollups.recut import Recut

COUNTER_LOCK = 7_100_002  # as in budgets_move()
FAILED_FROM = 400  # HTTP status
SLOT_SECONDS = 900  # zones change on quarters of an hour
SCOPES = ("account", "workspace", "project", "member", "api_key")
END_OF_TIME = date(9999, 12, 31)

encode = msgspec.json.Encoder().encode


def move(rows: Sequence[Row], *, account_id: int) -> None:
    """Add new rows to every counter above them and settle their holds, in the caller's transaction.

    Alerts for the thresholds that this reaches are made in the same breath.
    """
    with connection.cursor() as cursor:
        cursor.execute(MOVE, [account_id, *used(rows, account_id), *ends_of_holds(rows)])


MOVE = """
SELECT budgets_move(%s, %s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::int[], %s::text[], %s::uuid[])"""


def used(rows: Sequence[Row], account_id: int) -> list[str]:
    """What the rows used, as five arrays: scopes, their ids, slots, costs, ceilings."""
    parts: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        slot = int(row.occurred_at.timestamp()) // SLOT_SECONDS * SLOT_SECONDS
        part = parts[row.workspace_id, row.project_id, row.member_id, row.api_key_id, slot]
        part[0] += row.cost or 0
        part[1] += row.ceiling_cost or 0
    sums: dict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for (*ids, slot), (cost, ceiling) in parts.items():
        for scope, scope_id in zip(SCOPES, (account_id, *ids), strict=True):
            if scope_id is not None:
                entry = sums[scope, scope_id, slot]
                entry[0] += cost
                entry[1] += ceiling
    columns = zip(*((*key, *entry) for key, entry in sums.items()), strict=True)
    return [arrays.texts(next(columns)), *map(arrays.numbers, columns)]


def ends_of_holds(rows: Sequence[Row]) -> list[str]:
    """The rows that end a hold, as three arrays: workspaces, request ids, ids of holds.

    A failed attempt does not where its id is not that of the hold: its fallback runs under it.
    """
    ends = [
        (row.workspace_id, row.held_as or row.request_id, hold_of(row))
        for row in rows
        if row.held_as is None or row.status < FAILED_FROM
    ]
    workspaces, requests, holds = zip(*ends, strict=True) if ends else ((), (), ())
    return [arrays.numbers(workspaces), arrays.texts(requests), arrays.texts(holds)]


def hold_of(row: Row) -> str | None:
    return str(row.hold_id) if row.hold_id and row.status < FAILED_FROM else None


# Counters are locked in the order in which recording does; what is not counted has no counter.
LOCK_MOVED = """
WITH moves AS (
    SELECT b.id AS budget_id, budgets_period_start(b.period, s.day) AS start_on,
           sum(s.cost) AS spent, sum(s.ceiling) AS estimated
    FROM jsonb_to_recordset(%s::jsonb) AS s(
        workspace_id integer, project_id integer, member_id integer, api_key_id integer,
        day date, cost numeric, ceiling numeric)
    JOIN budgets_budget b ON b.account_id = %s AND budgets_is_above(
        b.scope, b.scope_id, s.workspace_id, s.project_id, s.member_id, s.api_key_id)
    GROUP BY b.id, start_on
)
SELECT p.id, p.spent + m.spent, p.estimated + m.estimated
FROM moves m JOIN budgets_budget b ON b.id = m.budget_id
JOIN budgets_budgetperiod p ON p.budget_id = m.budget_id AND p.start_on = m.start_on
ORDER BY budgets_lock_rank(b.scope), p.budget_id, p.start_on
FOR UPDATE OF p
"""

SET_MOVED = """
UPDATE budgets_budgetperiod p SET spent = m.spent, estimated = m.estimated
FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[]) AS m(id, spent, estimated)
WHERE p.id = m.id
"""


def move_repriced(moves: Sequence[Moved], *, account_id: int) -> None:
    """Move the counters above re-priced rows by what these cost more or less, in the caller's
    transaction.

    Thresholds that this reaches are alerted, once; what was sent is not unsent when it falls.
    """
    with connection.cursor() as cursor:
        # As recording does: nobody opens or recounts a budget from here to the commit.
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [COUNTER_LOCK, account_id])
        cursor.execute(LOCK_MOVED, [moves_as_json(moves), account_id])
        counters = [right_counter(*row) for row in cursor.fetchall()]
        if counters:
            columns = [list(column) for column in zip(*counters, strict=True)]
            cursor.execute(SET_MOVED, columns)
            make_alerts(columns[0], now=datetime.now(UTC))


def make_alerts(period_ids: Sequence[int], *, now: datetime) -> None:
    """Alert every threshold that those counters have reached and that was not told yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT budgets_make_alerts(%s::bigint[], %s)", [list(period_ids), now])


def right_counter(
    period_id: int, spent: Decimal, estimated: Decimal
) -> tuple[int, Decimal, Decimal]:
    """What a counter, whose lock is held, is to be set to.

    Less than nothing shows that it never counted the rows that moved, such as those that were
    recorded for tomorrow before the budget was opened: then the report tells what is right.
    """
    if spent < 0 or estimated < 0:
        period = BudgetPeriod.objects.select_related("budget__account").get(pk=period_id)
        now = datetime.now(UTC)
        return (period_id, *counted(period.budget, period.start_on, period.end_on, now=now))
    return period_id, spent, estimated


def moves_as_json(moves: Sequence[Moved]) -> str:
    return encode(
        [
            move._asdict() | {"cost": dollars(move.cost), "ceiling": dollars(move.ceiling)}
            for move in moves
        ]
    ).decode()


@transaction.atomic
def open_budget(budget: Budget, *, now: datetime) -> Budget:
    """Save a new budget, count what its periods have spent already and adopt the holds under it.

    Nothing is recorded or decided for the account between the count and the commit.
    """
    lock_counters(budget.account_id)
    today = now.astimezone(budget.account.zone).date()
    budget.counted_from, end_on = period_of(budget.period, today)
    budget.save()
    current = [(budget.counted_from, end_on), *later_periods(budget, end_on, now=now)]
    opened = []
    for start_on, end_on in current:
        period = BudgetPeriod(budget=budget, start_on=start_on, end_on=end_on)
        period.spent, period.estimated = counted(budget, start_on, end_on, now=now)
        period.save()
        opened.append(period.pk)
    adopt_holds(budget, now=now)
    make_alerts(opened[:1], now=now)
    return budget


def later_periods(
    budget: Budget, end_on: date | None, *, now: datetime
) -> list[tuple[date, date | None]]:
    """The periods from `end_on` on for which requests were recorded already: clocks run ahead."""
    if end_on is None:
        return []
    later = ask(question_of(budget, end_on, None, granularity="day"), now=now)
    return sorted({period_of(budget.period, row["day"]) for row in later.rows})


# Whom a hold is for says which budgets it is under.
ADOPT = """
WITH current AS (
    SELECT p.id, b.account_id, b.scope, b.scope_id
    FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
    WHERE p.id = %s
), under AS (
    SELECT h.id, c.id AS period_id FROM budgets_hold h JOIN current c USING (account_id)
    WHERE h.state = 'open' AND h.expires_at > %s AND NOT c.id = ANY(h.period_ids)
        AND budgets_is_above(
            c.scope, c.scope_id, h.workspace_id, h.project_id, h.member_id, h.api_key_id)
    ORDER BY h.id FOR UPDATE OF h
), adopted AS (
    UPDATE budgets_hold h SET period_ids = h.period_ids || u.period_id
    FROM under u WHERE h.id = u.id RETURNING h.amount
)
UPDATE budgets_budgetperiod p SET held = p.held + a.amount
FROM (SELECT coalesce(sum(amount), 0) AS amount FROM adopted) a WHERE p.id = %s
"""


@transaction.atomic
def adopt_holds(budget: Budget, *, now: datetime) -> None:
    """Set aside in the budget's present period what open holds under it were let go with before it
    was there, or while it was archived: their calls are under way and will be spent."""
    lock_counters(budget.account_id)
    today = now.astimezone(budget.account.zone).date()
    start_on, end_on = period_of(budget.period, today)
    period, _ = BudgetPeriod.objects.get_or_create(
        budget=budget, start_on=start_on, defaults={"end_on": end_on}
    )
    with connection.cursor() as cursor:
        cursor.execute(ADOPT, [period.pk, now, period.pk])


@transaction.atomic
def recount(budget: Budget, *, now: datetime) -> None:
    """Set every counter of the budget to what the report and its open holds say (for repair)."""
    lock_counters(budget.account_id)
    for period in budget.periods.select_for_update().order_by("start_on"):
        spent, estimated = counted(budget, period.start_on, period.end_on, now=now)
        # Who holds or releases something waits for the period's row.
        holds = Hold.objects.filter(account=budget.account_id, state=Hold.State.OPEN)
        held = holds.filter(period_ids__contains=[period.pk]).aggregate(sum=Sum("amount"))["sum"]
        BudgetPeriod.objects.filter(pk=period.pk).update(
            spent=spent, estimated=estimated, held=held or 0
        )


# A day earlier than it was counted from may be today in another zone.
COUNT_FROM_TODAY = """
UPDATE budgets_budget SET counted_from = budgets_period_start(period, %(today)s)
WHERE account_id = %(account)s AND counted_from > budgets_period_start(period, %(today)s)
"""

# As a decision does, which may be making the same: before any counter is locked, so that nobody
# waits in a circle.
OPEN_TODAY = """
INSERT INTO budgets_budgetperiod (budget_id, start_on, end_on, spent, estimated, held)
SELECT DISTINCT b.id, s.start_on, budgets_period_end(b.period, s.start_on), 0, 0, 0
FROM budgets_budget b CROSS JOIN unnest(%(todays)s::date[]) AS d(day)
CROSS JOIN LATERAL (SELECT budgets_period_start(b.period, d.day) AS start_on) s
WHERE b.account_id = %(account)s AND b.archived_at IS NULL AND s.start_on >= b.counted_from
ON CONFLICT DO NOTHING
"""

# In the order in which everybody locks them.
LOCK_COUNTERS = """
SELECT p.id FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
WHERE b.account_id = %(account)s
ORDER BY budgets_lock_rank(b.scope), p.budget_id, p.start_on FOR UPDATE OF p
"""

# What never ends has the same sum whatever its days; of the others those that hold a day since.
RECOUNT = f"""
WITH {CONSUMED}, wanted AS (
    SELECT coalesce(p.budget_id, c.budget_id) AS budget_id,
           coalesce(p.start_on, c.start_on) AS start_on,
           coalesce(c.spent, 0) AS spent, coalesce(c.estimated, 0) AS estimated
    FROM consumed c FULL JOIN (
        SELECT p.budget_id, p.start_on FROM budgets_budgetperiod p
        JOIN budgets_budget b ON b.id = p.budget_id
        WHERE b.account_id = %(account)s AND p.start_on >= b.counted_from
            AND p.start_on >= budgets_period_start(b.period, %(first)s)
    ) p ON p.budget_id = c.budget_id AND p.start_on = c.start_on
), set_right AS (
    INSERT INTO budgets_budgetperiod AS p (budget_id, start_on, end_on, spent, estimated, held)
    SELECT w.budget_id, w.start_on, budgets_period_end(b.period, w.start_on),
           w.spent, w.estimated, 0
    FROM wanted w JOIN budgets_budget b ON b.id = w.budget_id WHERE b.period <> 'total'
    ORDER BY budgets_lock_rank(b.scope), w.budget_id, w.start_on
    ON CONFLICT (budget_id, start_on) DO UPDATE
        SET spent = EXCLUDED.spent, estimated = EXCLUDED.estimated
    RETURNING p.id, p.budget_id, p.start_on
)
SELECT s.id FROM set_right s JOIN budgets_budget b ON b.id = s.budget_id
WHERE s.start_on = budgets_period_start(b.period, %(today)s)
"""


def recount_recut(account: Account, recut: Recut, *, now: datetime) -> None:
    """Set the counters of all periods whose days may have changed to what the books of usage say,
    in the caller's transaction.

    Alerted is what the present periods reach; nobody wants to hear of days that are over.
    """
    today = now.astimezone(account.zone).date()
    parameters: dict[str, Any] = {
        "account": account.pk,
        "today": today,
        "todays": [now.astimezone(recut.old_zone).date(), today],
        "first": recut.first_day or today,
    }
    lock_counters(account.pk)
    with connection.cursor() as cursor:
        for statement in (COUNT_FROM_TODAY, OPEN_TODAY, LOCK_COUNTERS, RECOUNT):
            cursor.execute(statement, parameters)
        make_alerts([period_id for (period_id,) in cursor.fetchall()], now=now)


def lock_counters(account_id: int) -> None:
    """Until the transaction ends nobody records for the account."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [COUNTER_LOCK, account_id])


def period_of(period: str, day: date) -> tuple[date, date | None]:
    """The period `[start, end)` of local days that holds `day`; no end: it never ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s, budgets_period_end(%s, s) FROM budgets_period_start(%s, %s) AS s",
            [period, period, day],
        )
        return cursor.fetchone()


def counted(
    budget: Budget, start_on: date, end_on: date | None, *, now: datetime
) -> tuple[Decimal, Decimal]:
    """What the report says of a budget's scope over those days: cost, and ceiling of unpriced."""
    report = ask(question_of(budget, start_on, end_on), now=now)
    # Its cost is null where nothing is priced: then nothing is known to be spent.
    return report.totals["cost"] or Decimal(0), report.totals["ceiling_cost"]


def question_of(budget: Budget, start_on: date, end_on: date | None, **more: Any) -> Question:
    """The report's question about a budget's scope and days, for counting and for drivers."""
    filters = {}
    if budget.scope != Budget.Scope.ACCOUNT:
        filters[budget.scope] = Filter(ids=(budget.subject.pk,))
    return Question(
        reach=reach_of_account(budget.account),
        start=start_on,
        end=end_on or END_OF_TIME,
        metrics=("cost", "ceiling_cost", "requests"),
        filters=filters,
        **more,
    )


def reach_of_account(account: Account) -> Reach:
    workspaces = Workspace.objects.select_related("account").filter(account=account)
    return Reach((account,), tuple(workspaces))
