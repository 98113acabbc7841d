"""Histograms of answer times by local day, and those of the requests that are folded already."""

from django.db import migrations

CREATE = """
CREATE TABLE usage_day_latency (
    day date NOT NULL,
    workspace_id integer NOT NULL,
    model_id integer NOT NULL,
    provider_id integer,
    latency_count integer NOT NULL,
    first_token_count integer NOT NULL,
    bucket smallint NOT NULL
);
-- As of the other roll-ups: folding adds to the row of a key, reports ask for a workspace's days.
CREATE UNIQUE INDEX usage_day_latency_once
    ON usage_day_latency (workspace_id, day, model_id, provider_id, bucket) NULLS NOT DISTINCT;
"""

# What folding would have counted. Nobody folds meanwhile: the lock is that of folding.
FILL = """
SELECT pg_advisory_xact_lock(7100001);
INSERT INTO usage_day_latency
    (workspace_id, day, model_id, provider_id, bucket, latency_count, first_token_count)
SELECT l.workspace_id, (l.occurred_at AT TIME ZONE a.time_zone)::date AS day, l.model_id,
    l.provider_id,
    CASE WHEN d.milliseconds > 0
        THEN 1 + floor(ln(d.milliseconds) / ln(1.1::float8))::int ELSE 0 END AS bucket,
    sum(d.latency), sum(d.first_token)
FROM usage_requestlog l
JOIN accounts_workspace w ON w.id = l.workspace_id
JOIN accounts_account a ON a.id = w.account_id
CROSS JOIN LATERAL (
    VALUES (l.latency_ms, 1, 0), (l.time_to_first_token_ms, 0, 1)
) AS d(milliseconds, latency, first_token)
WHERE d.milliseconds IS NOT NULL AND NOT EXISTS (
    SELECT FROM usage_batch b WHERE b.workspace_id = l.workspace_id AND b.batch_id = l.batch_id)
GROUP BY l.workspace_id, day, l.model_id, l.provider_id, bucket;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0006_quarantined_by_token")]

    operations = [
        migrations.RunSQL(CREATE, "DROP TABLE usage_day_latency"),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
