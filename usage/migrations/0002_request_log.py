"""The request log, its keys and the batch ledger."""

from django.db import migrations

SQL = """
CREATE TABLE usage_requestlog (
    -- Wide columns first: no padding between them.
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    batch_id bigint NOT NULL,
    workspace_id integer NOT NULL,
    project_id integer,
    api_key_id integer,
    member_id integer,
    model_id integer NOT NULL,
    requested_model_id integer,
    provider_id integer,
    endpoint_id integer,
    input integer NOT NULL,
    cache_read integer NOT NULL,
    cache_write_5m integer NOT NULL,
    cache_write_1h integer NOT NULL,
    output integer NOT NULL,
    reasoning integer NOT NULL,
    latency_ms integer,
    time_to_first_token_ms integer,
    status smallint NOT NULL,
    streamed boolean,
    cost numeric(20, 10),
    ceiling_cost numeric(20, 10),
    reported_cost numeric(20, 10),
    request_id text COLLATE "C" NOT NULL,
    error_type text,
    service_tier text,
    meters jsonb,
    tags jsonb,
    CONSTRAINT quantities_are_not_negative CHECK (
        least(input, cache_read, cache_write_5m, cache_write_1h, output, reasoning) >= 0
    ),
    CONSTRAINT unknown_cost_has_a_ceiling CHECK ((cost IS NULL) = (ceiling_cost IS NOT NULL))
) PARTITION BY RANGE (occurred_at);

-- Catches strays: requests from before or after the days that have a partition.
CREATE TABLE usage_requestlog_default PARTITION OF usage_requestlog DEFAULT;
ALTER TABLE usage_requestlog_default ALTER COLUMN batch_id SET (n_distinct = -0.01);

-- The list of one workspace's requests, newest first, and the look-up of one request.
CREATE INDEX usage_requestlog_by_time ON usage_requestlog (workspace_id, occurred_at);
-- The rows of the batches that are not folded yet.
CREATE INDEX usage_requestlog_by_batch ON usage_requestlog (batch_id);

-- Every request once, over all partitions, whatever time a re-send carries.
CREATE TABLE usage_requestkey (
    occurred_at timestamptz NOT NULL,
    workspace_id integer NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    CONSTRAINT every_request_once PRIMARY KEY (workspace_id, request_id)
);

CREATE SEQUENCE usage_batch_id_seq AS bigint;

-- Batches that are recorded but not folded: one row a recording transaction and workspace.
CREATE TABLE usage_batch (
    batch_id bigint NOT NULL,
    least_at timestamptz NOT NULL,
    greatest_at timestamptz NOT NULL,
    workspace_id integer NOT NULL,
    row_count integer NOT NULL,
    CONSTRAINT batch_folded_once PRIMARY KEY (workspace_id, batch_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
"""

UNDO = """
DROP TABLE usage_batch;
DROP SEQUENCE usage_batch_id_seq;
DROP TABLE usage_requestkey;
DROP TABLE usage_requestlog;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]

    operations = [migrations.RunSQL(SQL, UNDO)]
