"""Decisions and alerts go by the limit that is in force: raised for a while, from and until a day.

The decision is written anew: fewer statements for each ask, holds stored together, no hold for a
request whose log is there already, and what each hold is for.
"""

from importlib import import_module

from django.db import migrations

HELPERS = """
-- The limit at a moment: the raised one while its raise lasts.
CREATE FUNCTION budgets_limit_at(
    "limit" numeric, raised_limit numeric, raised_until timestamptz, at timestamptz
) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE WHEN raised_until > at THEN raised_limit ELSE "limit" END;

-- Whether a budget refuses and warns on that local day.
CREATE FUNCTION budgets_in_force(in_force_from date, in_force_until date, day date)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    coalesce(in_force_from <= day, true) AND coalesce(day < in_force_until, true);

-- An alert for every threshold that those counters have reached, of the limit at that moment, and
-- that was not told yet.
CREATE FUNCTION budgets_make_alerts(counters bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO budgets_alert (period_id, threshold, "limit", consumed)
    SELECT p.id, t.threshold, l."limit", p.spent + p.estimated
    FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
    JOIN accounts_account a ON a.id = b.account_id
    CROSS JOIN LATERAL (
        SELECT budgets_limit_at(b."limit", b.raised_limit, b.raised_until, at) AS "limit"
    ) l
    CROSS JOIN unnest(b.thresholds) AS t(threshold)
    WHERE p.id = ANY(counters) AND b.archived_at IS NULL
        AND budgets_in_force(
            b.in_force_from, b.in_force_until, (at AT TIME ZONE a.time_zone)::date)
        AND p.spent + p.estimated > 0
        AND (p.spent + p.estimated) * 100 >= l."limit" * t.threshold
    ORDER BY p.id, t.threshold
    ON CONFLICT DO NOTHING;
END $$;
"""

DROP_HELPERS = """
DROP FUNCTION budgets_make_alerts;
DROP FUNCTION budgets_in_force;
DROP FUNCTION budgets_limit_at;
"""

AUTHORIZE = """
-- Decides `asks` in order. Each is an object with workspace_id, project_id, member_id, api_key_id,
-- request_id and amount (US dollars at worst). Answers {"counters": [...], "decisions": [...]}:
-- a decision names the counters it looked at by their position (from 1), what each of them holds
-- after it, and `refused_by`, the position of the counter in its way.
CREATE OR REPLACE FUNCTION budgets_authorize(
    account integer, asks jsonb, at timestamptz, ttl interval
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    zone text;
    today date;
    several boolean := jsonb_array_length(asks) > 1;
    overdue uuid[];
    asked_again uuid[];
    locked bigint[];
    is_new boolean;
    ids bigint[];
    scopes text[];
    scope_ids integer[];
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
    IF several THEN
        PERFORM pg_advisory_xact_lock(7100003, account);
    END IF;
    -- Whoever opens a budget adopts the open holds under it: none is taken meanwhile.
    PERFORM pg_advisory_xact_lock_shared(7100002, account);
    SELECT time_zone INTO STRICT zone FROM accounts_account WHERE id = account;
    today := (at AT TIME ZONE zone)::date;

    -- Holds first, counters second: the order in which recording locks them too.
    SELECT array_agg(o.id) INTO overdue FROM (
        SELECT h.id FROM budgets_hold h
        WHERE h.account_id = account AND h.state = 'open' AND h.expires_at <= at
        ORDER BY h.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
    ) o;
    SELECT array_agg(o.id) INTO asked_again FROM (
        SELECT h.id FROM budgets_hold h
        WHERE h.ended_at IS NULL AND h.id = ANY(ARRAY(
            SELECT f.id FROM jsonb_to_recordset(asks) AS a(workspace_id integer, request_id text)
            CROSS JOIN LATERAL (
                SELECT h.id FROM budgets_hold h WHERE h.workspace_id = a.workspace_id
                AND h.request_id = a.request_id COLLATE "C" AND h.state = 'open' OFFSET 0) f
        )) ORDER BY h.id FOR UPDATE OF h
    ) o;

    -- The counters above the asks, each by its index; a new period has its own as soon as anyone
    -- looks.
    LOOP
        SELECT array_agg(p.id), bool_or(p.id IS NULL) INTO locked, is_new
        FROM (
            SELECT DISTINCT v.scope, v.id FROM jsonb_to_recordset(asks) AS a(
                workspace_id integer, project_id integer, member_id integer, api_key_id integer)
            CROSS JOIN LATERAL (VALUES
                ('account', account), ('workspace', a.workspace_id), ('project', a.project_id),
                ('member', a.member_id), ('api_key', a.api_key_id)
            ) AS v(scope, id) WHERE v.id IS NOT NULL
        ) k
        JOIN budgets_budget b
            ON b.account_id = account AND b.scope = k.scope AND b.scope_id = k.id
        LEFT JOIN budgets_budgetperiod p
            ON p.budget_id = b.id AND p.start_on = budgets_period_start(b.period, today)
        WHERE b.archived_at IS NULL;
        EXIT WHEN NOT coalesce(is_new, false);
        INSERT INTO budgets_budgetperiod (budget_id, start_on, end_on, spent, estimated, held)
        SELECT b.id, s.start_on, budgets_period_end(b.period, s.start_on), 0, 0, 0
        FROM budgets_budget b
        CROSS JOIN LATERAL (SELECT budgets_period_start(b.period, today) AS start_on) s
        WHERE b.account_id = account AND b.archived_at IS NULL
        AND EXISTS (
            SELECT FROM jsonb_to_recordset(asks) AS a(
                workspace_id integer, project_id integer, member_id integer, api_key_id integer)
            WHERE budgets_is_above(
                b.scope, b.scope_id, a.workspace_id, a.project_id, a.member_id, a.api_key_id))
        AND NOT EXISTS (
            SELECT FROM budgets_budgetperiod p
            WHERE p.budget_id = b.id AND p.start_on = s.start_on)
        ORDER BY budgets_lock_rank(b.scope), b.id
        ON CONFLICT DO NOTHING;
    END LOOP;
    IF overdue IS NOT NULL OR asked_again IS NOT NULL THEN
        locked := ARRAY(
            SELECT unnest(locked) UNION
            SELECT unnest(h.period_ids) FROM budgets_hold h
            WHERE h.id = ANY(overdue || asked_again));
    END IF;
    PERFORM p.id FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
    WHERE p.id = ANY(locked)
    ORDER BY budgets_lock_rank(b.scope), p.budget_id, p.start_on
    FOR UPDATE OF p;

    IF overdue IS NOT NULL THEN
        UPDATE budgets_budgetperiod p SET held = p.held - f.amount
        FROM (
            SELECT of.period_id, sum(h.amount) AS amount
            FROM budgets_hold h CROSS JOIN unnest(h.period_ids) AS of(period_id)
            WHERE h.id = ANY(overdue) GROUP BY of.period_id
        ) f WHERE p.id = f.period_id;
        UPDATE budgets_hold h SET state = 'expired', ended_at = at WHERE h.id = ANY(overdue);
    END IF;

    -- Read in a statement of its own, which sees what was committed while this one waited: also a
    -- limit that was lowered. From here on nobody else moves these counters; they are counted in
    -- memory, written once.
    WITH above_any AS (
        SELECT p.id, p.budget_id, b.name, b.scope, b.scope_id, l."limit", p.start_on, p.end_on,
               p.spent, p.estimated, p.spent + p.estimated AS consumed, p.held, b.period,
               (p.end_on::timestamp AT TIME ZONE zone) AS resets_at,
               b.hard AND coalesce(w.enforce_hard_limits, true)
                   AND budgets_in_force(b.in_force_from, b.in_force_until, today) AS hard,
               row_number() OVER (ORDER BY budgets_lock_rank(b.scope), p.budget_id) AS position
        FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
        CROSS JOIN LATERAL (
            SELECT budgets_limit_at(b."limit", b.raised_limit, b.raised_until, at) AS "limit"
        ) l
        LEFT JOIN accounts_project pr ON pr.id = b.project_id
        LEFT JOIN accounts_apikey k ON k.id = b.api_key_id
        LEFT JOIN accounts_workspace w
            ON w.id = coalesce(b.workspace_id, pr.workspace_id, k.workspace_id)
        WHERE p.id = ANY(locked) AND b.account_id = account AND b.archived_at IS NULL
        AND p.start_on = budgets_period_start(b.period, today)
    )
    SELECT array_agg(c.id ORDER BY c.position), array_agg(c.scope::text ORDER BY c.position),
           array_agg(c.scope_id ORDER BY c.position), array_agg(c."limit" ORDER BY c.position),
           array_agg(c.hard ORDER BY c.position), array_agg(c.consumed ORDER BY c.position),
           array_agg(c.held ORDER BY c.position),
           coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.position), '[]')
    INTO ids, scopes, scope_ids, limits, hards, used_now, held_now, counters FROM above_any c;
    held_before := held_now;

    FOR ask IN
        SELECT a.*, h.hold_id, h.known_amount, h.period_ids, h.expires_at,
            h.hold_id IS NULL AND EXISTS (
                SELECT FROM usage_requestkey q WHERE q.workspace_id = a.workspace_id
                AND q.request_id = a.request_id COLLATE "C"
            ) AS is_logged,
            ARRAY(
                SELECT c.position::integer
                FROM unnest(scopes, scope_ids) WITH ORDINALITY AS c(scope, scope_id, position)
                WHERE budgets_is_above(
                    c.scope, c.scope_id, a.workspace_id, a.project_id, a.member_id, a.api_key_id)
                ORDER BY c.position
            ) AS places,
            several AND count(*) OVER (
                PARTITION BY a.workspace_id, a.request_id ORDER BY a.number) > 1 AS is_repeated
        FROM ROWS FROM (jsonb_to_recordset(asks) AS (
            workspace_id integer, project_id integer, member_id integer, api_key_id integer,
            request_id text, amount numeric
        )) WITH ORDINALITY AS a(
            workspace_id, project_id, member_id, api_key_id, request_id, amount, number)
        LEFT JOIN LATERAL (
            SELECT h.id AS hold_id, h.amount AS known_amount, h.period_ids, h.expires_at
            FROM budgets_hold h WHERE h.workspace_id = a.workspace_id
            AND h.request_id = a.request_id COLLATE "C" AND h.state = 'open' OFFSET 0
        ) h ON true
        ORDER BY a.number
    LOOP
        refused_by := NULL;
        hold := NULL;
        known := ask;
        above := ARRAY(SELECT ids[p] FROM unnest(ask.places) AS p);
        IF ask.is_repeated THEN  -- asked before in this very array
            SELECT h.id AS hold_id, h.amount AS known_amount, h.period_ids, h.expires_at
            INTO known FROM budgets_hold h WHERE h.workspace_id = ask.workspace_id
                AND h.request_id = ask.request_id COLLATE "C" AND h.state = 'open';
        END IF;
        -- Asked again for no more and under no other counters: the same answer, nothing held twice.
        again := known.hold_id IS NOT NULL AND ask.amount <= known.known_amount
            AND above <@ known.period_ids;
        IF NOT again THEN
            FOREACH place IN ARRAY ask.places LOOP
                others := held_now[place];
                IF ids[place] = ANY(known.period_ids) THEN
                    others := others - known.known_amount;
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
            hold := known.hold_id;
        ELSIF known.hold_id IS NOT NULL THEN  -- the hold becomes what is asked for now
            hold := known.hold_id;
            FOR place IN SELECT generate_subscripts(ids, 1) LOOP
                IF ids[place] = ANY(known.period_ids) THEN
                    held_now[place] := held_now[place] - known.known_amount;
                END IF;
                IF place = ANY(ask.places) THEN
                    held_now[place] := held_now[place] + ask.amount;
                END IF;
            END LOOP;
            UPDATE budgets_budgetperiod p SET held = p.held - known.known_amount
            WHERE p.id = ANY(known.period_ids) AND (ids IS NULL OR p.id <> ALL(ids));
            UPDATE budgets_hold h SET amount = ask.amount, period_ids = above,
                project_id = ask.project_id, member_id = ask.member_id, api_key_id = ask.api_key_id
            WHERE h.id = known.hold_id;
        ELSIF ask.is_logged THEN  -- nobody would settle a hold: what it cost is counted already
            NULL;
        ELSE
            hold := gen_random_uuid();
            INSERT INTO budgets_hold (id, account_id, workspace_id, project_id, member_id,
                                      api_key_id, request_id, amount, period_ids, state,
                                      created_at, expires_at)
            VALUES (hold, account, ask.workspace_id, ask.project_id, ask.member_id,
                    ask.api_key_id, ask.request_id, ask.amount, above, 'open', at, at + ttl)
            ON CONFLICT (workspace_id, request_id) WHERE state = 'open' DO NOTHING;
            IF NOT FOUND THEN  -- the same id asked twice at once, under no counter of both
                RAISE serialization_failure USING MESSAGE = 'the same id is asked for at once';
            END IF;
            FOREACH place IN ARRAY ask.places LOOP
                held_now[place] := held_now[place] + ask.amount;
            END LOOP;
        END IF;
        decisions := decisions || jsonb_build_object(
            'places', ask.places, 'refused_by', refused_by, 'held', held_now, 'hold_id', hold,
            'expires_at', coalesce(known.expires_at, at + ttl));
    END LOOP;

    IF held_now IS DISTINCT FROM held_before THEN
        UPDATE budgets_budgetperiod p SET held = p.held + n.after - n.before
        FROM unnest(ids, held_now, held_before) AS n(period_id, after, before)
        WHERE p.id = n.period_id AND n.after <> n.before;
    END IF;
    RETURN jsonb_build_object('counters', counters, 'decisions', to_jsonb(decisions));
END $$;
"""

earlier = import_module("budgets.migrations.0004_find_holds_by_index")
again = import_module("budgets.migrations.0006_hold_what_was_asked_at_once")

ALERTS_BEFORE = """
    )
    INSERT INTO budgets_alert (period_id, threshold, "limit", consumed)
    SELECT m.id, t.threshold, b."limit", m.consumed
    FROM moved m JOIN budgets_budget b ON b.id = m.budget_id
    CROSS JOIN unnest(b.thresholds) AS t(threshold)
    WHERE b.archived_at IS NULL AND m.consumed > 0 AND m.consumed * 100 >= b."limit" * t.threshold
    ORDER BY m.id, t.threshold
    ON CONFLICT DO NOTHING;
"""
# Of a budget that may have reached a threshold: the lower limit says so, raised or not.
ALERTS_AFTER = """
    )
    SELECT array_agg(m.id) INTO reached FROM moved m JOIN budgets_budget b ON b.id = m.budget_id
    WHERE m.consumed > 0 AND b."limit" IS NOT NULL AND EXISTS (
        SELECT FROM unnest(b.thresholds) AS t(threshold)
        WHERE m.consumed * 100 >= b."limit" * t.threshold);
    IF reached IS NOT NULL THEN
        PERFORM budgets_make_alerts(reached, clock_timestamp());
    END IF;
"""
DECLARE_BEFORE = """
    zone text;
BEGIN
    -- Whoever opens"""
DECLARE_AFTER = """
    zone text;
    reached bigint[];
BEGIN
    -- Whoever opens"""
FOUND_BY_INDEX = (earlier.BEFORE_IN_MOVE, earlier.AFTER_IN_MOVE)
MOVE_BEFORE = earlier.replaced(earlier.MOVE, FOUND_BY_INDEX)
MOVE_AFTER = earlier.replaced(
    earlier.MOVE, FOUND_BY_INDEX, (ALERTS_BEFORE, ALERTS_AFTER), (DECLARE_BEFORE, DECLARE_AFTER)
)


class Migration(migrations.Migration):
    dependencies = [
        ("budgets", "0008_alert_once_per_limit"),
        ("usage", "0002_request_log"),
    ]

    operations = [
        migrations.RunSQL(HELPERS, DROP_HELPERS),
        # Replacing a function undoes its settings.
        migrations.RunSQL(
            [MOVE_AFTER, AUTHORIZE, earlier.PLANS],
            [MOVE_BEFORE, *again.authorize((again.BEFORE, again.AFTER))],
        ),
    ]
