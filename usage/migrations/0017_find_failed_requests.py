"""The failed requests of a span: few of many, counted by status."""

from django.db import migrations

SQL = """
-- Counting failed requests by status (the page of latency and errors) reads this alone.
CREATE INDEX usage_requestlog_failed ON usage_requestlog (workspace_id, occurred_at)
    INCLUDE (model_id, endpoint_id, status) WHERE status >= 400;
"""
UNDO = "DROP INDEX usage_requestlog_failed"


class Migration(migrations.Migration):
    dependencies = [("usage", "0016_zone_changes")]

    operations = [migrations.RunSQL(SQL, UNDO)]
