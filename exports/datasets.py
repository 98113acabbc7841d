"""The two large datasets, the request log and every report, each as pieces of a file.

Nothing here grows with the number of rows: the database hands them over as it finds them.
"""

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import IO, Any

from exports.formats import CHUNK_BYTES, FileFormat
from exports.snapshot import Snapshot
from exports.tables import Edge, Fetched, Table, Tally, add_up, is_added
from usage import partitions
from usage.reports.question import Question
from usage.reports.run import Column, columns_of, tidy
from usage.reports.sql import compile_question
from usage.requests import FIELDS, NAMES, Condition, RequestQuery

# Of a day's rows so many bytes stay in memory; the rest of the day waits in a temporary file.
DAY_BYTES_IN_MEMORY = 4 * 1024 * 1024
# A larger day is fetched in parts of about so many bytes, some 30,000 requests.
PART_BYTES = 6 * 1024 * 1024
MOST_PARTS = 288
ROWS_AT_ONCE = 2_000
ALL_ROWS = 2**31 - 1

# The columns of the request log in a file: here for good, further ones come at the end.
# Those without an expression are the list's own (`usage.requests.FIELDS`).
LOG_COLUMNS: dict[Column, str | None] = {
    Column("request_id", "string"): None,
    Column("occurred_at", "datetime"): None,
    Column("received_at", "datetime"): None,
    Column("day", "date"): "(l.occurred_at AT TIME ZONE a.time_zone)::date",
    Column("account", "string"): "a.slug",
    Column("workspace_id", "integer"): "l.workspace_id",
    Column("workspace", "string"): None,
    Column("workspace_name", "string"): None,
    Column("project_id", "integer"): "l.project_id",
    Column("project", "string"): None,
    Column("project_name", "string"): None,
    Column("client_id", "integer"): "p.client_id",
    Column("client", "string"): None,
    Column("client_name", "string"): None,
    Column("member_id", "integer"): "l.member_id",
    Column("member", "string"): None,
    Column("member_name", "string"): None,
    Column("api_key_id", "integer"): "l.api_key_id",
    Column("api_key", "string"): None,
    Column("api_key_name", "string"): None,
    Column("model", "string"): None,
    Column("requested_model", "string"): None,
    Column("provider", "string"): None,
    Column("endpoint", "string"): None,
    Column("status", "integer"): None,
    Column("error_type", "string"): None,
    Column("service_tier", "string"): None,
    Column("streamed", "boolean"): None,
    Column("input_tokens", "integer", "tokens"): None,
    Column("cache_read_tokens", "integer", "tokens"): None,
    Column("cache_write_tokens", "integer", "tokens"): None,
    Column("cache_write_1h_tokens", "integer", "tokens"): None,
    Column("output_tokens", "integer", "tokens"): None,
    Column("reasoning_tokens", "integer", "tokens"): None,
    Column("latency_ms", "integer", "milliseconds"): None,
    Column("time_to_first_token_ms", "integer", "milliseconds"): None,
    Column("cost", "decimal", "USD"): None,
    Column("ceiling_cost", "decimal", "USD"): None,
    Column("reported_cost", "decimal", "USD"): None,
    Column("meters", "object"): None,
    Column("tags", "object"): None,
}


# A part of time, `[start, end)`; without a start or an end it has none.
Stretch = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class LogRows:
    """The requests that the query wants, the oldest first.

    `period` is where the query looks at all: it spares looking elsewhere.
    """

    query: RequestQuery
    period: Stretch

    def pieces(
        self, frozen: Snapshot, columns: list[Column], file_format: FileFormat, tally: Tally
    ) -> Iterator[bytes]:
        yield from log_rows(frozen, self.query, self.period, file_format, tally)
        if not tally.adds:
            return
        where, parameters = self.query.where(*edges_of(self.period))
        sums = {
            column.name: f"sum({sql or FIELDS[column.name]})"
            for column, sql in LOG_COLUMNS.items()
            if is_added(column)
        }
        source = f"usage_requestlog l WHERE l.workspace_id = ANY(%s) AND {where}"
        add_up(frozen, sums, source, [self.query.reach.workspace_ids, *parameters], tally)


def log_table(
    query: RequestQuery, period: Stretch, *, start: Edge, end: Edge, asked: dict[str, Any]
) -> Table:
    rows = LogRows(query, period)
    return Table("requests", query.reach, start, end, list(LOG_COLUMNS), rows, asked)


def log_rows(
    frozen: Snapshot,
    query: RequestQuery,
    period: Stretch,
    file_format: FileFormat,
    tally: Tally | None = None,
) -> Iterator[bytes]:
    """Day by day, large days in parts: nothing larger is ever sorted, and the first comes at once.

    Each is taken from the database whole before it is handed on, so that the database never waits
    for the client in the middle of a statement, where no time-out reaches it.
    """
    tally = tally or Tally(adds=False)
    found = parts_of(frozen, stretches(partitions.existing_partitions()))
    parts = [part for part in found if overlap(part.stretch, period)]
    whole, behind = sum(part.size for part in parts) or 1, 0
    for part in parts:
        statement = log_statement(query, part.stretch, file_format)
        with tempfile.SpooledTemporaryFile(DAY_BYTES_IN_MEMORY) as spool:
            fill(spool, frozen, statement, file_format, tally)
            spool.seek(0)
            while piece := spool.read(CHUNK_BYTES):
                yield piece
                frozen.stay_alive()
        behind += part.size
        tally.percent = 99 * behind // whole


def fill(
    spool: IO[bytes],
    frozen: Snapshot,
    statement: tuple[str, list[object]],
    file_format: FileFormat,
    tally: Tally,
) -> None:
    copied = file_format.copied
    with frozen.cursor() as cursor, cursor.copy(cursor.mogrify(*statement)) as copy:
        found = iter(copy)
        while rows := [copied(bytes(row)) for row in itertools.islice(found, ROWS_AT_ONCE)]:
            spool.write(b"".join(rows))
            tally.count(len(rows))


def stretches(partition_names: set[str]) -> list[Stretch]:
    """`[start, end)` of each day with a partition, and of all time before, between and after."""
    prefix = "usage_requestlog_"
    days = [
        date.fromisoformat(name.removeprefix(prefix))
        for name in partition_names
        if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
    ]
    edges = sorted({*days, *(day + timedelta(1) for day in days)})
    midnights = [datetime.combine(edge, time.min, tzinfo=UTC) for edge in edges]
    return list(itertools.pairwise([None, *midnights, None]))


SIZES = """
SELECT inhrelid::regclass::text, pg_relation_size(inhrelid) FROM pg_inherits
WHERE inhparent = 'usage_requestlog'::regclass
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of time, and about how many bytes the log has there."""

    stretch: Stretch
    size: int


def parts_of(frozen: Snapshot, found: list[Stretch]) -> Iterator[Part]:
    """The same stretches, those of large days in parts: so that the first rows come at once."""
    sizes = dict(frozen.cursor().execute(SIZES).fetchall())
    for start, end in found:
        size = sizes.get(partitions.name_of(start), 0) if start and end else 0
        number = min(max(size // PART_BYTES, 1), MOST_PARTS)
        if start is None or end is None or number == 1:
            yield Part((start, end), size)
            continue
        step = (end - start) / number
        edges = [*(start + step * index for index in range(number)), end]
        yield from (Part(edge, size // number) for edge in itertools.pairwise(edges))


def overlap(one: Stretch, other: Stretch) -> bool:
    return all(
        start is None or end is None or start < end
        for start, end in ((one[0], other[1]), (other[0], one[1]))
    )


def log_statement(
    query: RequestQuery, stretch: Stretch, file_format: FileFormat
) -> tuple[str, list[object]]:
    where, parameters = query.where(*edges_of(stretch))
    columns = ", ".join(
        f"{file_format.expression(column, sql or FIELDS[column.name])} AS {column.name}"
        for column, sql in LOG_COLUMNS.items()
    )
    select = f"""SELECT {columns} FROM usage_requestlog l {NAMES}
        WHERE l.workspace_id = ANY(%s) AND {where}
        ORDER BY l.occurred_at, l.request_id"""
    return file_format.copy(select), [query.reach.workspace_ids, *parameters]


def edges_of(stretch: Stretch) -> list[Condition]:
    start, end = stretch
    edges = [Condition("l.occurred_at >= %s", (start,))] if start else []
    return edges + ([Condition("l.occurred_at < %s", (end,))] if end else [])


def report_table(question: Question, name: str = "usage") -> Table:
    columns = columns_of(question)
    return Table(
        name,
        question.reach,
        question.start,
        question.end,
        columns,
        Fetched(lambda frozen: report_rows(frozen, question, columns)),
        question.as_dict(),
    )


def report_rows(
    frozen: Snapshot, question: Question, columns: list[Column]
) -> Iterator[list[object]]:
    """The rows of the report, all of them where the question sets no limit."""
    compiled = compile_question(question)
    limits = {"limit": question.limit or ALL_ROWS}
    sql = frozen.cursor().mogrify(compiled.sql, compiled.parameters | limits)
    with frozen.server.cursor(name="report") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(sql)
        for kind, _, *values in cursor:
            # The sums come after all rows; grouped by nothing, the total is the one row.
            if kind != ("row" if question.is_grouped else "total"):
                return
            yield [tidy(v, column.type) for v, column in zip(values, columns, strict=True)]
