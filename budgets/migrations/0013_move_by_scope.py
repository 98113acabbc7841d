"""Recording says what each scope used, so that it reads the budgets of those and of no others.

It asked of every budget of the account whether it is above each of the sums, and looked for a hold of
every request where none was held at all. Its figures came as JSON, which took longer to read than
all the rest.
"""

from importlib import import_module

from django.db import migrations

before = import_module("budgets.migrations.0009_decide_by_the_limit_in_force")

DROP_OLD = "DROP FUNCTION budgets_move(integer, jsonb, jsonb)"
DROP_NEW = """
DROP FUNCTION budgets_move(
    integer, text[], integer[], bigint[], bigint[], bigint[], integer[], text[], uuid[])"""

# `scopes` to `ceilings` side by side: what was used within a scope in a quarter of an hour (zones
# change on those), which begins `slots` seconds after 1970 in UTC, in 1e-10 dollars. `workspaces` to
# `holds` side by side: the requests whose holds are settled, by their id or by that of the hold.
MOVE = """
CREATE FUNCTION budgets_move(
    account integer,
    scopes text[], ids integer[], slots bigint[], costs bigint[], ceilings bigint[],
    workspaces integer[], requests text[], holds uuid[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    zone text;
    settled uuid[] := '{}';
    reached bigint[];
BEGIN
    -- Whoever opens or recounts a budget takes this lock alone: no recording is then between its
    -- rows and its counters. Statements below see what was committed before.
    PERFORM pg_advisory_xact_lock_shared(7100002, account);
    SELECT time_zone INTO STRICT zone FROM accounts_account WHERE id = account;
    IF EXISTS (SELECT FROM budgets_hold h WHERE h.account_id = account AND h.state = 'open') THEN
        settled := ARRAY(
            SELECT o.id FROM budgets_hold o
            WHERE o.ended_at IS NULL AND o.id = ANY(ARRAY(
                SELECT f.id FROM unnest(workspaces, requests) AS r(workspace_id, request_id)
                CROSS JOIN LATERAL (
                    SELECT h.id FROM budgets_hold h WHERE h.workspace_id = r.workspace_id
                    AND h.request_id = r.request_id COLLATE "C" AND h.state = 'open' OFFSET 0) f
                UNION
                SELECT f.id FROM unnest(workspaces, holds) AS r(workspace_id, hold_id)
                CROSS JOIN LATERAL (
                    SELECT h.id FROM budgets_hold h WHERE h.id = r.hold_id
                    AND h.workspace_id = r.workspace_id OFFSET 0) f
                WHERE r.hold_id IS NOT NULL
            )) ORDER BY o.id FOR UPDATE OF o);
    END IF;
    IF settled = '{}' AND NOT EXISTS (
        SELECT FROM budgets_budget b WHERE b.account_id = account
    ) THEN
        RETURN;
    END IF;
    WITH freed AS (
        UPDATE budgets_hold h SET state = 'settled', ended_at = clock_timestamp()
        WHERE h.id = ANY(settled) RETURNING h.amount, h.period_ids
    ), freed_of AS (
        SELECT p.period_id, sum(freed.amount) AS amount
        FROM freed CROSS JOIN unnest(freed.period_ids) AS p(period_id) GROUP BY p.period_id
    ), moves AS (
        SELECT b.id AS budget_id,
               budgets_period_start(
                   b.period, (to_timestamp(s.slot) AT TIME ZONE zone)::date) AS start_on,
               s.cost * 0.0000000001 AS spent, s.ceiling * 0.0000000001 AS estimated
        FROM unnest(scopes, ids, slots, costs, ceilings) AS s(scope, id, slot, cost, ceiling)
        JOIN budgets_budget b
            ON b.account_id = account AND b.scope = s.scope AND b.scope_id = s.id
        UNION ALL
        SELECT p.budget_id, p.start_on, 0, 0
        FROM freed_of JOIN budgets_budgetperiod p ON p.id = freed_of.period_id
    ), moved AS (
        INSERT INTO budgets_budgetperiod AS p
            (budget_id, start_on, end_on, spent, estimated, held)
        SELECT m.budget_id, m.start_on, budgets_period_end(b.period, m.start_on),
               sum(m.spent), sum(m.estimated), 0
        FROM moves m JOIN budgets_budget b ON b.id = m.budget_id
        WHERE m.start_on >= b.counted_from
        GROUP BY b.scope, b.period, m.budget_id, m.start_on
        ORDER BY budgets_lock_rank(b.scope), m.budget_id, m.start_on
        ON CONFLICT (budget_id, start_on) DO UPDATE SET
            spent = p.spent + EXCLUDED.spent,
            estimated = p.estimated + EXCLUDED.estimated,
            held = p.held - coalesce(
                (SELECT f.amount FROM freed_of f WHERE f.period_id = p.id), 0)
        RETURNING p.id, p.budget_id, p.spent + p.estimated AS consumed
    )
    SELECT array_agg(m.id) INTO reached FROM moved m JOIN budgets_budget b ON b.id = m.budget_id
    WHERE m.consumed > 0 AND b."limit" IS NOT NULL AND EXISTS (
        SELECT FROM unnest(b.thresholds) AS t(threshold)
        WHERE m.consumed * 100 >= b."limit" * t.threshold);
    IF reached IS NOT NULL THEN
        PERFORM budgets_make_alerts(reached, clock_timestamp());
    END IF;
END $$;
"""

# As of all functions of the hot paths: plans are made once, and must do for no rows and for thousands.
PLAN_NEW = """
ALTER FUNCTION budgets_move SET enable_seqscan = off;
ALTER FUNCTION budgets_move SET enable_bitmapscan = off;
ALTER FUNCTION budgets_move SET plan_cache_mode = force_generic_plan;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0012_decide_with_fewer_statements")]

    operations = [
        migrations.RunSQL(
            [DROP_OLD, MOVE, PLAN_NEW],
            [DROP_NEW, before.MOVE_AFTER.replace("CREATE OR REPLACE", "CREATE"), PLAN_NEW],
        )
    ]
