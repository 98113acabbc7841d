"""A decision takes half the statements, and an array's holds are stored together.

`budgets_authorize()` stays for processes of the release before, which go on deciding while others
are being replaced; both lock in the same order.
"""

import django.db.models.deletion
from django.db import migrations, models

DECIDE = """
-- The counters of that local day's periods above those owners, where nobody has looked yet.
CREATE FUNCTION budgets_open_periods(
    account integer, workspaces integer[], projects integer[], members integer[],
    api_keys integer[], day date
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO budgets_budgetperiod (budget_id, start_on, end_on, spent, estimated, held)
    SELECT b.id, s.start_on, budgets_period_end(b.period, s.start_on), 0, 0, 0
    FROM budgets_budget b
    CROSS JOIN LATERAL (SELECT budgets_period_start(b.period, day) AS start_on) s
    WHERE b.account_id = account AND b.archived_at IS NULL
    AND EXISTS (
        SELECT FROM unnest(workspaces, projects, members, api_keys)
            AS o(workspace_id, project_id, member_id, api_key_id)
        WHERE budgets_is_above(
            b.scope, b.scope_id, o.workspace_id, o.project_id, o.member_id, o.api_key_id))
    AND NOT EXISTS (
        SELECT FROM budgets_budgetperiod p
        WHERE p.budget_id = b.id AND p.start_on = s.start_on)
    ORDER BY budgets_lock_rank(b.scope), b.id
    ON CONFLICT DO NOTHING;
END $$;

-- Decides calls in order. Ask n is for `request_ids[n]`, costs `amounts[n]` US dollars at worst and
-- is made by owner `owners[n]`, whose workspace, project, member and API key have that place in the
-- first arrays. No two asks are for the same request. Answers JSON: `counters` above any of them,
-- those of owner o are `places[firsts[o]..lasts[o]]` (from 1); and for each ask `refused_by`, the
-- place of the counter in its way, its hold, when that ends if not at `ends_at`, and in `held` what
-- each of its counters holds after it, one ask's after the other's.
CREATE FUNCTION budgets_decide(
    account integer, workspaces integer[], projects integer[], members integer[],
    api_keys integer[], owners integer[], request_ids text[], amounts numeric[],
    at timestamptz, ttl interval
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    nothing text;
    zone text;
    today date;
    is_overdue boolean;
    overdue uuid[];
    asked_again uuid[];
    known_ids uuid[];
    known_amount numeric;
    known_periods bigint[];
    is_new boolean;
    locked bigint[];
    inside integer[];
    ids bigint[];
    scopes text[];
    scope_ids integer[];
    limits numeric[];
    hards boolean[];
    used numeric[];
    held_now numeric[];
    held_before numeric[];
    counters json;
    logged integer[];
    places integer[];
    owner_of integer[];
    firsts integer[] := '{}';
    lasts integer[] := '{}';
    last integer := 0;
    owner integer;
    amount numeric;
    others numeric;
    above bigint[];
    again boolean;
    refusal integer;
    place integer;
    hold uuid;
    ends_at timestamptz;
    holds uuid[] := '{}';
    refusals integer[] := '{}';
    endings timestamptz[] := '{}';
    held_after numeric[] := '{}';
    made uuid[] := '{}';
    made_for integer[] := '{}';
    stored bigint;
BEGIN
    -- Decisions of an account come one after the other: they would wait for its counters anyway,
    -- and two arrays with the same ids in other orders for each other's new holds. Assigned, because
    -- that is cheaper than a statement.
    nothing := pg_advisory_xact_lock(7100003, account);
    -- Whoever opens a budget adopts the open holds under it: none is taken meanwhile.
    nothing := pg_advisory_xact_lock_shared(7100002, account);
    -- Ordered, the first to expire is found by its index, however many there are.
    SELECT a.time_zone, at >= (
        SELECT h.expires_at FROM budgets_hold h
        WHERE h.account_id = account AND h.state = 'open' ORDER BY h.expires_at LIMIT 1
    ), ARRAY(
        SELECT h.id FROM unnest(owners, request_ids) AS r(owner, request_id)
        CROSS JOIN LATERAL (
            SELECT f.id FROM budgets_hold f WHERE f.workspace_id = workspaces[r.owner]
            AND f.request_id = r.request_id COLLATE "C" AND f.state = 'open' OFFSET 0) h
    )
    INTO STRICT zone, is_overdue, asked_again FROM accounts_account a WHERE a.id = account;
    today := (at AT TIME ZONE zone)::date;

    -- Holds first, counters second: the order in which recording locks them too.
    IF is_overdue THEN
        SELECT array_agg(o.id) INTO overdue FROM (
            SELECT h.id FROM budgets_hold h
            WHERE h.account_id = account AND h.state = 'open' AND h.expires_at <= at
            ORDER BY h.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
        ) o;
    END IF;
    IF asked_again <> '{}' THEN
        PERFORM h.id FROM budgets_hold h
        WHERE h.ended_at IS NULL AND h.id = ANY(asked_again) ORDER BY h.id FOR UPDATE;
    END IF;
    -- Their counters in the one order, together with those above the asks.
    IF overdue IS NOT NULL OR asked_again <> '{}' THEN
        PERFORM budgets_open_periods(account, workspaces, projects, members, api_keys, today);
        PERFORM p.id FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
        WHERE p.id IN (
            SELECT unnest(h.period_ids) FROM budgets_hold h
            WHERE h.id = ANY(overdue || asked_again)
            UNION ALL
            SELECT c.id FROM unnest(workspaces, projects, members, api_keys)
                AS o(workspace_id, project_id, member_id, api_key_id)
            CROSS JOIN LATERAL (VALUES
                ('account', account), ('workspace', o.workspace_id), ('project', o.project_id),
                ('member', o.member_id), ('api_key', o.api_key_id)
            ) AS v(scope, id)
            JOIN budgets_budget d
                ON d.account_id = account AND d.scope = v.scope AND d.scope_id = v.id
            JOIN budgets_budgetperiod c
                ON c.budget_id = d.id AND c.start_on = budgets_period_start(d.period, today))
        ORDER BY budgets_lock_rank(b.scope), p.budget_id, p.start_on FOR UPDATE OF p;
    END IF;

    -- The counters above the asks, each by its index, and locked one by one as they are found; a new
    -- period has its own as soon as anyone looks.
    LOOP
        SELECT array_agg(c.id), array_agg(c.inside), bool_or(c.id IS NULL)
        INTO locked, inside, is_new
        FROM (
            SELECT p.id, b.inside
            FROM (
                SELECT d.id, d.period, k.inside
                FROM (
                    SELECT DISTINCT v.scope, v.id, v.inside
                    FROM unnest(workspaces, projects, members, api_keys)
                        AS o(workspace_id, project_id, member_id, api_key_id)
                    CROSS JOIN LATERAL (VALUES
                        ('account', account, NULL), ('workspace', o.workspace_id, o.workspace_id),
                        ('project', o.project_id, o.workspace_id), ('member', o.member_id, NULL),
                        ('api_key', o.api_key_id, o.workspace_id)
                    ) AS v(scope, id, inside) WHERE v.id IS NOT NULL
                ) k
                CROSS JOIN LATERAL (
                    SELECT f.id, f.period, f.scope FROM budgets_budget f
                    WHERE f.account_id = account AND f.scope = k.scope AND f.scope_id = k.id
                    AND f.archived_at IS NULL OFFSET 0
                ) d
                ORDER BY budgets_lock_rank(d.scope), d.id OFFSET 0
            ) b
            LEFT JOIN LATERAL (
                SELECT l.id FROM budgets_budgetperiod l
                WHERE l.budget_id = b.id AND l.start_on = budgets_period_start(b.period, today)
                FOR UPDATE
            ) p ON true
        ) c;
        EXIT WHEN NOT coalesce(is_new, false);
        PERFORM budgets_open_periods(account, workspaces, projects, members, api_keys, today);
    END LOOP;

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
    -- limit that was lowered, and the log of a request that is asked for only now. From here on
    -- nobody else moves these counters; they are counted in memory, written once.
    SELECT array_agg(c.id), array_agg(c.scope), array_agg(c.scope_id), array_agg(c."limit"),
           array_agg(c.hard), array_agg(c.consumed), array_agg(c.held),
           coalesce(json_agg(json_build_array(
               c.budget_id, c.name, c.scope, c.period, c.spent, c.estimated, c.consumed,
               c.resets_at, c.hard, c."limit")), '[]'),
           ARRAY(
               SELECT r.number::integer
               FROM unnest(owners, request_ids) WITH ORDINALITY AS r(owner, request_id, number)
               CROSS JOIN LATERAL (
                   SELECT FROM usage_requestkey q WHERE q.workspace_id = workspaces[r.owner]
                   AND q.request_id = r.request_id COLLATE "C" OFFSET 0) k)
    INTO ids, scopes, scope_ids, limits, hards, used, held_now, counters, logged
    FROM (
        SELECT p.id, p.budget_id, b.name, b.scope::text AS scope, b.scope_id, b.period,
               budgets_limit_at(b."limit", b.raised_limit, b.raised_until, at) AS "limit",
               p.spent, p.estimated, p.spent + p.estimated AS consumed, p.held,
               (p.end_on::timestamp AT TIME ZONE zone) AS resets_at,
               b.hard AND coalesce(w.enforce_hard_limits, true)
                   AND budgets_in_force(b.in_force_from, b.in_force_until, today) AS hard
        FROM unnest(locked, inside) WITH ORDINALITY AS l(id, inside, position)
        JOIN budgets_budgetperiod p ON p.id = l.id JOIN budgets_budget b ON b.id = p.budget_id
        LEFT JOIN accounts_workspace w ON w.id = l.inside
        WHERE b.archived_at IS NULL ORDER BY l.position
    ) c;
    held_before := held_now;

    IF cardinality(workspaces) = 1 THEN
        SELECT array_agg(n) INTO places FROM generate_subscripts(ids, 1) AS n;
        firsts := ARRAY[1];
        lasts := ARRAY[coalesce(cardinality(ids), 0)];
    ELSE
        SELECT array_agg(c.position::integer ORDER BY o.number, c.position),
               array_agg(o.number::integer ORDER BY o.number, c.position)
        INTO places, owner_of
        FROM unnest(workspaces, projects, members, api_keys) WITH ORDINALITY
            AS o(workspace_id, project_id, member_id, api_key_id, number)
        CROSS JOIN LATERAL (VALUES
            ('account', account), ('workspace', o.workspace_id), ('project', o.project_id),
            ('member', o.member_id), ('api_key', o.api_key_id)
        ) AS v(scope, id)
        JOIN unnest(scopes, scope_ids) WITH ORDINALITY AS c(scope, scope_id, position)
            ON c.scope = v.scope AND c.scope_id = v.id;
        FOR owner IN 1 .. cardinality(workspaces) LOOP
            firsts := firsts || (last + 1);
            WHILE owner_of[last + 1] = owner LOOP
                last := last + 1;
            END LOOP;
            lasts := lasts || last;
        END LOOP;
    END IF;

    IF asked_again <> '{}' THEN  -- some of which may have ended while the counters were waited for
        SELECT array_agg(h.id ORDER BY r.number) INTO known_ids
        FROM unnest(owners, request_ids) WITH ORDINALITY AS r(owner, request_id, number)
        LEFT JOIN LATERAL (
            SELECT f.id FROM budgets_hold f WHERE f.workspace_id = workspaces[r.owner]
            AND f.request_id = r.request_id COLLATE "C" AND f.state = 'open' OFFSET 0) h ON true;
    END IF;

    FOR n IN 1 .. cardinality(owners) LOOP
        owner := owners[n];
        amount := amounts[n];
        refusal := NULL;
        hold := NULL;
        ends_at := NULL;
        again := false;
        IF known_ids[n] IS NOT NULL THEN
            SELECT h.id, h.amount, h.period_ids, h.expires_at
            INTO hold, known_amount, known_periods, ends_at
            FROM budgets_hold h WHERE h.id = known_ids[n];
            above := ARRAY(SELECT ids[p] FROM unnest(places[firsts[owner]:lasts[owner]]) AS p);
            -- Asked again for no more and under no other counters: the same answer, nothing held
            -- twice.
            again := amount <= known_amount AND above <@ known_periods;
        END IF;
        IF NOT again THEN
            FOR i IN firsts[owner] .. lasts[owner] LOOP
                place := places[i];
                CONTINUE WHEN NOT hards[place] OR limits[place] IS NULL;
                others := used[place] + held_now[place];
                IF hold IS NOT NULL AND ids[place] = ANY(known_periods) THEN
                    others := others - known_amount;
                END IF;
                -- A hard limit that is reached lets nothing pass, not even what costs nothing.
                IF others + amount > limits[place] OR others >= limits[place] THEN
                    refusal := place;
                    EXIT;
                END IF;
            END LOOP;
            IF refusal IS NOT NULL THEN
                hold := NULL;
                ends_at := NULL;
            ELSIF hold IS NOT NULL THEN  -- the hold becomes what is asked for now
                FOR place IN SELECT generate_subscripts(ids, 1) LOOP
                    IF ids[place] = ANY(known_periods) THEN
                        held_now[place] := held_now[place] - known_amount;
                    END IF;
                    IF ids[place] = ANY(above) THEN
                        held_now[place] := held_now[place] + amount;
                    END IF;
                END LOOP;
                UPDATE budgets_budgetperiod p SET held = p.held - known_amount
                WHERE p.id = ANY(known_periods) AND (ids IS NULL OR p.id <> ALL(ids));
                UPDATE budgets_hold h SET amount = amounts[n], period_ids = above,
                    project_id = projects[owner], member_id = members[owner],
                    api_key_id = api_keys[owner]
                WHERE h.id = hold;
            ELSIF n = ANY(logged) THEN  -- nobody would settle a hold: its cost is counted already
                NULL;
            ELSE
                hold := gen_random_uuid();
                made := made || hold;
                made_for := made_for || n;
                FOR i IN firsts[owner] .. lasts[owner] LOOP
                    place := places[i];
                    held_now[place] := held_now[place] + amount;
                END LOOP;
            END IF;
        END IF;
        holds := holds || hold;
        refusals := refusals || refusal;
        endings := endings || ends_at;
        FOR i IN firsts[owner] .. lasts[owner] LOOP
            held_after := held_after || held_now[places[i]];
        END LOOP;
    END LOOP;

    IF made <> '{}' THEN
        INSERT INTO budgets_hold (id, account_id, workspace_id, project_id, member_id, api_key_id,
                                  request_id, amount, period_ids, state, created_at, expires_at)
        SELECT m.id, account, workspaces[owners[m.n]], projects[owners[m.n]],
               members[owners[m.n]], api_keys[owners[m.n]], request_ids[m.n], amounts[m.n],
               ARRAY(SELECT ids[p]
                     FROM unnest(places[firsts[owners[m.n]]:lasts[owners[m.n]]]) AS p),
               'open', at, at + ttl
        FROM unnest(made, made_for) AS m(id, n)
        ON CONFLICT (workspace_id, request_id) WHERE state = 'open' DO NOTHING;
        GET DIAGNOSTICS stored = ROW_COUNT;
        IF stored < cardinality(made) THEN
            RAISE serialization_failure USING MESSAGE = 'the same id is asked for at once';
        END IF;
    END IF;
    IF held_now IS DISTINCT FROM held_before THEN
        UPDATE budgets_budgetperiod p SET held = p.held + n.after - n.before
        FROM unnest(ids, held_now, held_before) AS n(period_id, after, before)
        WHERE p.id = n.period_id AND n.after <> n.before;
    END IF;
    RETURN json_build_object(
        'counters', counters, 'places', coalesce(places, '{}'), 'firsts', firsts, 'lasts', lasts,
        'refused_by', refusals, 'holds', holds, 'held', held_after, 'ends_at', at + ttl,
        'endings', endings);
END $$;

-- As for the functions beside it: a connection keeps its plans, made once for few and for many.
ALTER FUNCTION budgets_decide SET enable_seqscan = off;
ALTER FUNCTION budgets_decide SET enable_bitmapscan = off;
ALTER FUNCTION budgets_decide SET plan_cache_mode = force_generic_plan;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_books_closed_until"),
        ("budgets", "0011_find_ended_holds_by_request"),
        ("usage", "0002_request_log"),
    ]

    operations = [
        # To look up both for every hold took longer than to store it.
        migrations.AlterField(
            model_name="hold",
            name="account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.AlterField(
            model_name="hold",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="accounts.workspace",
            ),
        ),
        migrations.RunSQL(
            DECIDE, "DROP FUNCTION budgets_decide; DROP FUNCTION budgets_open_periods"
        ),
    ]
