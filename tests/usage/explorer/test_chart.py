"""What is drawn is what the table says, and what does not add up is not stacked."""

from decimal import Decimal

import pytest
from django.http import QueryDict

from tests.factories import NOW, native, post, reach_of, small_price_book
from usage.explorer.chart import chart_of
from usage.explorer.grid import lay_out
from usage.explorer.reading import explore
from usage.explorer.table import table_of


@pytest.fixture
def recorded(account, workspace):
    """Twelve projects on two days, each with one more token than the one before."""
    small_price_book()
    rows = [
        native(
            workspace="research",
            project=f"p{number:02}",
            input_tokens=1000 + number,
            status=500 if number % 2 else 200,
            occurred_at=f"2026-11-{19 + number % 2}T10:00:00Z",
        )
        for number in range(12)
    ]
    post(account, *rows)
    return reach_of(workspace)


def drawn(reach, text):
    exploration = explore(QueryDict(f"from=2026-11-14&to=2026-11-21&{text}"), reach, now=NOW)
    assert exploration.problems == {}
    grid = lay_out(exploration, now=NOW)
    return chart_of(grid), table_of(grid), grid


def test_series_come_to_the_totals_of_the_report(recorded):
    chart, _, grid = drawn(recorded, "metrics=cost&group_by=project&columns=time&limit=50")

    assert [series["kind"] for series in chart["series"]] == ["value"] * 10 + ["other"]
    assert chart["labels"] == [f"Nov {day}" for day in range(14, 21)]
    total = sum(sum(series["values"]) for series in chart["series"])
    assert total == pytest.approx(float(grid.total.figures[0]["cost"]))
    assert sum(series["total_value"] for series in chart["series"]) == pytest.approx(total)


@pytest.mark.parametrize(
    "text",
    [
        "metrics=cost,requests&metric=requests&group_by=project&columns=time",
        "metrics=requests&group_by=project&chart=bar",
        "metrics=requests&group_by=project,model&columns=project",
        "metrics=requests&granularity=day",
        "metrics=requests&granularity=day&group_by=project",
    ],
)
def test_points_are_cells_of_the_table(recorded, text):
    chart, table, _ = drawn(recorded, text)

    for series in chart["series"]:
        for text, place in zip(series["texts"], series["cells"], strict=True):
            if place and text:
                row = table.rows[place[0]]
                assert [*row.names, *row.cells][place[1]].text == text


def test_a_rate_is_not_stacked(recorded):
    chart, _, _ = drawn(recorded, "metrics=error_rate&group_by=project&columns=time&chart=area")

    assert chart["type"] == "line"
    assert "does not add up" in chart["note"]
    assert chart["totals"] == []


def test_without_requests_a_rate_is_a_gap_and_a_count_is_nothing(recorded):
    rate, _, _ = drawn(recorded, "metrics=error_rate&columns=time")
    count, _, _ = drawn(recorded, "metrics=requests&columns=time")

    assert rate["series"][0]["values"][:5] == [None] * 5
    assert count["series"][0]["values"] == [0, 0, 0, 0, 0, 6, 6]


def test_the_period_before_is_a_series_of_its_own(recorded):
    chart, _, _ = drawn(
        recorded, "from=2026-11-20&to=2026-11-21&metrics=requests&columns=time&granularity=day"
        "&compare=previous"
    )  # fmt: skip

    assert [(series["kind"], series["values"]) for series in chart["series"]] == [
        ("value", [6]),
        ("before", [6]),
    ]


def test_a_heat_map_shades_the_table_by_rank(recorded):
    chart, table, _ = drawn(recorded, "metrics=cost&group_by=project&chart=heat&limit=5")

    assert chart is None
    heats = [row.cells[0].heat for row in table.rows]
    assert heats[:5] == sorted(heats[:5], reverse=True)
    assert heats[0] == 8
    assert heats[5:] == [0, 0]  # the others and the total are of another size
    assert table.rows[0].cells[0].exact == f"${Decimal('0.0025275') + Decimal('0.001')}"


def test_all_others_are_drawn_only_as_a_part_of_a_whole(recorded):
    asked = "metrics=requests&group_by=project&limit=3"
    over_time, by_rows = f"{asked}&columns=time", asked

    drawn_as = {
        (layout, chart): drawn(recorded, f"{text}&chart={chart}")[0]
        for layout, text in (("time", over_time), ("rows", by_rows))
        for chart in ("stacked", "line", "bar", "doughnut")
    }

    kinds = {key: [s["kind"] for s in chart["series"]][-1] for key, chart in drawn_as.items()}
    assert {key for key, kind in kinds.items() if kind == "other"} == {
        ("time", "stacked"),
        ("time", "doughnut"),
    }
    assert drawn_as["rows", "doughnut"]["titles"][-1] == "9 others"
    assert drawn_as["rows", "doughnut"]["others_at"] == 3
    assert {
        key for key, chart in drawn_as.items() if "9 others are not drawn" in chart["note"]
    } == {
        ("time", "line"),
        ("time", "bar"),
        ("rows", "stacked"),
        ("rows", "line"),
        ("rows", "bar"),
    }
