"""The counters above requests that count for another project or member now."""

from collections.abc import Sequence

from django.db import connection

from budgets import ledger
from usage.pricing.day_bill import Moved

# Whom money is given to may have spent nothing in that period until now, and then has no counter.
# Before any counter is locked, so that nobody waits in a circle.
OPEN_PERIODS = """
INSERT INTO budgets_budgetperiod (budget_id, start_on, end_on, spent, estimated, held)
SELECT DISTINCT b.id, s.start_on, budgets_period_end(b.period, s.start_on), 0, 0, 0
FROM jsonb_to_recordset(%s::jsonb) AS m(
    workspace_id integer, project_id integer, member_id integer, api_key_id integer, day date)
JOIN budgets_budget b ON b.account_id = %s AND budgets_is_above(
    b.scope, b.scope_id, m.workspace_id, m.project_id, m.member_id, m.api_key_id)
CROSS JOIN LATERAL (SELECT budgets_period_start(b.period, m.day) AS start_on) s
WHERE s.start_on >= b.counted_from
ON CONFLICT DO NOTHING
"""


def move(moves: Sequence[Moved], *, account_id: int) -> None:
    """Take the money from the counters of the old owners and add it to those of the new ones, in
    the caller's transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(%s, %s)", [ledger.COUNTER_LOCK, account_id]
        )
        cursor.execute(OPEN_PERIODS, [ledger.moves_as_json(moves), account_id])
    ledger.move_repriced(moves, account_id=account_id)
