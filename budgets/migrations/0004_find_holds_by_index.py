"""Open holds are looked up one by one, each by its index.

As a plain join the look-up is planned by how many holds were open when statistics were last taken:
with none then and thousands now, every decision and every recording read all of them.
"""

from importlib import import_module

from django.db import migrations

BEFORE_IN_MOVE = """
            SELECT o.id FROM budgets_hold o
            -- Two look-ups by index: an OR of both would read every open hold for every row.
            JOIN (
                SELECT h.id FROM jsonb_to_recordset(requests) AS r(workspace_id integer, request_id text)
                JOIN budgets_hold h ON h.workspace_id = r.workspace_id
                    AND h.request_id = r.request_id COLLATE "C" AND h.state = 'open'
                UNION
                SELECT h.id FROM jsonb_to_recordset(requests) AS r(workspace_id integer, hold_id uuid)
                JOIN budgets_hold h ON h.id = r.hold_id AND h.workspace_id = r.workspace_id
            ) logged USING (id)
            WHERE o.state = 'open' ORDER BY o.id FOR UPDATE OF o
"""
# OFFSET 0 keeps the planner from making a join of it again; `ended_at` is null while a hold is open
# and, unlike its state, leads the planner to no index over all open holds.
AFTER_IN_MOVE = """
            SELECT o.id FROM budgets_hold o
            WHERE o.ended_at IS NULL AND o.id = ANY(ARRAY(
                SELECT f.id FROM jsonb_to_recordset(requests) AS r(workspace_id integer, request_id text)
                CROSS JOIN LATERAL (
                    SELECT h.id FROM budgets_hold h WHERE h.workspace_id = r.workspace_id
                    AND h.request_id = r.request_id COLLATE "C" AND h.state = 'open' OFFSET 0) f
                UNION
                SELECT f.id FROM jsonb_to_recordset(requests) AS r(workspace_id integer, hold_id uuid)
                CROSS JOIN LATERAL (
                    SELECT h.id FROM budgets_hold h WHERE h.id = r.hold_id
                    AND h.workspace_id = r.workspace_id OFFSET 0) f
                WHERE r.hold_id IS NOT NULL
            )) ORDER BY o.id FOR UPDATE OF o
"""

# In order of their ids, no index over what has expired would serve; nobody is waited for here, so
# that the order does not matter.
OVERDUE_BEFORE = """
        WHERE h.account_id = account AND h.state = 'open' AND h.expires_at <= at
        ORDER BY h.id LIMIT 100 FOR UPDATE SKIP LOCKED
"""
OVERDUE_AFTER = """
        WHERE h.account_id = account AND h.state = 'open' AND h.expires_at <= at
        ORDER BY h.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
"""

AGAIN_BEFORE = """
        SELECT h.id FROM budgets_hold h
        JOIN jsonb_to_recordset(asks) AS a(workspace_id integer, request_id text)
            ON h.workspace_id = a.workspace_id AND h.request_id = a.request_id COLLATE "C"
        WHERE h.state = 'open' ORDER BY h.id FOR UPDATE OF h
"""
AGAIN_AFTER = """
        SELECT h.id FROM budgets_hold h
        WHERE h.ended_at IS NULL AND h.id = ANY(ARRAY(
            SELECT f.id FROM jsonb_to_recordset(asks) AS a(workspace_id integer, request_id text)
            CROSS JOIN LATERAL (
                SELECT h.id FROM budgets_hold h WHERE h.workspace_id = a.workspace_id
                AND h.request_id = a.request_id COLLATE "C" AND h.state = 'open' OFFSET 0) f
        )) ORDER BY h.id FOR UPDATE OF h
"""

# First which counters, then their locks: one query for both reads every counter there is.
LOCKED_BEFORE = """
    SELECT array_agg(l.id) INTO locked FROM (
    SELECT p.id FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
    WHERE p.id IN (
        SELECT unnest(h.period_ids) FROM budgets_hold h
        WHERE h.id = ANY(overdue) OR h.id = ANY(asked_again)
    ) OR (
        b.account_id = account AND b.archived_at IS NULL
        AND p.start_on = budgets_period_start(b.period, today)
        AND EXISTS (
            SELECT FROM jsonb_to_recordset(asks) AS a(
                workspace_id integer, project_id integer, member_id integer, api_key_id integer)
            WHERE budgets_is_above(
                b.scope, b.scope_id, a.workspace_id, a.project_id, a.member_id, a.api_key_id))
    )
    ORDER BY budgets_lock_rank(b.scope), p.budget_id, p.start_on
    FOR UPDATE OF p
    ) l;
"""
LOCKED_AFTER = """
    locked := ARRAY(
        SELECT unnest(h.period_ids) FROM budgets_hold h WHERE h.id = ANY(overdue || asked_again)
        UNION
        SELECT p.id FROM budgets_budget b JOIN budgets_budgetperiod p
            ON p.budget_id = b.id AND p.start_on = budgets_period_start(b.period, today)
        WHERE b.account_id = account AND b.archived_at IS NULL AND EXISTS (
            SELECT FROM jsonb_to_recordset(asks) AS a(
                workspace_id integer, project_id integer, member_id integer, api_key_id integer)
            WHERE budgets_is_above(
                b.scope, b.scope_id, a.workspace_id, a.project_id, a.member_id, a.api_key_id)));
    PERFORM p.id FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
    WHERE p.id = ANY(locked)
    ORDER BY budgets_lock_rank(b.scope), p.budget_id, p.start_on
    FOR UPDATE OF p;
"""

# A connection keeps its plans, made once: they must do for no holds and for thousands, and planning
# anew for each call takes longer than all else in it.
PLANS = """
ALTER FUNCTION budgets_move SET enable_seqscan = off;
ALTER FUNCTION budgets_move SET enable_bitmapscan = off;
ALTER FUNCTION budgets_move SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION budgets_authorize SET enable_seqscan = off;
ALTER FUNCTION budgets_authorize SET enable_bitmapscan = off;
ALTER FUNCTION budgets_authorize SET plan_cache_mode = force_generic_plan;
"""


def replaced(sql: str, *passages: tuple[str, str]) -> str:
    """The functions of `sql`, with passages of them changed, over those that are there."""
    for before, after in passages:
        if before not in sql:
            raise ValueError("the passage to replace is not there")
        sql = sql.replace(before, after)
    return sql.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


MOVE = import_module("budgets.migrations.0002_move_counters").SQL
AUTHORIZE = import_module("budgets.migrations.0003_authorize").SQL


class Migration(migrations.Migration):
    dependencies = [("budgets", "0003_authorize")]

    operations = [
        migrations.RunSQL(
            [replaced(MOVE, (BEFORE_IN_MOVE, AFTER_IN_MOVE))],
            [replaced(MOVE)],
        ),
        migrations.RunSQL(
            [
                replaced(
                    AUTHORIZE,
                    (OVERDUE_BEFORE, OVERDUE_AFTER),
                    (AGAIN_BEFORE, AGAIN_AFTER),
                    (LOCKED_BEFORE, LOCKED_AFTER),
                )
            ],
            [replaced(AUTHORIZE)],
        ),
        # Undone by replacing the functions, which the steps before do on their way back.
        migrations.RunSQL(PLANS, migrations.RunSQL.noop),
    ]
