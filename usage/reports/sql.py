"""A question compiled to one SQL statement over a roll-up and the rows not yet folded into it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from usage.reports.catalogue import (
    DIMENSIONS,
    METRICS,
    PERCENTILES,
    RAW_COLUMNS,
    Dimension,
)
from usage.reports.question import MAX_ROWS, Question
from usage.rollups.tables import DIMENSION_COLUMNS, LOCAL_DAY, LOCAL_HOUR, MEASURES, ROLLUPS, Rollup

# = ANY(ARRAY(...)) and not IN: the planner then looks the few batches up by their index.
UNFOLDED = """l.batch_id = ANY(ARRAY(
            SELECT batch_id FROM usage_batch WHERE workspace_id = ANY(%(workspaces)s)))
        AND l.occurred_at >= (
            SELECT min(least_at) FROM usage_batch WHERE workspace_id = ANY(%(workspaces)s))
        AND l.occurred_at <= (
            SELECT max(greatest_at) FROM usage_batch WHERE workspace_id = ANY(%(workspaces)s))"""

WORD = re.compile(r"[a-z_0-9]+")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The statement, its parameters, and where it reads (`source` is a table's name)."""

    sql: str
    parameters: dict[str, Any]
    source: str


def compile_question(question: Question, *, source: Rollup | None = None) -> Compiled:
    """The statement that answers the question, from the smallest table that can.

    Its rows are (kind, rows in all, time, id/key/name of each dimension, each metric) where kind
    is row, other or total. `source` forces a roll-up (to compare them with each other).
    """
    rollup = source or pick(question)
    parameters: dict[str, Any] = {
        "workspaces": question.reach.workspace_ids,
        "zones": [w.account.time_zone for w in question.reach.workspaces],
        "start": question.start,
        "end": question.end,
        "zone": question.time_zone,
        "limit": question.limit or MAX_ROWS,
    }
    keys = group_keys(question)
    sql = f"""
WITH z(workspace_id, time_zone) AS (SELECT * FROM unnest(%(workspaces)s::int[], %(zones)s::text[])),
u AS ({source_rows(question, rollup)}
), grouped AS (
    SELECT {listed([f"{sql} AS {name}" for name, sql in keys.items()])}
        {is_total(keys)} AS is_total,
        {", ".join(sums(question))}
    FROM u{client_join(question)}
    WHERE {" AND ".join(conditions(question, parameters))}
    GROUP BY {grouping_sets(keys)}
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY {", ".join(ordering(question, keys))}) AS place
    FROM grouped WHERE NOT is_total
), rest AS (
    SELECT {", ".join(added(question))} FROM ranked WHERE place > %(limit)s HAVING count(*) > 0
), shown AS (
    SELECT 'row' AS kind, place, {listed(keys)} {figures(question)}
    FROM ranked WHERE place <= %(limit)s
    UNION ALL
    SELECT 'other', 0, {listed("NULL" for _ in keys)} {figures(question)} FROM rest
    UNION ALL
    SELECT 'total', 0, {listed("NULL" for _ in keys)} {figures(question)}
    FROM grouped WHERE is_total
)
SELECT s.kind, (SELECT count(*) FROM ranked), {", ".join(columns(question))}
FROM shown s{label_joins(question)}
ORDER BY s.kind <> 'row', s.place"""
    return Compiled(sql, parameters, rollup.table if rollup else "usage_requestlog")


def pick(question: Question) -> Rollup | None:
    """The smallest roll-up that covers the question; None where only the log itself does."""
    dimensions = [DIMENSIONS[name] for name in (*question.group_by, *question.filters)]
    if any(dimension.raw_only for dimension in dimensions):
        return None
    if any(METRICS[name].raw_only for name in question.metrics):
        return None
    if not question.by_days or question.time_zone:
        return None
    grain = {"week": "day", "month": "day"}.get(question.granularity, question.granularity)
    needed = {column for dimension in dimensions for column in dimension.needs}
    return next((rollup for rollup in ROLLUPS if rollup.covers(grain, needed)), None)


def source_rows(question: Question, rollup: Rollup | None) -> str:
    """Rows of sums in the period: of the roll-up and of what it has not got yet, or of the log."""
    wanted = wanted_columns(question, rollup)
    log = f"""
    SELECT l.workspace_id, {listed(log_columns(wanted))} {", ".join(log_measures(question))}
    FROM usage_requestlog l JOIN z USING (workspace_id)
    WHERE {log_period(question)}"""
    if rollup is None:
        return log
    return f"""
    SELECT r.workspace_id, {listed(f"r.{name}" for name in wanted)}
        {", ".join(f"r.{name}" for name in needed_measures(question))}
    FROM {rollup.table} r JOIN z USING (workspace_id)
    WHERE r.workspace_id = ANY(%(workspaces)s) AND {rollup_period(rollup)}
    UNION ALL{log} AND {UNFOLDED}"""


def wanted_columns(question: Question, rollup: Rollup | None) -> list[str]:
    """The columns beside the measures that the question groups or filters by."""
    dimensions = [DIMENSIONS[name] for name in (*question.group_by, *question.filters)]
    needed = {column for dimension in dimensions for column in dimension.needs}
    wanted = [column for column in DIMENSION_COLUMNS if column in needed]
    wanted += sorted({d.name for d in dimensions if d.raw_only})
    if question.granularity != "none":
        wanted.append(rollup.grain if rollup else "occurred_at")
    if rollup is None and question.granularity != "none":
        wanted.append("time_zone")
    return wanted


def log_columns(wanted: Iterable[str]) -> list[str]:
    expressions = {"day": LOCAL_DAY, "hour": LOCAL_HOUR, "time_zone": "z.time_zone"} | RAW_COLUMNS
    return [f"{expressions.get(name, f'l.{name}')} AS {name}" for name in wanted]


def log_measures(question: Question) -> list[str]:
    rows = [f"{MEASURES[name]} AS {name}" for name in needed_measures(question)]
    raw = sorted({PERCENTILES[m][0] for m in question.metrics if m in PERCENTILES})
    return rows + [f"l.{column} AS one_{column}" for column in raw]


def log_period(question: Question) -> str:
    if question.by_days and not question.time_zone:
        # The first two find the partitions and the index; the account's zone then decides.
        return f"""l.workspace_id = ANY(%(workspaces)s)
        AND l.occurred_at >= %(start)s::timestamptz - interval '15 hours'
        AND l.occurred_at < %(end)s::timestamptz + interval '15 hours'
        AND {LOCAL_DAY} >= %(start)s AND {LOCAL_DAY} < %(end)s"""
    edges = ["%(start)s", "%(end)s"]
    if question.by_days:
        edges = [f"({edge}::timestamp AT TIME ZONE %(zone)s)" for edge in edges]
    return f"""l.workspace_id = ANY(%(workspaces)s)
        AND l.occurred_at >= {edges[0]} AND l.occurred_at < {edges[1]}"""


def rollup_period(rollup: Rollup) -> str:
    if rollup.grain == "day":
        return "r.day >= %(start)s AND r.day < %(end)s"
    return """r.hour >= %(start)s::timestamptz - interval '15 hours'
        AND r.hour < %(end)s::timestamptz + interval '15 hours'
        AND (r.hour AT TIME ZONE z.time_zone)::date >= %(start)s
        AND (r.hour AT TIME ZONE z.time_zone)::date < %(end)s"""


def group_keys(question: Question) -> dict[str, str]:
    """Name in the statement -> expression over `u`, for the time and each dimension."""
    keys = {"bucket": bucket(question)} if question.granularity != "none" else {}
    return keys | {f"g{i}": DIMENSIONS[name].column for i, name in enumerate(question.group_by)}


def bucket(question: Question) -> str:
    """When a row's bucket begins: a day, or for hours a moment."""
    grain = question.granularity
    if pick(question) is not None:
        return {"day": "u.day", "hour": "u.hour"}.get(grain, f"date_trunc('{grain}', u.day)::date")
    zone = "%(zone)s::text" if question.time_zone else "u.time_zone"
    if grain == "hour":
        return f"date_trunc('hour', u.occurred_at, {zone})"
    return f"date_trunc('{grain}', u.occurred_at AT TIME ZONE {zone})::date"


def grouping_sets(keys: dict[str, str]) -> str:
    """The groups and their total; grouped by nothing, the total alone."""
    return f"GROUPING SETS (({', '.join(keys.values())}), ())" if keys else "()"


def is_total(keys: dict[str, str]) -> str:
    return f"grouping({', '.join(keys.values())}) = {2 ** len(keys) - 1}" if keys else "true"


def needed_measures(question: Question) -> list[str]:
    used = {word for name in question.metrics for word in WORD.findall(METRICS[name].formula)}
    return [name for name in MEASURES if name in used] or ["requests"]


def sums(question: Question) -> list[str]:
    percentiles = [
        f"percentile_cont({PERCENTILES[name][1] / 100}) WITHIN GROUP "
        f"(ORDER BY u.one_{PERCENTILES[name][0]})::numeric AS {name}"
        for name in question.metrics
        if name in PERCENTILES
    ]
    return [
        f"coalesce(sum(u.{name}), 0) AS {name}" for name in needed_measures(question)
    ] + percentiles


def added(question: Question) -> list[str]:
    """The measures of the rows past the limit; percentiles cannot be added."""
    return [f"sum({name}) AS {name}" for name in needed_measures(question)] + [
        f"NULL::numeric AS {name}" for name in question.metrics if name in PERCENTILES
    ]


def figures(question: Question) -> str:
    return ", ".join(
        f"({METRICS[name].formula}) AS m{i}" for i, name in enumerate(question.metrics)
    )


def conditions(question: Question, parameters: dict[str, Any]) -> list[str]:
    found = ["true"]
    for name, wanted in question.filters.items():
        dimension = DIMENSIONS[name]
        parameters[f"{name}_keys"] = list(wanted.keys)
        parameters[f"{name}_ids"] = list(wanted.ids)
        ways = [f"{dimension.column} IS NULL"] if wanted.none else []
        if wanted.keys or wanted.ids:
            ways.append(matches(dimension))
        found.append(f"({' OR '.join(ways)})")
    return found


def matches(dimension: Dimension) -> str:
    keys, ids = f"%({dimension.name}_keys)s", f"%({dimension.name}_ids)s"
    if dimension.table is None:
        return f"{dimension.column} = ANY({keys})"
    return f"""{dimension.column} = ANY(ARRAY(
            SELECT id FROM {dimension.table} d
            WHERE d.{dimension.key} = ANY({keys}::text[]) OR d.id = ANY({ids}::int[])))"""


def client_join(question: Question) -> str:
    if "client" not in (*question.group_by, *question.filters):
        return ""
    return """
    LEFT JOIN (SELECT id AS of_project, client_id FROM accounts_project) c
        ON c.of_project = u.project_id"""


def ordering(question: Question, keys: dict[str, str]) -> list[str]:
    names = question.order or default_order(question)
    terms = [
        f"{sortable(question, name.removeprefix('-'))} "
        f"{'DESC' if name.startswith('-') else 'ASC'} NULLS LAST"
        for name in names
    ]
    return [*terms, *keys] or ["1"]


def default_order(question: Question) -> tuple[str, ...]:
    first = f"-{question.metrics[0]}"
    return (first,) if question.granularity == "none" else (question.granularity, first)


def sortable(question: Question, name: str) -> str:
    if name == question.granularity:
        return "bucket"
    if name in question.group_by:
        dimension, key = DIMENSIONS[name], f"g{question.group_by.index(name)}"
        if dimension.table is None:
            return key
        return f"(SELECT d.{dimension.key} FROM {dimension.table} d WHERE d.id = {key})"
    return f"({METRICS[name].formula})"


def columns(question: Question) -> list[str]:
    found = ["s.bucket"] if question.granularity != "none" else []
    for i, name in enumerate(question.group_by):
        dimension = DIMENSIONS[name]
        found.append(f"s.g{i}")
        if dimension.table:
            found.append(f"d{i}.{dimension.key}")
        if dimension.label:
            found.append(re.sub(r"\bd\.", f"d{i}.", qualified(dimension.label)))
    return found + [f"s.m{i}" for i in range(len(question.metrics))]


def qualified(label: str) -> str:
    return label if "d." in label else f"d.{label}"


def label_joins(question: Question) -> str:
    return "".join(
        f"\n    LEFT JOIN {DIMENSIONS[name].table} d{i} ON d{i}.id = s.g{i}"
        for i, name in enumerate(question.group_by)
        if DIMENSIONS[name].table
    )


def listed(items: Iterable[str]) -> str:
    """Items of a SELECT list that more follow."""
    return "".join(f"{item}, " for item in items)
