"""Histograms of answer times by provider alone: a tenth of the rows, for the usual question."""

from django.db import migrations

CREATE = """
CREATE TABLE usage_day_provider_latency (
    day date NOT NULL,
    workspace_id integer NOT NULL,
    provider_id integer,
    latency_count integer NOT NULL,
    first_token_count integer NOT NULL,
    bucket smallint NOT NULL
);
-- As of the other roll-ups: folding adds to the row of a key, reports ask for a workspace's days.
CREATE UNIQUE INDEX usage_day_provider_latency_once
    ON usage_day_provider_latency (workspace_id, day, provider_id, bucket) NULLS NOT DISTINCT;
"""

# What folding would have counted. Nobody folds meanwhile: the lock is that of folding.
FILL = """
SELECT pg_advisory_xact_lock(7100001);
INSERT INTO usage_day_provider_latency
    (workspace_id, day, provider_id, bucket, latency_count, first_token_count)
SELECT workspace_id, day, provider_id, bucket, sum(latency_count), sum(first_token_count)
FROM usage_day_latency GROUP BY workspace_id, day, provider_id, bucket;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0008_unfolded_rows")]

    operations = [
        migrations.RunSQL(CREATE, "DROP TABLE usage_day_provider_latency"),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
