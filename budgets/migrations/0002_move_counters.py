"""Periods of the local calendar, and the function that recording moves the counters with."""

from django.db import migrations

SQL = """
-- The local day on which the period that holds `day` begins.
CREATE FUNCTION budgets_period_start(period text, day date) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE WHEN period = 'total' THEN DATE '2000-01-01'
         ELSE date_trunc(period, day::timestamp)::date END;

-- The local day on which the period that begins on `start_on` has ended; null: never.
CREATE FUNCTION budgets_period_end(period text, start_on date) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE period
        WHEN 'day' THEN start_on + 1
        WHEN 'week' THEN start_on + 7
        WHEN 'month' THEN (start_on + interval '1 month')::date
        WHEN 'quarter' THEN (start_on + interval '3 months')::date
    END;

-- Whether a budget is above a request with those ids.
CREATE FUNCTION budgets_is_above(
    scope text, scope_id integer,
    workspace_id integer, project_id integer, member_id integer, api_key_id integer
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE scope
        WHEN 'account' THEN true
        WHEN 'workspace' THEN scope_id = workspace_id
        WHEN 'project' THEN scope_id = project_id
        WHEN 'member' THEN scope_id = member_id
        WHEN 'api_key' THEN scope_id = api_key_id
    END;

-- The one order in which everybody locks counters: the most shared last, so that it is held the
-- shortest, and the same everywhere, so that nobody waits in a circle.
CREATE FUNCTION budgets_lock_rank(scope text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE scope WHEN 'account' THEN 2 WHEN 'workspace' THEN 1 ELSE 0 END;

-- Recording calls this with its new rows' sums. `sums` holds objects with workspace_id,
-- project_id, member_id, api_key_id, slot (a moment in the same quarter of an hour: zones change
-- on those), cost and ceiling; `requests` objects with workspace_id, request_id and hold_id, whose
-- holds are settled. Alerts are made for every threshold that is reached now.
CREATE FUNCTION budgets_move(account integer, sums jsonb, requests jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    zone text;
BEGIN
    -- Whoever opens or recounts a budget takes this lock alone: no recording is then between its
    -- rows and its counters. Statements below see what was committed before.
    PERFORM pg_advisory_xact_lock_shared(7100002, account);
    SELECT time_zone INTO STRICT zone FROM accounts_account WHERE id = account;
    WITH settled AS (
        UPDATE budgets_hold h SET state = 'settled', ended_at = clock_timestamp()
        FROM (
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
        ) o WHERE h.id = o.id
        RETURNING h.amount, h.period_ids
    ), freed AS (
        SELECT of.period_id, sum(settled.amount) AS amount
        FROM settled CROSS JOIN unnest(settled.period_ids) AS of(period_id)
        GROUP BY of.period_id
    ), moves AS (
        SELECT b.id AS budget_id,
               budgets_period_start(b.period, (s.slot AT TIME ZONE zone)::date) AS start_on,
               s.cost AS spent, s.ceiling AS estimated
        FROM jsonb_to_recordset(sums) AS s(
            workspace_id integer, project_id integer, member_id integer, api_key_id integer,
            slot timestamptz, cost numeric, ceiling numeric)
        JOIN budgets_budget b ON b.account_id = account AND budgets_is_above(
            b.scope, b.scope_id, s.workspace_id, s.project_id, s.member_id, s.api_key_id)
        UNION ALL
        SELECT p.budget_id, p.start_on, 0, 0
        FROM freed JOIN budgets_budgetperiod p ON p.id = freed.period_id
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
                (SELECT freed.amount FROM freed WHERE freed.period_id = p.id), 0)
        RETURNING p.id, p.budget_id, p.spent + p.estimated AS consumed
    )
    INSERT INTO budgets_alert (period_id, threshold, "limit", consumed)
    SELECT m.id, t.threshold, b."limit", m.consumed
    FROM moved m JOIN budgets_budget b ON b.id = m.budget_id
    CROSS JOIN unnest(b.thresholds) AS t(threshold)
    WHERE b.archived_at IS NULL AND m.consumed > 0 AND m.consumed * 100 >= b."limit" * t.threshold
    ORDER BY m.id, t.threshold
    ON CONFLICT DO NOTHING;
END $$;
"""

UNDO = """
DROP FUNCTION budgets_move;
DROP FUNCTION budgets_lock_rank;
DROP FUNCTION budgets_is_above;
DROP FUNCTION budgets_period_end;
DROP FUNCTION budgets_period_start;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0001_initial")]

    operations = [migrations.RunSQL(SQL, UNDO)]
