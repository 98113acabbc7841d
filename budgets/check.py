"""Whether budgets balance: every counter = what usage's books say; held = the open holds.

Call it inside the snapshot in which usage is checked (`usage/rollups/check.py`): together they say
that the log = every roll-up = every counter.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from accounts.models import Account
from budgets.counting import CONSUMED
from usage.rollups.check import Difference, fetch

SINCE_EVER = date(1900, 1, 1)
NO_START = date(2000, 1, 1)  # of a period that never ends
PLACE = "budgets_budgetperiod"
MEASURES = ("spent", "estimated", "held")

COMPARE = f"""
WITH {CONSUMED}, holding AS (
    SELECT period_id, sum(h.amount) AS held
    FROM budgets_hold h CROSS JOIN unnest(h.period_ids) AS p(period_id)
    WHERE h.state = 'open' AND h.account_id = %(account)s GROUP BY period_id
), sides AS (
    SELECT coalesce(p.budget_id, c.budget_id) AS budget_id,
           coalesce(p.start_on, c.start_on) AS start_on,
           coalesce(c.spent, 0) AS spent, coalesce(c.estimated, 0) AS estimated,
           coalesce(h.held, 0) AS held, coalesce(p.spent, 0) AS found_spent,
           coalesce(p.estimated, 0) AS found_estimated, coalesce(p.held, 0) AS found_held
    FROM consumed c FULL JOIN (
        SELECT p.* FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
        WHERE b.account_id = %(account)s
    ) p ON p.budget_id = c.budget_id AND p.start_on = c.start_on
    LEFT JOIN holding h ON h.period_id = p.id
)
SELECT b.id, b.name, s.start_on, s.spent, s.estimated, s.held,
       s.found_spent, s.found_estimated, s.found_held
FROM sides s JOIN budgets_budget b ON b.id = s.budget_id
WHERE s.start_on >= b.counted_from
    AND (s.spent, s.estimated, s.held) <> (s.found_spent, s.found_estimated, s.found_held)
ORDER BY b.name, b.id, s.start_on
"""

COUNT = """
SELECT count(*) FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
WHERE b.account_id = %(account)s
"""


def check_counters(account: Account) -> tuple[int, list[Difference]]:
    """How many counters the account has, and what differs in them."""
    parameters: dict[str, Any] = {"account": account.pk, "first": SINCE_EVER}
    ((number,),) = fetch(COUNT, parameters)
    return number, list(differing_counters(parameters))


def differing_counters(parameters: dict[str, Any]) -> Iterator[Difference]:
    for budget_id, name, start_on, *sums in fetch(COMPARE, parameters):
        day = None if start_on == NO_START else start_on
        for measure, expected, found in zip(MEASURES, sums[:3], sums[3:], strict=True):
            if expected != found:
                figures = (measure, Decimal(expected), Decimal(found), 1)
                yield Difference(PLACE, None, day, *figures, subject=name, subject_id=budget_id)
