"""The requests with one type of error: hardly any of many, and no roll-up counts them."""

from django.db import migrations

SQL = """
-- The log's list of requests with an error type. Few requests have any, so it is small.
CREATE INDEX usage_requestlog_error_type ON usage_requestlog (workspace_id, error_type, occurred_at)
    WHERE error_type IS NOT NULL;
"""
UNDO = "DROP INDEX usage_requestlog_error_type"


class Migration(migrations.Migration):
    dependencies = [("usage", "0017_find_failed_requests")]

    operations = [migrations.RunSQL(SQL, UNDO)]
