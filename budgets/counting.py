"""What the books of usage say of every budget and period, all at once.

The same sums as the report of each budget's scope and days, in one statement over the roll-up by
project, key and member and the rows that are not folded yet.
"""

from usage.rollups.tables import LOCAL_DAY, ZONE_JOIN

# Parameters: account, and `first`, a local day: periods that end before it are left out.
CONSUMED = f"""
days AS (
    SELECT t.workspace_id, t.project_id, t.member_id, t.api_key_id, t.day,
           t.cost AS spent, t.ceiling_cost AS estimated
    FROM usage_day_key t JOIN accounts_workspace w ON w.id = t.workspace_id
    WHERE w.account_id = %(account)s AND t.day >= %(first)s::date - 92
    UNION ALL
    SELECT l.workspace_id, l.project_id, l.member_id, l.api_key_id, {LOCAL_DAY},
           coalesce(l.cost, 0), coalesce(l.ceiling_cost, 0)
    FROM usage_requestlog l
    JOIN usage_batch b ON b.workspace_id = l.workspace_id AND b.batch_id = l.batch_id {ZONE_JOIN}
    WHERE w.account_id = %(account)s
), parts AS (
    SELECT workspace_id, project_id, member_id, api_key_id, day,
           sum(spent) AS spent, sum(estimated) AS estimated
    FROM days GROUP BY workspace_id, project_id, member_id, api_key_id, day
), scoped AS (
    SELECT s.scope, s.id, p.day, sum(p.spent) AS spent, sum(p.estimated) AS estimated
    FROM parts p CROSS JOIN LATERAL (VALUES
        ('account', %(account)s), ('workspace', p.workspace_id), ('project', p.project_id),
        ('member', p.member_id), ('api_key', p.api_key_id)
    ) AS s(scope, id)
    WHERE s.id IS NOT NULL GROUP BY s.scope, s.id, p.day
), consumed AS (
    SELECT b.id AS budget_id, budgets_period_start(b.period, s.day) AS start_on,
           sum(s.spent) AS spent, sum(s.estimated) AS estimated
    FROM scoped s JOIN budgets_budget b
        ON b.account_id = %(account)s AND b.scope = s.scope AND b.scope_id = s.id
    WHERE s.day >= budgets_period_start(b.period, b.counted_from)
        AND s.day >= budgets_period_start(b.period, %(first)s)
    GROUP BY b.id, start_on
)"""
