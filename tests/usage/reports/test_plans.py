"""What reports and folding read: the wanted partitions by the wanted indexes, and nothing else."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from operator import sub
from typing import Any

import pytest
from django.db import connection

from accounts.models import Account, Workspace
from tests.factories import NOW, fetch, make_account, make_workspace, reach_of
from usage import partitions
from usage.reports.question import Question
from usage.reports.run import ask
from usage.reports.sql import compile_question
from usage.rollups.fold import FOLD, fold_all
from usage.rollups.tables import HISTOGRAMS, ROLLUPS

FIRST, LAST = date(2026, 10, 1), date(2026, 11, 20)
BUSY = [date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)]
WORKSPACES, BATCHES_A_DAY, ROWS_A_BATCH = 6, 100, 15

LOG = """
INSERT INTO usage_requestlog (
    occurred_at, received_at, batch_id, workspace_id, project_id, api_key_id, member_id, model_id,
    provider_id, endpoint_id, input, cache_read, cache_write_5m, cache_write_1h, output, reasoning,
    latency_ms, time_to_first_token_ms, status, cost, request_id)
SELECT at, at, number, w.ids[1 + number %% cardinality(w.ids)], n %% 5, n, n, n %% 3,
    1, 1, 10, 0, 0, 0, 10, 0, 100 * n, 10 * n, 200, 0.01, number || '-' || n
FROM generate_series(%(first)s, %(last)s) AS number, generate_series(1, %(rows)s) AS n,
    (SELECT %(workspaces)s::int[] AS ids) w,
    LATERAL (SELECT %(day)s::timestamptz + n * interval '1 hour' AS at) t
"""

LEDGER = """
INSERT INTO usage_batch (workspace_id, batch_id, least_at, greatest_at, row_count)
SELECT workspace_id, batch_id, min(occurred_at), max(occurred_at), count(*)
FROM usage_requestlog WHERE batch_id >= %s GROUP BY workspace_id, batch_id
ON CONFLICT DO NOTHING
"""


@pytest.fixture
def busy(db) -> Account:
    """Fifty days of roll-ups, three of them with single requests, the last batches not folded."""
    account = make_account()
    workspaces = [make_workspace(account, f"w{n}").pk for n in range(WORKSPACES)]
    partitions.make_between(FIRST, LAST + timedelta(1))
    with connection.cursor() as cursor:
        for number, day in enumerate(BUSY):
            first = number * BATCHES_A_DAY
            cursor.execute(
                LOG,
                {
                    "workspaces": workspaces,
                    "first": first,
                    "last": first + BATCHES_A_DAY - 1,
                    "rows": ROWS_A_BATCH,
                    "day": datetime.combine(day, datetime.min.time(), tzinfo=UTC),
                },
            )
        cursor.execute(LEDGER, [0])
        fold_all()
        cursor.execute(LEDGER, [len(BUSY) * BATCHES_A_DAY - 4])
        for rollup in (*ROLLUPS, *HISTOGRAMS):
            copy_to_earlier_days(cursor, rollup)
        cursor.execute("ANALYZE")
    return account


def copy_to_earlier_days(cursor: Any, rollup: Any) -> None:
    cursor.execute(f"SELECT * FROM {rollup.table} LIMIT 0")
    columns = [column.name for column in cursor.description]
    earlier = [f"{c} - days * interval '1 day'" if c == rollup.grain else c for c in columns]
    cursor.execute(
        f"INSERT INTO {rollup.table} ({', '.join(columns)}) SELECT {', '.join(earlier)} "
        f"FROM {rollup.table}, generate_series(3, 45, 3) AS days"
    )


def plan_of(sql: str, parameters: dict[str, Any], *, run: bool = True) -> list[dict[str, Any]]:
    """The parts of the plan that were run."""
    options = "ANALYZE, TIMING OFF, FORMAT JSON" if run else "FORMAT JSON"
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN ({options}) {sql}", parameters)
        found = cursor.fetchone()[0]
    plan = json.loads(found) if isinstance(found, str) else found
    return [node for node in nodes(plan[0]["Plan"]) if node.get("Actual Loops", 1)]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(found: list[dict[str, Any]], prefix: str) -> dict[str, set[str]]:
    """Table -> the ways in which it is read: the indexes, or `Seq Scan`."""
    ways: dict[str, set[str]] = {}
    for node in found:
        # A bitmap of an index names just that; its table's name begins the index's.
        table = node.get("Relation Name") or node.get("Index Name", "")
        if table.startswith(prefix) and node["Node Type"] != "Bitmap Heap Scan":
            name = node.get("Index Name", node["Node Type"])
            ways.setdefault(next((t for t in TABLES if table.startswith(t)), table), set()).add(
                name
            )
    return ways


TABLES = [
    *(f"usage_requestlog_{day:%Y%m%d}" for day in BUSY),
    *(rollup.table for rollup in ROLLUPS if rollup.table != "usage_day"),
]


def asked(account: Account, *, workspaces: int, days: int, **fields: Any) -> Question:
    """By the last so many days, in the last so many workspaces."""
    every = Workspace.objects.select_related("account").filter(account=account)
    within = every.order_by("-pk")[:workspaces]
    end = LAST + timedelta(1)
    return Question(reach=reach_of(*within), start=end - timedelta(days), end=end, **fields)


def plan_of_question(question: Question) -> list[dict[str, Any]]:
    compiled = compile_question(question)
    return plan_of(compiled.sql, compiled.parameters)


def read_by(question: Question) -> dict[str, tuple[int, int]]:
    """Partition of the log -> scans of all of it, and rows found by an index, in one answer."""
    before = counters()
    ask(question, now=NOW)
    after = counters()
    found = {name: tuple(map(sub, after[name], before.get(name, (0, 0)))) for name in after}
    return {name: counts for name, counts in found.items() if any(counts)}


def counters() -> dict[str, tuple[int, int]]:
    rows = fetch(
        "SELECT relname, seq_scan, coalesce(idx_tup_fetch, 0) AS fetched "
        "FROM pg_stat_xact_user_tables WHERE relname LIKE 'usage_requestlog%'"
    )
    return {row["relname"]: (row["seq_scan"], row["fetched"]) for row in rows}


@pytest.mark.parametrize("workspaces", [1, WORKSPACES])
@pytest.mark.parametrize("metric", ["cost", "latency_ms_p95"])
def test_rows_that_are_not_folded_are_found_by_their_batches(busy, workspaces, metric):
    question = asked(busy, workspaces=workspaces, days=30, metrics=(metric,), group_by=("model",))

    read = read_by(question)

    # Just those rows, once, of the one day that has them.
    assert read == {"usage_requestlog_20261120": (0, min(workspaces, 4) * ROWS_A_BATCH)}


def test_where_all_is_folded_the_log_is_not_looked_at(busy):
    fold_all()

    assert read_by(asked(busy, workspaces=WORKSPACES, days=50, group_by=("model",))) == {}


@pytest.mark.parametrize(
    ("fields", "index"),
    [
        ({"group_by": ("model",)}, "usage_day_model_once"),
        ({"group_by": ("member",)}, "usage_day_member_once"),
        ({"granularity": "hour"}, "usage_hour_once"),
        ({"metrics": ("latency_ms_p95",)}, "usage_day_provider_latency_once"),
    ],
)
def test_one_workspaces_day_is_found_by_the_key(busy, fields, index):
    question = asked(busy, workspaces=1, days=1, **fields)

    rollups = scans(plan_of_question(question), index.removesuffix("_once"))

    assert set().union(*rollups.values()) == {index}


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        (date(2026, 11, 1), date(2026, 11, 21), ["202611"]),
        (date(2026, 10, 1), date(2026, 11, 1), ["202610"]),
        (date(2026, 10, 20), date(2026, 11, 5), ["202610", "202611"]),
    ],
)
def test_only_the_months_of_the_period_are_read(busy, start, end, months):
    reach = reach_of(*Workspace.objects.select_related("account"))
    question = Question(reach=reach, start=start, end=end, group_by=("api_key", "model"))

    found = plan_of_question(question)

    read = {node.get("Relation Name") for node in found if "Relation Name" in node}
    assert {name for name in read if name.startswith("usage_day")} == {
        f"usage_day_{month}" for month in months
    }


@pytest.mark.parametrize("granularity", ["none", "minute"])
def test_the_log_of_one_workspaces_day_is_read_by_workspace_and_time(busy, granularity):
    question = asked(busy, workspaces=1, days=1, group_by=("streamed",), granularity=granularity)

    log = scans(plan_of_question(question), "usage_requestlog")

    # The account's day may reach into the days of UTC beside it; their partitions hold no more.
    assert set(log) <= {f"usage_requestlog_{day:%Y%m%d}" for day in BUSY[1:]} | {
        name for name in log if name.startswith("usage_requestlog_20261121")
    }
    assert "Seq Scan" not in log["usage_requestlog_20261120"]


def test_a_fold_finds_its_rows_by_their_batches(busy):
    last = len(BUSY) * BATCHES_A_DAY
    day = datetime.combine(LAST, datetime.min.time(), tzinfo=UTC)

    found = plan_of(
        FOLD,
        {
            "batches": [last - 4, last - 3, last - 2],
            "least": day,
            "greatest": day + timedelta(hours=ROWS_A_BATCH),
        },
        run=False,
    )

    assert scans(found, "usage_requestlog") == {
        "usage_requestlog_20261120": {"usage_requestlog_20261120_batch_id_idx"}
    }
