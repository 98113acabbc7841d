"""The request log as Parquet files, as it is stored: for the archive, and back from there."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exports.arrow import GROUP_ROWS, as_csv, batches, grouped, open_writer
from usage.retention import IN_EXPIRED, Expired

if TYPE_CHECKING:
    import pyarrow

MONEY = ("cost", "ceiling_cost", "reported_cost")

# Column of the log -> its type in Arrow. Every column of the table, or restoring would lose one.
COLUMNS = {
    "occurred_at": "moment",
    "received_at": "moment",
    "batch_id": "int64",
    "workspace_id": "int32",
    "project_id": "int32",
    "api_key_id": "int32",
    "member_id": "int32",
    "model_id": "int32",
    "requested_model_id": "int32",
    "provider_id": "int32",
    "endpoint_id": "int32",
    "input": "int32",
    "cache_read": "int32",
    "cache_write_5m": "int32",
    "cache_write_1h": "int32",
    "output": "int32",
    "reasoning": "int32",
    "latency_ms": "int32",
    "time_to_first_token_ms": "int32",
    "status": "int16",
    "streamed": "bool",
    **dict.fromkeys(MONEY, "money"),
    "request_id": "string",
    "error_type": "string",
    "service_tier": "string",
    "meters": "string",
    "tags": "string",
}

# What ids meant then, so that the files can be read without the database: column -> (of, SQL).
NAMES = {
    "workspace": ("workspace_id", "SELECT id, slug FROM accounts_workspace"),
    "project": ("project_id", "SELECT id, tag FROM accounts_project"),
    "api_key": ("api_key_id", "SELECT id, identifier FROM accounts_apikey"),
    "member": ("member_id", "SELECT id, identifier FROM accounts_member"),
    "model": ("model_id", "SELECT id, name FROM usage_llmmodel"),
    "requested_model": ("requested_model_id", "SELECT id, name FROM usage_llmmodel"),
    "provider": ("provider_id", "SELECT id, name FROM usage_provider"),
    "endpoint": ("endpoint_id", "SELECT id, name FROM usage_endpoint"),
}

SELECT = f"""COPY (
    SELECT {", ".join(f"l.{name}" for name in COLUMNS)}
    FROM usage_requestlog l WHERE {IN_EXPIRED}
    ORDER BY l.workspace_id, l.occurred_at, l.request_id
) TO STDOUT (FORMAT csv)"""


def arrow_type(kind: str) -> "pyarrow.DataType":
    import pyarrow as pa

    match kind:
        case "moment":
            return pa.timestamp("us", tz="UTC")
        case "money":
            return pa.decimal128(20, 10)
        case "bool":
            return pa.bool_()
    return pa.type_for_alias(kind)


def stored_schema() -> "pyarrow.Schema":
    import pyarrow as pa

    return pa.schema([(name, arrow_type(kind)) for name, kind in COLUMNS.items()])


def file_schema() -> "pyarrow.Schema":
    import pyarrow as pa

    schema = stored_schema()
    for name in NAMES:
        schema = schema.append(pa.field(name, pa.dictionary(pa.int32(), pa.string())))
    return schema


def column_types() -> list[dict[str, str]]:
    names = [{"name": name, "type": "string", "of": of} for name, (of, _) in NAMES.items()]
    return [{"name": name, "type": kind} for name, kind in COLUMNS.items()] + names


def write_log(cursor: Any, expired: Expired, path: Path) -> None:
    """The requests in the order of workspace, time and id, a group of rows at a time."""
    known = {name: names_in(cursor, sql) for name, (_, sql) in NAMES.items()}
    schema = file_schema()
    with (
        open_writer(path, schema) as writer,
        cursor.copy(cursor.mogrify(SELECT, expired.parameters())) as copied,
    ):
        for table in grouped(batches(copied, stored_schema()), stored_schema()):
            writer.write_table(with_names(table, known), row_group_size=GROUP_ROWS)


def names_in(cursor: Any, sql: str) -> "tuple[pyarrow.Array, pyarrow.Array]":
    import pyarrow as pa

    rows = cursor.execute(sql).fetchall()
    return (
        pa.array([row[0] for row in rows], pa.int32()),
        pa.array([row[1] for row in rows], pa.string()),
    )


def with_names(table: "pyarrow.Table", known: dict[str, Any]) -> "pyarrow.Table":
    """The names once, and for each row the place of its own."""
    import pyarrow as pa
    from pyarrow import compute

    for name, (ids, texts) in known.items():
        places = compute.index_in(table[NAMES[name][0]].combine_chunks(), value_set=ids)
        table = table.append_column(name, pa.DictionaryArray.from_arrays(places, texts))
    return table


def summed(path: Path) -> tuple[int, dict[str, Decimal]]:
    """Rows and totals of a file, as `usage.retention` counts them."""
    from pyarrow import compute, parquet

    rows, sums = 0, dict.fromkeys(TOTALS, Decimal(0))
    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=[c for cs in TOTALS.values() for c in cs])
            rows += table.num_rows
            for name, columns in TOTALS.items():
                for column in columns:
                    sums[name] += Decimal(compute.sum(table[column]).as_py() or 0)
    return rows, sums


TOTALS = {
    "input_tokens": ("input", "cache_read", "cache_write_5m", "cache_write_1h"),
    "output_tokens": ("output",),
    "cost": ("cost",),
    "ceiling_cost": ("ceiling_cost",),
    "reported_cost": ("reported_cost",),
}


def stored_rows(path: Path) -> Iterator[bytes]:
    """The columns of the log, in pieces as COPY ... FROM STDIN (FORMAT csv) reads them."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(COLUMNS)):
            yield as_csv(batch.select(list(COLUMNS)))
