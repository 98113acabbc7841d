"""The books: raw rows = every roll-up = every budget, to the last digit, at any moment.

`assert_books_balance()` looks at the whole database in one snapshot, so that it may be asked while
others record and fold. `python -m tests.books` asks it of the database in DATABASE_URL.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from usage.rollups.tables import (
    DURATIONS,
    HISTOGRAMS,
    LOCAL_DAY,
    LOCAL_HOUR,
    MEASURES,
    ROLLUPS,
    ZONE_JOIN,
    Histogram,
    Rollup,
    bucket_of,
)

LOCAL = {"day": LOCAL_DAY, "hour": LOCAL_HOUR}

KEYS = """
SELECT workspace_id, request_id, count(k.request_id) AS keys, count(l.request_id) AS rows
FROM usage_requestkey k FULL JOIN usage_requestlog l USING (workspace_id, request_id)
GROUP BY 1, 2 HAVING count(k.request_id) <> 1 OR count(l.request_id) <> 1
"""

# A batch that is not folded yet says truly how many rows it has, and from when to when.
BATCHES = """
SELECT b.workspace_id, b.batch_id, b.row_count, count(l.request_id) AS rows
FROM usage_batch b LEFT JOIN usage_requestlog l USING (workspace_id, batch_id)
GROUP BY b.workspace_id, b.batch_id
HAVING count(l.request_id) <> b.row_count OR min(l.occurred_at) <> b.least_at
    OR max(l.occurred_at) <> b.greatest_at
"""

# What the rows say of each budget's periods, beside its counters and its open holds.
COUNTERS = """
WITH raw AS (
    SELECT b.id AS budget_id,
        budgets_period_start(b.period, (l.occurred_at AT TIME ZONE z.time_zone)::date) AS start_on,
        sum(coalesce(l.cost, 0)) AS spent, sum(coalesce(l.ceiling_cost, 0)) AS estimated
    FROM usage_requestlog l JOIN accounts_workspace w ON w.id = l.workspace_id
    JOIN accounts_account z ON z.id = w.account_id
    JOIN budgets_budget b ON b.account_id = z.id AND budgets_is_above(
        b.scope, b.scope_id, l.workspace_id, l.project_id, l.member_id, l.api_key_id)
    GROUP BY b.id, start_on
), holding AS (
    SELECT period_id, sum(amount) AS held
    FROM budgets_hold h CROSS JOIN unnest(h.period_ids) AS p(period_id)
    WHERE h.state = 'open' GROUP BY period_id
)
SELECT b.name, coalesce(p.start_on, raw.start_on) AS start_on, p.spent, raw.spent AS raw_spent,
    p.estimated, raw.estimated AS raw_estimated, p.held, h.held AS open_holds
FROM raw FULL JOIN budgets_budgetperiod p USING (budget_id, start_on)
JOIN budgets_budget b ON b.id = budget_id
LEFT JOIN holding h ON h.period_id = p.id
WHERE coalesce(p.start_on, raw.start_on) >= b.counted_from AND (
    coalesce(p.spent, 0), coalesce(p.estimated, 0), coalesce(p.held, 0)
) <> (coalesce(raw.spent, 0), coalesce(raw.estimated, 0), coalesce(h.held, 0))
"""


def assert_books_balance() -> None:
    """Keys = rows; roll-ups and what is not folded yet = rows; counters = rows = reports = holds.

    Roll-ups are those of sums and those of counts, the histograms. The message of what does not
    balance has the first rows that differ.
    """
    with one_snapshot():
        wrong = {name: rows[:5] for name, rows in differences() if rows}
    assert not wrong, wrong


def differences() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    yield "keys", fetch(KEYS)
    yield "batches", fetch(BATCHES)
    for rollup in ROLLUPS:
        yield rollup.table, fetch(rollup_and_rows(rollup))
    for histogram in HISTOGRAMS:
        yield histogram.table, fetch(histogram_and_rows(histogram))
    yield "counters", fetch(COUNTERS)
    yield "reports", list(counters_and_reports())


def rollup_and_rows(rollup: Rollup) -> str:
    """What the roll-up, with the rows that are not folded yet, says otherwise than the log does."""
    local = [LOCAL.get(name, f"l.{name}") for name in rollup.key]
    rows = ", ".join([*local, *(f"({sql}) AS {name}" for name, sql in MEASURES.items())])
    log = f"SELECT {rows} FROM usage_requestlog l {ZONE_JOIN}"
    return table_and_rows(rollup, MEASURES, log, kept="sum(requests) <> 0 OR sum(cost) <> 0")


def histogram_and_rows(histogram: Histogram) -> str:
    local = [LOCAL.get(name, f"l.{name}") for name in histogram.key if name != "bucket"]
    counts = list(DURATIONS.values())
    log = f"""
        SELECT {", ".join(local)}, {bucket_of("d.milliseconds")}, d.is_latency, 1 - d.is_latency
        FROM usage_requestlog l {ZONE_JOIN} JOIN LATERAL (
            VALUES (l.latency_ms, 1), (l.time_to_first_token_ms, 0)
        ) AS d(milliseconds, is_latency) ON d.milliseconds IS NOT NULL"""
    kept = " OR ".join(f"sum({name}) <> 0" for name in counts)
    return table_and_rows(histogram, counts, log, kept=kept)


def table_and_rows(rollup: Rollup, measures: Iterable[str], log: str, *, kept: str) -> str:
    key, names = ", ".join(rollup.key), ", ".join(measures)
    sums = f"{key}, {', '.join(f'sum({name}) AS {name}' for name in measures)}"
    # Sums of rows that went elsewhere may stay as zeros.
    grouped = f"GROUP BY {key} HAVING {kept}"
    return f"""
        WITH raw({key}, {names}) AS ({log}),
        unfolded({key}, {names}) AS (
            {log} JOIN usage_batch b ON b.workspace_id = l.workspace_id AND b.batch_id = l.batch_id
        ),
        books AS (
            SELECT {sums} FROM (
                SELECT {key}, {names} FROM {rollup.table} UNION ALL SELECT * FROM unfolded
            ) both_parts {grouped}
        ),
        truth AS (SELECT {sums} FROM raw {grouped})
        (SELECT 'roll-up' AS says, * FROM (TABLE books EXCEPT ALL TABLE truth) a)
        UNION ALL (SELECT 'log' AS says, * FROM (TABLE truth EXCEPT ALL TABLE books) a)"""


def counters_and_reports() -> Iterator[dict[str, Any]]:
    """Counters that differ from the report of their budget's scope and days."""
    from budgets import ledger
    from budgets.models import BudgetPeriod

    for period in BudgetPeriod.objects.select_related("budget__account"):
        says = ledger.counted(period.budget, period.start_on, period.end_on, now=timezone.now())
        if says != (period.spent, period.estimated):
            yield {"period": str(period), "report": says, "spent": period.spent,
                   "estimated": period.estimated}  # fmt: skip


def fetch(sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def one_snapshot() -> Iterator[None]:
    """All statements of the block see the same moment; a test's own transaction is left alone."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    assert_books_balance()
