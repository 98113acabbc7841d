"""The rows of the batches that are not folded yet, found without planning for every partition."""

from django.db import migrations

# STABLE: it sees the same moment as the statement that calls it, so that a report stays exact. The
# query inside is planned with the batches and times in hand: for the one or two partitions that
# hold them, not for all, which takes longer than the report itself, and by the index of batches.
CREATE = """
CREATE FUNCTION usage_unfolded(workspaces integer[]) RETURNS SETOF usage_requestlog
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    batches bigint[];
    earliest timestamptz;
    latest timestamptz;
BEGIN
    SELECT array_agg(batch_id), min(least_at), max(greatest_at) INTO batches, earliest, latest
    FROM usage_batch WHERE workspace_id = ANY(workspaces);
    IF batches IS NOT NULL THEN
        RETURN QUERY EXECUTE
            'SELECT * FROM usage_requestlog
            WHERE batch_id = ANY($1) AND occurred_at >= $2 AND occurred_at <= $3'
            USING batches, earliest, latest;
    END IF;
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0007_latency_histograms")]

    operations = [migrations.RunSQL(CREATE, "DROP FUNCTION usage_unfolded(integer[])")]
