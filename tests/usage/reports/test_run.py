"""Answers: figures that are no sums, what is unknown, warnings, and how JSON says it all."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.http import QueryDict

from accounts.models import Workspace
from tests.factories import NOW, native, post, reach_of, small_price_book
from tests.usage import traffic
from usage.pricing.meters import FURTHER_METER_NAMES
from usage.reports.catalogue import METRICS, PERCENTILES, RAW_MEASURES
from usage.reports.question import parse
from usage.reports.run import Report, as_json, ask, ask_all, plain, tidy
from usage.rollups.fold import fold_all


def report(query: str, *, now: datetime = NOW) -> Report:
    workspaces = Workspace.objects.select_related("account").order_by("name")
    return ask(parse(QueryDict(query), reach_of(*workspaces), now=now), now=now)


def totals(metrics: str) -> list[Any]:
    return list(report(f"metrics={metrics}").totals.values())


def test_averages_are_over_what_is_known(account):
    small_price_book()
    post(
        account,
        native(latency_ms=100, time_to_first_token_ms=20, output_tokens=10),
        native(latency_ms=300, output_tokens=30, status=500),
        native(model="brand-new", output_tokens=1000),
    )

    for _ in range(2):
        assert totals("latency_ms,time_to_first_token_ms,tokens_per_second,error_rate") == [
            200,
            20,
            100,  # 40 tokens in 0.4 s
            Decimal("0.3333333333"),
        ]
        # (2,000 * 2.5 + 40 * 10) / 1,000,000 over the two requests that have a price
        assert totals("cost_per_request") == [Decimal("0.0027")]
        fold_all()


def test_what_is_asked_together_is_answered_as_if_asked_alone(account, django_assert_num_queries):
    post(account, native(model="100 % odd; -- name"), native(member="ada"))
    reach = reach_of(*Workspace.objects.select_related("account"))
    asked = [
        parse(QueryDict(query), reach, now=NOW)
        for query in ("group_by=model", "group_by=member&limit=1", "metrics=cost&model=odd%")
    ]

    with django_assert_num_queries(1):
        together = ask_all(asked)

    assert together == [ask(question, now=NOW) for question in asked]


def test_rates_of_tokens(account):
    small_price_book()
    post(account, native(input_tokens=800, cache_read_tokens=200, output_tokens=200))

    # 600 * 2.50 + 200 * 1.25 + 200 * 10, in millionths
    assert totals("cache_hit_rate,cost_per_million_tokens,uncached_input_tokens") == [
        Decimal("0.25"),
        Decimal("3.75"),
        600,
    ]


def test_an_average_is_unknown_while_a_part_of_it_is(account):
    small_price_book()
    post(account, native(), native(model="brand-new"))

    assert totals("cost_per_million_tokens") == [None]


def test_nothing_has_no_averages(account, workspace):
    names = [name for name in METRICS if "latency" in name or "_rate" in name or "_per_" in name]

    assert set(report(f"metrics={','.join(names)}").totals.values()) == {None}


def test_every_metric_can_be_asked_for_at_once(account):
    traffic.record(account, traffic.rows(60, days=[date(2026, 11, 15)]))

    found = report(f"metrics={','.join(METRICS)}&group_by=model&granularity=day&limit=1")

    assert [column.name for column in found.columns] == ["day", "model_id", "model", *METRICS]
    assert all(found.totals[name] is not None for name in PERCENTILES)


def test_further_meters_are_counted_from_single_requests(account):
    post(
        account,
        native(meters={"web_search": 2, "input_audio": 30}),
        native(meters={"web_search": 2_000_000_000}),
        native(),
    )

    for _ in range(2):
        assert totals("meter_web_search,meter_input_audio,meter_image") == [2_000_000_002, 30, 0]
        fold_all()


def test_every_meter_of_the_prices_has_a_metric():
    assert set(RAW_MEASURES) == {f"meter_{name}" for name in FURTHER_METER_NAMES}
    assert {METRICS[name].unit for name in ("meter_web_search", "meter_audio_second")} == {
        "searches",
        "seconds",
    }


def test_what_has_no_price_has_no_cost(account):
    small_price_book()
    post(account, native(model="brand-new"), native(model="brand-new"), native())

    for _ in range(2):
        rows = {
            row["model"]: row
            for row in report("group_by=model&metrics=cost,unpriced_requests").rows
        }
        assert (rows["brand-new"]["cost"], rows["brand-new"]["unpriced_requests"]) == (None, 2)
        assert rows["gpt-4o"]["cost"] == Decimal("0.0035")
        fold_all()


def test_free_failures_do_not_make_an_unknown_cost_zero(account):
    post(account, native(model="brand-new"), native(input_tokens=0, output_tokens=0, status=500))

    assert totals("cost,unpriced_requests") == [None, 1]


def test_free_is_not_unknown(account):
    post(account, native(input_tokens=0, output_tokens=0, status=500))

    assert totals("cost,unpriced_requests") == [0, 0]


def test_a_claim_is_compared_where_both_are_known(account):
    small_price_book()
    post(account, native(cost="0.0045"), native(model="brand-new", cost="1"), native())

    for _ in range(2):
        assert totals("reported_cost,reported_cost_difference") == [
            Decimal("1.0045"),
            Decimal("0.001"),
        ]
        fold_all()


def test_sums_are_larger_than_any_request(account):
    small_price_book()
    most = 2_000_000_000
    post(
        account, *(native(input_tokens=most, output_tokens=most, latency_ms=most) for _ in range(6))
    )

    for _ in range(2):
        # 6 * (2,000 * $2.50 + 2,000 * $10)
        assert totals("input_tokens,total_tokens,cost,latency_ms") == [
            6 * most,
            12 * most,
            150_000,
            most,
        ]
        fold_all()


def test_the_smallest_costs_add_up(account):
    small_price_book()
    post(
        account, *(native(input_tokens=0, cache_read_tokens=0, output_tokens=1) for _ in range(300))
    )

    assert totals("cost") == [300 * Decimal("0.00001")]


def test_more_rows_than_an_answer_holds_are_said(account, monkeypatch):
    post(account, *(native(member=f"m{n}") for n in range(5)))
    monkeypatch.setattr("usage.reports.sql.MAX_ROWS", 3)
    monkeypatch.setattr("usage.reports.run.MAX_ROWS", 3)

    found = report("group_by=member")

    assert (len(found.rows), found.row_count, found.totals["requests"]) == (3, 5, 5)
    assert "5 rows; these are the first 3" in found.warnings[0]


def test_a_limit_that_was_asked_for_needs_no_warning(account):
    post(account, *(native(member=f"m{n}") for n in range(5)))

    assert report("group_by=member&limit=2").warnings == []


@pytest.mark.parametrize(
    ("query", "warned"),
    [
        ("from=2026-10-01&group_by=streamed", True),
        ("from=2026-10-21&group_by=streamed", False),
        ("from=2026-10-01&group_by=model", False),
        ("from=2026-10-01&group_by=model&metrics=latency_ms_p95", False),
        ("from=2026-10-01&group_by=member&metrics=latency_ms_p95", True),
        ("from=2026-10-01&metrics=meter_web_search", True),
        ("from=2026-10-30&group_by=streamed&compare=previous", True),
        ("from=2026-10-21T11:00:00Z", True),
        ("from=2026-10-21T13:00:00Z", False),
    ],
)
def test_older_than_single_requests_are_kept_is_said(account, workspace, query, warned):
    found = report(query)

    assert [("kept for 30 days" in warning) for warning in found.warnings] == [True] * warned


def test_an_answer_as_json(account):
    small_price_book()
    post(account, native(project="x"))

    found = as_json(report("group_by=project&granularity=day&metrics=requests,cost,latency_ms"))

    assert json.loads(json.dumps(found)) == {
        "query": found["query"],
        "columns": [
            {"name": "day", "type": "date"},
            {"name": "project_id", "type": "integer"},
            {"name": "project", "type": "string"},
            {"name": "project_name", "type": "string"},
            {"name": "requests", "type": "integer", "unit": "requests"},
            {"name": "cost", "type": "decimal", "unit": "USD"},
            {"name": "latency_ms", "type": "decimal", "unit": "milliseconds"},
        ],
        "rows": [
            {
                "day": "2026-11-20",
                "project_id": account.workspaces.get().projects.get().pk,
                "project": "x",
                "project_name": "x",
                "requests": 1,
                "cost": "0.0035",
                "latency_ms": None,
            }
        ],
        "other": None,
        "totals": {"requests": 1, "cost": "0.0035", "latency_ms": None},
        "row_count": 1,
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-10"), "0"),
        (Decimal("0.0000000001"), "0.0000000001"),
        (Decimal("-1.50"), "-1.5"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (date(2026, 1, 1), "2026-01-01"),
        (5, 5),
        (None, None),
        (True, True),
    ],
)
def test_values_as_json(value, written):
    assert plain(value) == written


@pytest.mark.parametrize(
    ("value", "kind", "tidied"),
    [
        (Decimal(5), "integer", 5),
        (None, "integer", None),
        (Decimal("0.33333333333333"), "decimal", Decimal("0.3333333333")),
        (Decimal("0.5"), "decimal", Decimal("0.5")),
        (Decimal(f"{'3' * 30}.{'3' * 20}"), "decimal", Decimal(f"{'3' * 30}.{'3' * 10}")),
    ],
)
def test_quotients_have_the_places_that_money_has(value, kind, tidied):
    assert tidy(value, kind) == tidied


def test_an_hour_is_a_moment(account):
    post(account, native(occurred_at="2026-11-20T11:59:59Z"))

    (row,) = report("granularity=hour").rows

    assert row["hour"] == NOW - timedelta(hours=1)
