"""Where a report's rows come from: a roll-up and what is not folded into it yet, or the log."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from usage.reports.catalogue import DIMENSIONS, METRICS, PERCENTILES, RAW_COLUMNS, Dimension
from usage.reports.question import Question
from usage.rollups.sizes import megabytes
from usage.rollups.tables import (
    DIMENSION_COLUMNS,
    HISTOGRAMS,
    LOCAL_DAY,
    LOCAL_HOUR,
    ROLLUPS,
    Histogram,
    Rollup,
)

# The rows that no roll-up has yet, as rows of the log.
UNFOLDED = "usage_unfolded(%(workspaces)s::int[])"

# The local day of an hour's row.
HOUR_DAY = "(r.hour AT TIME ZONE z.time_zone)::date"


def pick(question: Question) -> Rollup | None:
    """The smallest roll-up that covers the question; None where only the log itself does."""
    if any(METRICS[name].raw_only for name in question.metrics):
        return None
    if percentiles_of(question) and pick_histogram(question) is None:
        return None
    return smallest(question, ROLLUPS)


def pick_histogram(question: Question) -> Histogram | None:
    """The smallest histogram that covers the question's percentiles."""
    return smallest(question, HISTOGRAMS)


def smallest(question: Question, tables: Iterable[Any]) -> Any:
    dimensions = dimensions_of(question)
    if any(dimension.raw_only for dimension in dimensions):
        return None
    if not question.by_days or question.time_zone:
        return None
    grain = {"week": "day", "month": "day"}.get(question.granularity, question.granularity)
    needed = {column for dimension in dimensions for column in dimension.needs}
    return smallest_covering(tables, grain, needed)


def smallest_covering(tables: Iterable[Any], grain: str, needed: set[str]) -> Any:
    covering = [table for table in tables if table.covers(grain, needed)]
    if len(covering) < 2:
        return covering[0] if covering else None
    sizes = megabytes()
    return min(covering, key=lambda table: sizes[table.table])  # of equals the first


def percentiles_of(question: Question) -> list[str]:
    return [name for name in question.metrics if name in PERCENTILES]


def dimensions_of(question: Question) -> list[Dimension]:
    return [DIMENSIONS[name] for name in (*question.group_by, *question.filters)]


def parameters_of(question: Question) -> dict[str, Any]:
    return {
        "workspaces": question.reach.workspace_ids,
        "zones": [w.account.time_zone for w in question.reach.workspaces],
        "since": question.since,
        "start": question.start,
        "end": question.end,
        "zone": question.time_zone,
        "shift": shift_of(question),
    }


def shift_of(question: Question) -> str:
    """How far the period before is moved to lie over this one."""
    if question.moves_by_months:
        return f"{question.whole_months} months"
    if question.by_days:
        return f"{question.length.days} days"
    return f"{question.length.total_seconds():.6f} seconds"


def folded_rows(
    question: Question, table: Rollup, figures: Sequence[str], *, where: str = "true"
) -> str:
    """The table's rows in the period: what is grouped and filtered by, and the figures."""
    columns = [f"r.{name}" for name in wanted_columns(question) if name in DIMENSION_COLUMNS]
    if question.granularity != "none":
        columns.append(f"{folded_time(question, table)} AS {table.grain}")
    if question.compare:
        columns.append(f"{folded_is_earlier(table)} AS earlier")
    # Days are the account's already; hours are put into days by its zone.
    zone = " JOIN z USING (workspace_id)" if table.grain == "hour" else ""
    return f"""
    SELECT {", ".join(["r.workspace_id", *columns, *figures])}
    FROM {table.table} r{zone}
    WHERE r.workspace_id = ANY(%(workspaces)s) AND {folded_period(table)} AND {where}"""


def log_rows(
    question: Question,
    table: Rollup | None,
    figures: Sequence[str],
    *,
    join: str = "",
    where: str = "true",
) -> str:
    """The log's rows in the period, in the form of `folded_rows`: those that are not in the table
    yet; without a table all of them."""
    columns = [
        f"{RAW_COLUMNS.get(name, f'l.{name}')} AS {name}" for name in wanted_columns(question)
    ]
    if question.granularity != "none":
        columns.append(f"{log_time(question, table)} AS {table.grain if table else 'occurred_at'}")
        columns += [] if table else ["z.time_zone"]
    if question.compare:
        columns.append(f"{log_is_earlier(question)} AS earlier")
    return f"""
    SELECT {", ".join(["l.workspace_id", *columns, *figures])}
    FROM {"unfolded" if table else "usage_requestlog"} l JOIN z USING (workspace_id){join}
    WHERE {log_period(question, table)} AND {where}"""


def wanted_columns(question: Question) -> list[str]:
    """The columns that the question groups or filters by, beside the workspace and the time."""
    dimensions = dimensions_of(question)
    needed = {column for dimension in dimensions for column in dimension.needs}
    wanted = [column for column in DIMENSION_COLUMNS if column in needed]
    return wanted + sorted({d.name for d in dimensions if d.raw_only})


def folded_period(table: Rollup) -> str:
    if table.grain == "day":
        return "r.day >= %(since)s AND r.day < %(end)s"
    return f"""r.hour >= %(since)s::timestamptz - interval '15 hours'
        AND r.hour < %(end)s::timestamptz + interval '15 hours'
        AND {HOUR_DAY} >= %(since)s AND {HOUR_DAY} < %(end)s"""


def log_period(question: Question, table: Rollup | None) -> str:
    if not question.by_days or question.time_zone:
        return f"""l.workspace_id = ANY(%(workspaces)s)
        AND l.occurred_at >= {edge(question, "since")}
        AND l.occurred_at < {edge(question, "end")}"""
    within = "l.occurred_at >= z.since AND l.occurred_at < z.until"
    if table:
        return within
    # What finds the partitions and the index; the account's own midnights then decide.
    return f"""l.workspace_id = ANY(%(workspaces)s)
        AND l.occurred_at >= %(since)s::timestamptz - interval '15 hours'
        AND l.occurred_at < %(end)s::timestamptz + interval '15 hours' AND {within}"""


def edge(question: Question, name: str) -> str:
    """The moment of one of the period's edges, where no account's own days decide."""
    return midnight(f"%({name})s", "%(zone)s") if question.by_days else f"%({name})s"


def workspaces(question: Question) -> str:
    """The workspaces that are asked about, and when the period is in each: looking up a zone costs
    more than anything else that is done for a row, so it is done once for each of them."""
    columns = ["workspace_id", "time_zone"]
    if question.by_days and not question.time_zone:
        edges = {"since": "since", "start": "start", "end": "until"}
        columns += [
            f"{midnight(f'%({day})s', 'time_zone')} AS {name}" for day, name in edges.items()
        ]
    return f"""
    SELECT {", ".join(columns)}
    FROM unnest(%(workspaces)s::int[], %(zones)s::text[]) AS w(workspace_id, time_zone)"""


def midnight(day: str, zone: str) -> str:
    """When a day begins in a zone. Where clocks go back over midnight, which they then show twice,
    PostgreSQL takes the second."""
    moment = f"({day}::timestamp AT TIME ZONE {zone})"
    before = f"({moment} - interval '1 hour')"
    return f"CASE WHEN ({before} AT TIME ZONE {zone})::date < {day} THEN {moment} ELSE {before} END"


def folded_is_earlier(table: Rollup) -> str:
    return f"{'r.day' if table.grain == 'day' else HOUR_DAY} < %(start)s"


def log_is_earlier(question: Question) -> str:
    if question.by_days and not question.time_zone:
        return "l.occurred_at < z.start"
    return f"l.occurred_at < {edge(question, 'start')}"


def folded_time(question: Question, table: Rollup) -> str:
    """When a row is of, where rows of the period before are moved over this one."""
    is_earlier = folded_is_earlier(table) if question.compare else None
    if table.grain == "day":
        return moved("r.day", is_earlier, "(r.day + %(shift)s::interval)::date")
    return moved("r.hour", is_earlier, on_the_wall("r.hour", "z.time_zone"))


def log_time(question: Question, table: Rollup | None) -> str:
    is_earlier = log_is_earlier(question) if question.compare else None
    if table and table.grain == "day":
        return moved(LOCAL_DAY, is_earlier, f"({LOCAL_DAY} + %(shift)s::interval)::date")
    if table:
        return moved(LOCAL_HOUR, is_earlier, on_the_wall(LOCAL_HOUR, "z.time_zone"))
    zone = "%(zone)s" if question.time_zone else "z.time_zone"
    later = on_the_wall("l.occurred_at", zone)
    if isinstance(question.start, datetime):
        later = "l.occurred_at + %(shift)s::interval"
    return moved("l.occurred_at", is_earlier, later)


def moved(time: str, is_earlier: str | None, later: str) -> str:
    return f"CASE WHEN {is_earlier} THEN {later} ELSE {time} END" if is_earlier else time


def on_the_wall(moment: str, zone: str) -> str:
    """The moment so many days later at which clocks in the zone show the same."""
    return f"(({moment} AT TIME ZONE {zone}) + %(shift)s::interval) AT TIME ZONE {zone}"
