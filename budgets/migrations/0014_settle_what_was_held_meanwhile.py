"""Recording settles a hold that was taken while it waited for the counters."""

from importlib import import_module

from django.db import migrations

before = import_module("budgets.migrations.0013_move_by_scope")
replaced = import_module("budgets.migrations.0004_find_holds_by_index").replaced

# A hold that somebody else is ending is left to them.
SETTLE_LATE = """
CREATE FUNCTION budgets_settle_late(workspaces integer[], requests text[], holds uuid[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    late uuid[] := ARRAY(
        SELECT f.id FROM unnest(workspaces, requests) AS r(workspace_id, request_id)
        CROSS JOIN LATERAL (
            SELECT h.id FROM budgets_hold h WHERE h.workspace_id = r.workspace_id
            AND h.request_id = r.request_id COLLATE "C" AND h.state = 'open' OFFSET 0) f
        UNION
        SELECT f.id FROM unnest(workspaces, holds) AS r(workspace_id, hold_id)
        CROSS JOIN LATERAL (
            SELECT h.id FROM budgets_hold h WHERE h.id = r.hold_id
            AND h.workspace_id = r.workspace_id OFFSET 0) f
        WHERE r.hold_id IS NOT NULL);
BEGIN
    IF late = '{}' THEN
        RETURN;
    END IF;
    late := ARRAY(
        SELECT o.id FROM budgets_hold o
        WHERE o.ended_at IS NULL AND o.id = ANY(late) FOR UPDATE SKIP LOCKED);
    WITH settled AS (
        UPDATE budgets_hold h SET state = 'settled', ended_at = clock_timestamp()
        WHERE h.id = ANY(late) RETURNING h.amount, h.period_ids
    )
    UPDATE budgets_budgetperiod p SET held = p.held - f.amount
    FROM (
        SELECT of.period_id, sum(settled.amount) AS amount
        FROM settled CROSS JOIN unnest(settled.period_ids) AS of(period_id)
        GROUP BY of.period_id
    ) f WHERE p.id = f.period_id;
END $$;

ALTER FUNCTION budgets_settle_late SET enable_seqscan = off;
ALTER FUNCTION budgets_settle_late SET enable_bitmapscan = off;
ALTER FUNCTION budgets_settle_late SET plan_cache_mode = force_generic_plan;
"""

ANY_BEFORE = """
    IF EXISTS (SELECT FROM budgets_hold h WHERE h.account_id = account AND h.state = 'open') THEN
"""
# Ordered, one is found by its index, however many the other accounts have.
ANY_AFTER = """
    IF (SELECT true FROM budgets_hold h WHERE h.account_id = account AND h.state = 'open'
        ORDER BY h.expires_at LIMIT 1) THEN
"""
END_BEFORE = """
        PERFORM budgets_make_alerts(reached, clock_timestamp());
    END IF;
END $$;
"""
END_AFTER = """
        PERFORM budgets_make_alerts(reached, clock_timestamp());
    END IF;
    -- A decision that had the counters before us did not see our rows, nor we its hold. Those to
    -- come wait for us to commit. So we look once more, where calls are being asked for at all.
    IF (SELECT h.created_at > clock_timestamp() - interval '1 minute'
        FROM budgets_hold h WHERE h.account_id = account AND h.state = 'open'
        ORDER BY h.expires_at DESC LIMIT 1) THEN
        PERFORM budgets_settle_late(workspaces, requests, holds);
    END IF;
END $$;
"""
MOVE = replaced(before.MOVE, (ANY_BEFORE, ANY_AFTER), (END_BEFORE, END_AFTER))


class Migration(migrations.Migration):
    dependencies = [("budgets", "0013_move_by_scope")]

    operations = [
        # Replacing a function undoes its settings.
        migrations.RunSQL(
            [SETTLE_LATE, MOVE, before.PLAN_NEW],
            [replaced(before.MOVE), before.PLAN_NEW, "DROP FUNCTION budgets_settle_late"],
        ),
    ]
