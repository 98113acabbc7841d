"""What writes the audit log, and what keeps anybody from rewriting it.

`audit_note` is the trigger function of every audited table (`config/audit.py` attaches it after
each migration); its arguments are the columns whose changes tell nothing.
"""

from django.db import migrations

FUNCTIONS = r"""
CREATE FUNCTION audit_hidden(whole jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(
        key,
        CASE WHEN key ~ '(password|digest|secret|credential|webhook|recovery)' AND value <> 'null'
        THEN '"(hidden)"'::jsonb ELSE value END)
    FROM jsonb_each(whole)
$$;

CREATE FUNCTION audit_account(place text, whole jsonb) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF place = 'accounts_account' THEN
        RETURN whole->>'id';
    ELSIF whole ? 'account_id' THEN
        RETURN whole->>'account_id';
    ELSIF whole->>'workspace_id' IS NOT NULL THEN
        RETURN (SELECT w.account_id FROM accounts_workspace w
                WHERE w.id = (whole->>'workspace_id')::bigint);
    ELSIF whole ? 'budget_id' THEN
        RETURN (SELECT b.account_id FROM budgets_budget b
                WHERE b.id = (whole->>'budget_id')::bigint);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION audit_subject(place text, whole jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    called text := coalesce(nullif(whole->>'name', ''), whole->>'username', whole->>'tag',
                            whole->>'identifier', nullif(whole->>'reason', ''), '');
BEGIN
    IF whole ? 'priced_model_id' THEN
        called := (SELECT m.provider || ' ' || m.name FROM usage_pricedmodel m
                   WHERE m.id = (whole->>'priced_model_id')::bigint)
                  || coalesce(' ' || (whole->>'meter'), '');
    ELSIF whole ? 'user_id' THEN
        called := concat_ws(': ', (SELECT u.username FROM accounts_user u
                                   WHERE u.id = (whole->>'user_id')::bigint), nullif(called, ''));
    ELSIF whole ? 'accesstoken_id' THEN
        called := (SELECT t.name FROM accounts_accesstoken t
                   WHERE t.id = (whole->>'accesstoken_id')::bigint);
    ELSIF place = 'usage_pricedmodel' THEN
        called := (whole->>'provider') || ' ' || called;
    END IF;
    RETURN left(coalesce(called, ''), 300);
END
$$;

CREATE FUNCTION audit_write(doing text, place text, whole jsonb, before jsonb, after jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    actor jsonb := nullif(current_setting('tokenbook.actor', true), '')::jsonb;
BEGIN
    INSERT INTO config_auditentry
        (at, actor, user_id, token_id, account_id, action, table_name, object_id, subject, old, new)
    VALUES (
        clock_timestamp(), left(coalesce(actor->>'name', 'SQL as ' || session_user), 300),
        (actor->>'user')::bigint, (actor->>'token')::bigint, audit_account(place, whole), doing,
        place, left(coalesce(whole->>'id', ''), 200), audit_subject(place, whole),
        audit_hidden(before), audit_hidden(after));
END
$$;

CREATE FUNCTION audit_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    after jsonb;
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM audit_write('create', TG_TABLE_NAME, to_jsonb(NEW), NULL, to_jsonb(NEW));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM audit_write('delete', TG_TABLE_NAME, to_jsonb(OLD), to_jsonb(OLD), NULL);
    ELSE
        SELECT jsonb_object_agg(was.key, was.value), jsonb_object_agg(now.key, now.value)
        INTO before, after
        FROM jsonb_each(to_jsonb(OLD)) was JOIN jsonb_each(to_jsonb(NEW)) now USING (key)
        WHERE was.value IS DISTINCT FROM now.value
            AND NOT was.key = ANY(coalesce(TG_ARGV, '{}'));
        IF after IS NOT NULL THEN
            PERFORM audit_write('change', TG_TABLE_NAME, to_jsonb(NEW), before, after);
        END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON config_auditentry
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON config_auditentry
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""

NONE = """
DROP TRIGGER audit_is_never_emptied ON config_auditentry;
DROP TRIGGER audit_is_append_only ON config_auditentry;
DROP FUNCTION audit_refuse(), audit_note() CASCADE;
DROP FUNCTION audit_write(text, text, jsonb, jsonb, jsonb), audit_subject(text, jsonb),
    audit_account(text, jsonb), audit_hidden(jsonb);
"""


class Migration(migrations.Migration):
    dependencies = [("config", "0003_audit")]

    operations = [migrations.RunSQL(FUNCTIONS, NONE)]
