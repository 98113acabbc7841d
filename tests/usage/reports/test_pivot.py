"""A question spread over a table: every figure is the one that its own question answers."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tests.factories import NOW, native, post, reach_of
from tests.usage import traffic
from usage.reports.pivot import OTHER, Spread, ask_pivot, column_key
from usage.reports.question import BadQuestion, Filter, Question, figure_names
from usage.reports.run import ask
from usage.rollups.fold import fold

DAYS = [date(2026, 11, 14), date(2026, 11, 15), date(2026, 11, 16)]
METRICS = ("cost", "requests", "error_rate", "cost_per_request", "latency_ms_p95")


@pytest.fixture
def recorded(account, workspace):
    traffic.record(account, traffic.rows(300, days=DAYS))
    fold(rows_at_once=150)
    return workspace.account


def question_of(account, **more):
    workspaces = list(account.workspaces.select_related("account"))
    period = {"start": DAYS[0], "end": DAYS[-1] + timedelta(1)}
    return Question(reach=reach_of(*workspaces), **(period | {"metrics": METRICS} | more))


def figures(question, row):
    return {name: row[name] for name in figure_names(question.metrics, question.compare)}


def identity(row, axes):
    return tuple(row.get(f"{axis}_id", row.get(axis)) for axis in axes)


@pytest.mark.parametrize(
    ("granularity", "group_by", "axis"),
    [
        ("day", ("model",), "day"),
        ("day", ("model",), "model"),
        ("none", ("project", "member", "model"), "model"),
        ("hour", ("status_class",), "hour"),
        ("week", (), "week"),
        ("none", ("error_type", "provider"), "error_type"),
    ],
)
@pytest.mark.parametrize("compare", [None, "previous"])
def test_every_figure_is_that_of_its_own_question(recorded, granularity, group_by, axis, compare):
    asked = question_of(recorded, granularity=granularity, group_by=group_by, compare=compare)
    pivot = ask_pivot(asked, Spread(axis), now=NOW)
    axes = [name for name in (granularity, *group_by) if name not in ("none", axis)]

    cells = {
        identity(pivot.rows[row], axes) + identity(pivot.columns[column], [axis]): cell
        for (row, column), cell in pivot.cells.items()
    }

    report = ask(asked, now=NOW)
    assert cells == {identity(row, [*axes, axis]): figures(asked, row) for row in report.rows}
    assert pivot.totals == report.totals
    assert len(cells) > 1


def test_rows_and_columns_have_their_own_totals(recorded):
    asked = question_of(recorded, granularity="day", group_by=("model",))
    pivot = ask_pivot(asked, Spread("day"), now=NOW)

    of_models = ask(replace(asked, granularity="none"), now=NOW)
    of_days = ask(replace(asked, group_by=()), now=NOW)

    assert [figures(asked, row) for row in pivot.rows.values()] == [
        figures(asked, row) for row in of_models.rows
    ]
    assert [row["model"] for row in pivot.rows.values()] == [r["model"] for r in of_models.rows]
    assert list(pivot.columns.values()) == [
        {**dict.fromkeys(("model_id", "model")), **row} for row in of_days.rows
    ]


def test_all_others_are_what_their_requests_together_are(recorded):
    """A rate is neither added up nor averaged, and a percentile of all others stays unknown."""
    asked = question_of(recorded, granularity="day", group_by=("endpoint",))
    pivot = ask_pivot(asked, Spread("day", rows=1), now=NOW)
    limited = ask(replace(asked, granularity="none", limit=1), now=NOW)
    every = ask(replace(asked, granularity="none"), now=NOW).rows
    ids = {row["endpoint_id"] for row in every} - {limited.rows[0]["endpoint_id"]}
    rest = Filter(ids=tuple(i for i in ids if i), none=None in ids)
    of_rest = ask(replace(asked, group_by=(), filters={"endpoint": rest}), now=NOW)

    assert figures(replace(asked, metrics=METRICS[:-1]), pivot.rows[OTHER]) == {
        name: limited.other[name] for name in METRICS[:-1]
    }
    assert pivot.rows[OTHER].get("latency_ms_p95") is None
    for day in of_rest.rows:
        place = next(p for p, column in pivot.columns.items() if column["day"] == day["day"])
        assert pivot.cells[OTHER, place] == {name: day[name] for name in METRICS[:-1]}


def test_rows_can_be_ordered_by_any_column(recorded):
    asked = question_of(recorded, granularity="day", group_by=("model",), order=("-requests",))
    day = {"day": DAYS[1]}

    pivot = ask_pivot(asked, Spread("day", by=column_key("day", day)), now=NOW)

    place = next(p for p, column in pivot.columns.items() if column["day"] == DAYS[1])
    counts = [pivot.cells.get((row, place), {"requests": 0})["requests"] for row in pivot.rows]
    assert counts == sorted(counts, reverse=True)


def test_columns_past_the_limit_are_one(recorded):
    asked = question_of(recorded, group_by=("workspace", "endpoint"), metrics=("requests",))

    pivot = ask_pivot(asked, Spread("endpoint", columns=1), now=NOW)

    assert sorted(pivot.columns) == [OTHER, 1]
    assert pivot.column_count == 3
    assert sum(c["requests"] for c in pivot.columns.values()) == pivot.totals["requests"]


@pytest.mark.parametrize("by", ["yesterday", "2026-11-14T00:00:00Z", "7"])
def test_a_column_that_cannot_be_is_refused(recorded, by):
    asked = question_of(recorded, granularity="day", group_by=("model",))

    with pytest.raises(BadQuestion, match=by):
        ask_pivot(asked, Spread("day", by=by), now=NOW)


def test_nothing_recorded_is_an_empty_table(workspace):
    asked = question_of(workspace.account, granularity="day", group_by=("model",))

    pivot = ask_pivot(asked, Spread("day"), now=NOW)

    assert (pivot.rows, pivot.columns, pivot.cells) == ({}, {}, {})
    assert pivot.totals["requests"] == 0


def test_a_project_of_nobody_stands_beside_others(account, workspace):
    post(account, native(workspace="research"), native(workspace="research", project="web"))
    asked = question_of(account, group_by=("project", "model"), metrics=("requests",))
    asked = replace(asked, end=date(2026, 11, 21))

    pivot = ask_pivot(asked, Spread("model"), now=NOW)

    assert {row["project"] for row in pivot.rows.values()} == {None, "web"}
