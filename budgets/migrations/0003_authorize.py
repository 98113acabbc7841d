"""The function that decides authorizations: one call, one transaction, one order of locks."""

from django.db import migrations

SQL = """
-- Decides `asks` in order. Each is an object with workspace_id, project_id, member_id, api_key_id,
-- request_id and amount (US dollars at worst). Answers {"counters": [...], "decisions": [...]}:
-- a decision names the counters it looked at by their position (from 1), what each of them holds
-- after it, and `refused_by`, the position of the counter in its way.
CREATE FUNCTION budgets_authorize(account integer, asks jsonb, at timestamptz, ttl interval)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    zone text;
    today date;
    overdue uuid[];
    asked_again uuid[];
    locked bigint[];
    ids bigint[];
    limits numeric[];
    hards boolean[];
    used_now numeric[];
    held_now numeric[];
    held_before numeric[];
    counters jsonb;
    decisions jsonb[] := '{}';
    ask record;
    known record;
    again boolean;
    above bigint[];
    others numeric;
    refused_by integer;
    place integer;
    hold uuid;
BEGIN
    -- Two arrays with the same ids in other orders would wait for each other's new holds.
    IF jsonb_array_length(asks) > 1 THEN
        PERFORM pg_advisory_xact_lock(7100003, account);
    END IF;
    SELECT time_zone INTO STRICT zone FROM accounts_account WHERE id = account;
    today := (at AT TIME ZONE zone)::date;

    -- A new period has its counter as soon as anyone looks.
    INSERT INTO budgets_budgetperiod (budget_id, start_on, end_on, spent, estimated, held)
    SELECT n.id, n.start_on, budgets_period_end(n.period, n.start_on), 0, 0, 0
    FROM (
        SELECT DISTINCT b.id, b.period, b.scope, budgets_period_start(b.period, today) AS start_on
        FROM budgets_budget b JOIN jsonb_to_recordset(asks) AS a(
            workspace_id integer, project_id integer, member_id integer, api_key_id integer)
            ON budgets_is_above(
                b.scope, b.scope_id, a.workspace_id, a.project_id, a.member_id, a.api_key_id)
        WHERE b.account_id = account AND b.archived_at IS NULL
    ) n
    WHERE NOT EXISTS (
        SELECT FROM budgets_budgetperiod p WHERE p.budget_id = n.id AND p.start_on = n.start_on)
    ORDER BY budgets_lock_rank(n.scope), n.id
    ON CONFLICT DO NOTHING;

    -- Holds first, counters second: the order in which recording locks them too.
    SELECT array_agg(o.id) INTO overdue FROM (
        SELECT h.id FROM budgets_hold h
        WHERE h.account_id = account AND h.state = 'open' AND h.expires_at <= at
        ORDER BY h.id LIMIT 100 FOR UPDATE SKIP LOCKED
    ) o;
    SELECT array_agg(o.id) INTO asked_again FROM (
        SELECT h.id FROM budgets_hold h
        JOIN jsonb_to_recordset(asks) AS a(workspace_id integer, request_id text)
            ON h.workspace_id = a.workspace_id AND h.request_id = a.request_id COLLATE "C"
        WHERE h.state = 'open' ORDER BY h.id FOR UPDATE OF h
    ) o;

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

    IF overdue IS NOT NULL THEN
        UPDATE budgets_budgetperiod p SET held = p.held - f.amount
        FROM (
            SELECT of.period_id, sum(h.amount) AS amount
            FROM budgets_hold h CROSS JOIN unnest(h.period_ids) AS of(period_id)
            WHERE h.id = ANY(overdue) GROUP BY of.period_id
        ) f WHERE p.id = f.period_id;
        UPDATE budgets_hold h SET state = 'expired', ended_at = at WHERE h.id = ANY(overdue);
    END IF;

    -- From here on nobody else moves these counters; they are counted in memory, written once.
    WITH above_any AS (
        SELECT p.id, p.budget_id, b.name, b.scope, b.scope_id, b."limit", p.start_on, p.end_on,
               p.spent, p.estimated, p.spent + p.estimated AS consumed, p.held, b.period,
               (p.end_on::timestamp AT TIME ZONE zone) AS resets_at,
               b.hard AND coalesce(w.enforce_hard_limits, true) AS hard,
               row_number() OVER (ORDER BY budgets_lock_rank(b.scope), p.budget_id) AS position
        FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
        LEFT JOIN accounts_project pr ON pr.id = b.project_id
        LEFT JOIN accounts_apikey k ON k.id = b.api_key_id
        LEFT JOIN accounts_workspace w
            ON w.id = coalesce(b.workspace_id, pr.workspace_id, k.workspace_id)
        WHERE p.id = ANY(locked) AND b.account_id = account AND b.archived_at IS NULL
        AND p.start_on = budgets_period_start(b.period, today)
    )
    SELECT array_agg(c.id ORDER BY c.position), array_agg(c."limit" ORDER BY c.position),
           array_agg(c.hard ORDER BY c.position), array_agg(c.consumed ORDER BY c.position),
           array_agg(c.held ORDER BY c.position),
           coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.position), '[]')
    INTO ids, limits, hards, used_now, held_now, counters FROM above_any c;
    held_before := held_now;

    FOR ask IN
        SELECT a.request_id, a.workspace_id, a.amount, a.number, coalesce((
            SELECT array_agg((c->>'position')::integer ORDER BY (c->>'position')::integer)
            FROM jsonb_array_elements(counters) AS c
            WHERE budgets_is_above(
                c->>'scope', (c->>'scope_id')::integer,
                a.workspace_id, a.project_id, a.member_id, a.api_key_id)
        ), '{}') AS places
        FROM ROWS FROM (jsonb_to_recordset(asks) AS (
            workspace_id integer, project_id integer, member_id integer, api_key_id integer,
            request_id text, amount numeric
        )) WITH ORDINALITY AS a(
            workspace_id, project_id, member_id, api_key_id, request_id, amount, number)
        ORDER BY a.number
    LOOP
        refused_by := NULL;
        hold := NULL;
        SELECT h.id, h.expires_at, h.amount, h.period_ids INTO known FROM budgets_hold h
        WHERE h.workspace_id = ask.workspace_id
            AND h.request_id = ask.request_id COLLATE "C" AND h.state = 'open';
        above := ARRAY(SELECT ids[p] FROM unnest(ask.places) AS p);
        -- Asked again for no more and under no other counters: the same answer, nothing held twice.
        again := known.id IS NOT NULL AND ask.amount <= known.amount AND above <@ known.period_ids;
        IF NOT again THEN
            FOREACH place IN ARRAY ask.places LOOP
                others := held_now[place];
                IF ids[place] = ANY(known.period_ids) THEN
                    others := others - known.amount;
                END IF;
                -- A hard limit that is reached lets nothing pass, not even what costs nothing.
                IF hards[place] AND limits[place] IS NOT NULL AND (
                    used_now[place] + others + ask.amount > limits[place]
                    OR used_now[place] + others >= limits[place]
                ) THEN
                    refused_by := place;
                    EXIT;
                END IF;
            END LOOP;
        END IF;
        IF refused_by IS NOT NULL THEN
            NULL;
        ELSIF again THEN
            hold := known.id;
        ELSIF known.id IS NOT NULL THEN  -- the hold becomes what is asked for now
            hold := known.id;
            FOR place IN SELECT generate_subscripts(ids, 1) LOOP
                IF ids[place] = ANY(known.period_ids) THEN
                    held_now[place] := held_now[place] - known.amount;
                END IF;
                IF place = ANY(ask.places) THEN
                    held_now[place] := held_now[place] + ask.amount;
                END IF;
            END LOOP;
            UPDATE budgets_budgetperiod p SET held = p.held - known.amount
            WHERE p.id = ANY(known.period_ids) AND (ids IS NULL OR p.id <> ALL(ids));
            UPDATE budgets_hold h SET amount = ask.amount, period_ids = above
            WHERE h.id = known.id;
        ELSE
            hold := gen_random_uuid();
            INSERT INTO budgets_hold (id, account_id, workspace_id, request_id, amount, period_ids,
                                      state, created_at, expires_at)
            SELECT hold, account, ask.workspace_id, ask.request_id, ask.amount,
                   coalesce(array_agg(ids[p]), '{}'), 'open', at, at + ttl
            FROM unnest(ask.places) AS p
            ON CONFLICT (workspace_id, request_id) WHERE state = 'open' DO NOTHING;
            IF FOUND THEN
                FOREACH place IN ARRAY ask.places LOOP
                    held_now[place] := held_now[place] + ask.amount;
                END LOOP;
            ELSE  -- the same id asked twice at once, under no counter that both waited for
                SELECT h.id, h.expires_at, h.amount, h.period_ids INTO known FROM budgets_hold h
                WHERE h.workspace_id = ask.workspace_id
                    AND h.request_id = ask.request_id COLLATE "C" AND h.state = 'open';
                hold := known.id;
            END IF;
        END IF;
        decisions := decisions || jsonb_build_object(
            'places', to_jsonb(ask.places), 'refused_by', refused_by, 'held', to_jsonb(held_now),
            'hold_id', hold, 'expires_at', coalesce(known.expires_at, at + ttl));
    END LOOP;

    IF held_now IS DISTINCT FROM held_before THEN
        UPDATE budgets_budgetperiod p SET held = p.held + n.after - n.before
        FROM unnest(ids, held_now, held_before) AS n(period_id, after, before)
        WHERE p.id = n.period_id AND n.after <> n.before;
    END IF;
    RETURN jsonb_build_object('counters', counters, 'decisions', to_jsonb(decisions));
END $$;

-- Ends open holds, as `released` by their owner or `expired`; how many were still open.
CREATE FUNCTION budgets_end_holds(hold_ids uuid[], ending text, at timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    open_ids uuid[];
BEGIN
    SELECT array_agg(o.id) INTO open_ids FROM (
        SELECT h.id FROM budgets_hold h WHERE h.id = ANY(hold_ids) AND h.state = 'open'
        ORDER BY h.id FOR UPDATE
    ) o;
    PERFORM FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
    WHERE p.id IN (SELECT unnest(h.period_ids) FROM budgets_hold h WHERE h.id = ANY(open_ids))
    ORDER BY budgets_lock_rank(b.scope), p.budget_id, p.start_on FOR UPDATE OF p;
    UPDATE budgets_budgetperiod p SET held = p.held - f.amount
    FROM (
        SELECT of.period_id, sum(h.amount) AS amount
        FROM budgets_hold h CROSS JOIN unnest(h.period_ids) AS of(period_id)
        WHERE h.id = ANY(open_ids) GROUP BY of.period_id
    ) f WHERE p.id = f.period_id;
    UPDATE budgets_hold h SET state = ending, ended_at = at WHERE h.id = ANY(open_ids);
    RETURN coalesce(cardinality(open_ids), 0);
END $$;
"""

UNDO = """
DROP FUNCTION budgets_end_holds;
DROP FUNCTION budgets_authorize;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0002_move_counters")]

    operations = [migrations.RunSQL(SQL, UNDO)]
