"""The roll-ups: sums by local day and local hour over several sets of dimensions."""

from django.db import migrations

MEASURES = """
    requests bigint NOT NULL,
    errors bigint NOT NULL,
    unpriced bigint NOT NULL,
    input bigint NOT NULL,
    cache_read bigint NOT NULL,
    cache_write_5m bigint NOT NULL,
    cache_write_1h bigint NOT NULL,
    output bigint NOT NULL,
    reasoning bigint NOT NULL,
    latency_ms bigint NOT NULL,
    latency_count bigint NOT NULL,
    latency_output bigint NOT NULL,
    first_token_ms bigint NOT NULL,
    first_token_count bigint NOT NULL,
    cost numeric NOT NULL,
    ceiling_cost numeric NOT NULL,
    reported_cost numeric NOT NULL,
    reported_difference numeric NOT NULL,
    reported_count bigint NOT NULL
"""

ROLLUPS = {
    "usage_day": "day, workspace_id, project_id, api_key_id, member_id, model_id, provider_id, endpoint_id",
    "usage_day_model": "day, workspace_id, model_id, provider_id, endpoint_id",
    "usage_day_member": "day, workspace_id, member_id, model_id",
    "usage_day_project": "day, workspace_id, project_id, model_id",
    "usage_day_key": "day, workspace_id, project_id, api_key_id, member_id",
    "usage_hour": "hour, workspace_id, model_id, provider_id, endpoint_id",
}  # fmt: skip

NEVER_NULL = {"day": "date NOT NULL", "hour": "timestamptz NOT NULL"} | dict.fromkeys(
    ("workspace_id", "model_id"), "integer NOT NULL"
)


def create(table: str, dimensions: str) -> str:
    names = dimensions.split(", ")
    columns = ",\n    ".join(f"{name} {NEVER_NULL.get(name, 'integer')}" for name in names)
    # The key begins with the workspace, then the time: the order in which reports ask.
    key = ", ".join(["workspace_id", names[0], *names[2:]])
    partitioned = " PARTITION BY RANGE (day)" if table == "usage_day" else ""
    return f"""
CREATE TABLE {table} (
    {columns},{MEASURES}) {partitioned};
CREATE UNIQUE INDEX {table}_once ON {table} ({key}) NULLS NOT DISTINCT;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0002_request_log")]

    operations = [
        *(
            migrations.RunSQL(create(table, dimensions), f"DROP TABLE {table}")
            for table, dimensions in ROLLUPS.items()
        ),
        migrations.RunSQL(
            "CREATE TABLE usage_day_default PARTITION OF usage_day DEFAULT",
            "DROP TABLE usage_day_default",
        ),
    ]
