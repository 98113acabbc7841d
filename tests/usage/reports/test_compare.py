"""The period before, beside each figure: what asking twice would say, of one state."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.factories import NOW, make_account, native, post, small_price_book
from tests.usage import traffic
from tests.usage.reports.questions import answer_to, question
from usage.reports.question import Question
from usage.reports.run import as_json, ask
from usage.rollups.fold import fold, fold_all

# Some in the week of the 9th, some in the week of the 16th, and one day before both.
DAYS = [date(2026, 11, day) for day in (8, 9, 11, 12, 15, 16, 17, 18, 20)]
WEEK = {"start": date(2026, 11, 16), "end": date(2026, 11, 23)}
TWICE = [name for metric in traffic.METRICS for name in (metric, f"{metric}_previous")]


def keyed(asked: Question, *, shift: timedelta = timedelta(0)) -> dict[Any, dict[str, Any]]:
    rows = ask(asked, now=NOW).rows
    return {
        (
            row[asked.granularity] + shift if asked.granularity != "none" else None,
            *traffic.ids(row, asked.group_by),
        ): row
        for row in rows
    }


def expected(asked: Question, *, shift: timedelta) -> dict[Any, list[Any]]:
    """By asking twice and laying the answers side by side."""
    now, before = keyed(asked), keyed(asked.before(), shift=shift)
    nothing = dict(zip(traffic.METRICS, traffic.figures([]), strict=True))
    return {
        key: [
            row[name]
            for name in traffic.METRICS
            for row in (now.get(key, nothing), before.get(key, nothing))
        ]
        for key in now | before
    }


def found(asked: Question) -> dict[Any, list[Any]]:
    return {key: [row[name] for name in TWICE] for key, row in keyed(asked).items()}


@pytest.mark.parametrize("unfolded", ["all", "half", "none"])
@pytest.mark.parametrize("names", [(), ("model",), ("member", "client"), ("streamed",)])
def test_a_comparison_says_what_two_questions_say(account, names, unfolded):
    traffic.record(account, traffic.rows(150, days=DAYS))
    {"all": lambda: 0, "half": lambda: fold(rows_at_once=100), "none": fold_all}[unfolded]()

    for granularity in ("none", "day", "hour"):
        asked = question(account, **WEEK, group_by=names, granularity=granularity)
        compared = replace(asked, compare="previous")

        assert found(compared) == (expected(asked, shift=timedelta(7)) if asked.is_grouped else {})


def test_totals_are_those_of_both_periods(account):
    traffic.record(account, traffic.rows(150, days=DAYS))
    for _ in range(2):
        asked = question(account, **WEEK, group_by=("model",))
        now, before = ask(asked, now=NOW).totals, ask(asked.before(), now=NOW).totals

        totals = ask(replace(asked, compare="previous", limit=1), now=NOW).totals

        assert {name: totals[name] for name in traffic.METRICS} == now
        assert {name: totals[f"{name}_previous"] for name in traffic.METRICS} == before
        assert before["requests"] > 0
        fold_all()


def test_a_change_is_the_difference_as_a_part_of_what_was(account):
    small_price_book()
    week_before = (NOW - timedelta(7)).isoformat()
    post(account, *(native(occurred_at=week_before) for _ in range(4)), native())

    totals = answer_to(account, **WEEK, metrics=("requests", "cost"), compare="previous").totals

    assert totals == {
        "requests": 1,
        "requests_previous": 4,
        "requests_change": Decimal("-0.75"),
        "cost": Decimal("0.0035"),
        "cost_previous": Decimal("0.014"),
        "cost_change": Decimal("-0.75"),
    }


@pytest.mark.parametrize(
    ("now", "before", "change"),
    [("gpt-4o", "new", None), ("new", "gpt-4o", None), ("x", "x", None)],
)
def test_a_change_from_or_to_the_unknown_is_unknown(account, now, before, change):
    small_price_book()
    week_before = (NOW - timedelta(7)).isoformat()
    post(account, native(model=now), native(model=before, occurred_at=week_before))

    totals = answer_to(account, **WEEK, metrics=("cost", "errors"), compare="previous").totals

    assert totals["cost_change"] is change
    assert (totals["errors_previous"], totals["errors_change"]) == (0, None)  # no part of nothing


def test_what_was_and_is_no_more_has_a_row(account):
    week_before = (NOW - timedelta(7)).isoformat()
    post(account, native(model="gone", occurred_at=week_before), native())

    rows = answer_to(
        account, **WEEK, metrics=("requests",), group_by=("model",), compare="previous"
    ).rows

    assert [tuple(row.values())[1:] for row in rows] == [
        ("gpt-4o", 1, 0, None),
        ("gone", 0, 1, -1),
    ]


def test_other_and_order_have_the_comparison_too(account):
    week_before = (NOW - timedelta(7)).isoformat()
    for n in range(1, 4):
        post(account, *(native(member=f"m{n}") for _ in range(n)))
        post(account, *(native(member=f"m{n}", occurred_at=week_before) for _ in range(4 - n)))

    report = answer_to(
        account,
        **WEEK,
        metrics=("requests",),
        group_by=("member",),
        compare="previous",
        order=("requests_change",),
        limit=1,
    )

    assert [(row["member"], row["requests_change"]) for row in report.rows] == [
        ("m1", Decimal("-0.6666666667"))
    ]
    assert report.other == {
        "requests": 5,
        "requests_previous": 3,
        "requests_change": Decimal("0.6666666667"),
    }


def test_whole_months_are_laid_over_each_other(account):
    for day in ("2026-08-01", "2026-08-31", "2026-09-30", "2026-10-01", "2026-10-31", "2026-11-20"):
        post(account, native(occurred_at=f"{day}T09:00:00Z"))
    for _ in range(2):
        rows = answer_to(
            account,
            start=date(2026, 10, 1),
            end=date(2026, 12, 1),
            granularity="month",
            metrics=("requests",),
            compare="previous",
        ).rows
        assert [tuple(row.values())[:3] for row in rows] == [
            (date(2026, 10, 1), 2, 2),
            (date(2026, 11, 1), 1, 1),
        ]
        fold_all()


def test_hours_are_compared_by_the_clock_on_the_wall(db):
    """The 25th has 25 hours in Berlin, the 24th had 24: three in the afternoon stays three."""
    berlin = make_account(time_zone="Europe/Berlin")
    for moment in ("2026-10-24T13:30:00Z", "2026-10-25T14:30:00Z"):
        post(berlin, native(occurred_at=moment))
    for names in ((), ("streamed",)):
        (row,) = answer_to(
            berlin,
            start=date(2026, 10, 25),
            end=date(2026, 10, 26),
            granularity="hour",
            group_by=names,
            metrics=("requests",),
            compare="previous",
        ).rows
        assert row["hour"] == datetime(2026, 10, 25, 14, tzinfo=UTC)
        assert (row["requests"], row["requests_previous"]) == (1, 1)
        fold_all()


def test_moments_are_compared_by_time_passed(account):
    for minutes in (1, 59, 61, 121):
        post(account, native(occurred_at=(NOW - timedelta(minutes=minutes)).isoformat()))

    report = answer_to(
        account,
        start=NOW - timedelta(hours=1),
        end=NOW,
        granularity="minute",
        metrics=("requests",),
        compare="previous",
    )

    assert [tuple(row.values())[:3] for row in report.rows] == [
        (NOW - timedelta(minutes=59), 1, 0),
        (NOW - timedelta(minutes=1), 1, 1),
    ]
    assert report.totals["requests_previous"] == 1


def test_a_comparison_is_one_statement(account, django_assert_num_queries):
    asked = question(account, **WEEK, group_by=("model",), compare="previous")

    with django_assert_num_queries(1):
        ask(asked, now=NOW)


def test_the_answer_has_stable_columns_and_says_what_it_compared(account):
    found = as_json(answer_to(account, **WEEK, metrics=("requests", "cost"), compare="previous"))

    assert [(c["name"], c["type"], c["unit"]) for c in found["columns"]] == [
        ("requests", "integer", "requests"),
        ("requests_previous", "integer", "requests"),
        ("requests_change", "decimal", "ratio"),
        ("cost", "decimal", "USD"),
        ("cost_previous", "decimal", "USD"),
        ("cost_change", "decimal", "ratio"),
    ]
    assert found["query"]["previous"] == {"from": "2026-11-09", "to": "2026-11-16"}


def test_a_comparison_with_deleted_requests_is_warned_of(account, workspace):
    fields = {"metrics": ("requests",), "group_by": ("streamed",)}
    period = {"start": date(2026, 10, 30), "end": date(2026, 11, 20)}

    assert answer_to(account, **period, **fields).warnings == []
    (warning,) = answer_to(account, **period, **fields, compare="previous").warnings
    assert "kept for 30 days" in warning
