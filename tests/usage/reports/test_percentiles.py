"""Percentiles: from histograms to within the promised error, exact from single requests."""

import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

import pytest

from tests.factories import NOW, fetch, native, post
from tests.usage import traffic
from tests.usage.reports.questions import answer_to, question
from usage.reports.catalogue import METRICS, PERCENTILES
from usage.reports.question import Filter
from usage.reports.rows import pick
from usage.rollups.fold import fold, fold_all
from usage.rollups.tables import BUCKET_RATIO, GREATEST_ERROR, bucket_of, middle_of

DAYS = [date(2026, 10, 31), date(2026, 11, 14), date(2026, 11, 15), date(2026, 11, 16)]
MOST = 2**31 - 1
MOST_POSTED = 2_000_000_000
ROUNDED = Decimal("0.0005")  # middles of buckets have three places


def least_with(values: list[int], percent: int) -> int | None:
    """The least of the values that so many percent of them do not exceed."""
    values = sorted(values)
    return values[-(-percent * len(values) // 100) - 1] if values else None


def assert_close(found: Decimal | None, exact: int | None) -> None:
    if exact is None:
        assert found is None
    else:
        assert abs(found - exact) <= exact * Decimal(GREATEST_ERROR) + ROUNDED


def edges() -> list[int]:
    """Whole numbers on both sides of every bucket's edge, and many small ones."""
    found, edge = set(range(2000)), Fraction(1)
    while edge <= MOST:
        least = -(-edge.numerator // edge.denominator)
        found |= {least - 1, least, least + 1}
        edge *= Fraction(str(BUCKET_RATIO))
    return sorted(n for n in found | {MOST} if 0 <= n <= MOST)


@pytest.mark.django_db
def test_every_duration_is_in_the_bucket_whose_edges_hold_it():
    rows = fetch(
        f"SELECT n, {bucket_of('n')} AS bucket FROM unnest(%s::int[]) AS n ORDER BY n", [edges()]
    )

    for row in rows:
        n, bucket = row["n"], row["bucket"]
        ratio = Fraction(str(BUCKET_RATIO))
        assert bucket == 0 if n == 0 else ratio ** (bucket - 1) <= n < ratio**bucket


@pytest.mark.django_db
def test_the_middle_of_a_bucket_is_never_further_off_than_promised():
    rows = fetch(
        f"SELECT n, {middle_of('bucket')} AS middle FROM "
        f"(SELECT n, {bucket_of('n')} AS bucket FROM unnest(%s::int[]) AS n) b",
        [edges()],
    )

    for row in rows:
        assert_close(row["middle"], row["n"])
    assert all(row["middle"] == row["n"] for row in rows if row["n"] < 10)


rng = random.Random(7)
SHAPES: dict[str, list[int]] = {
    "one": [1234],
    "all alike": [999] * 40,
    "zeros": [0] * 30,
    "half nothing": [0] * 20 + [MOST_POSTED] * 20,
    "two far apart": [10] * 50 + [100_000] * 50,
    "hardly the last": [5] * 99 + [MOST_POSTED],
    "edges": edges()[:-20:40],
    "even": list(range(1, 101)),
    "uniform": [rng.randrange(60_000) for _ in range(150)],
    "a long tail": [int(rng.lognormvariate(7, 1.5)) for _ in range(150)],
}


def test_percentiles_of_any_shape_are_within_the_error(account):
    for shape, values in SHAPES.items():
        post(
            account, *(native(model=shape, latency_ms=n, time_to_first_token_ms=n) for n in values)
        )

    for _ in range(3):
        report = answer_to(account, metrics=tuple(PERCENTILES), group_by=("model",))
        assert report.source == "usage_day_model"
        for row in report.rows:
            for name, (_, percent) in PERCENTILES.items():
                assert_close(row[name], least_with(SHAPES[row["model"]], percent))
        fold(rows_at_once=400)


def durations(rows: list[dict[str, Any]], *key: str) -> dict[tuple[Any, ...], list[int]]:
    found = defaultdict(list)
    for row in rows:
        if row["latency_ms"] is not None:
            found[tuple(row[name] for name in key)].append(row["latency_ms"])
    return found


GROUPS = [(), ("workspace",), ("provider",), ("model", "provider", "workspace")]


@pytest.mark.parametrize("unfolded", ["all", "half", "none"])
def test_groups_and_their_total_have_their_own_percentiles(account, unfolded):
    traffic.record(account, traffic.rows(160, days=DAYS))
    {"all": lambda: 0, "half": lambda: fold(rows_at_once=80), "none": fold_all}[unfolded]()
    requests = traffic.logged()

    for granularity, names in product(("none", "day", "week", "month"), GROUPS):
        report = answer_to(
            account, metrics=("requests", "latency_ms_p90"), group_by=names, granularity=granularity
        )
        key = names if granularity == "none" else (granularity, *names)
        for row in requests:
            row[granularity] = traffic.bucket(row["occurred_at"], granularity, "UTC")
        exact = durations(requests, *key)
        for row in report.rows:
            assert_close(row["latency_ms_p90"], least_with(exact[tuple(row[n] for n in key)], 90))
        assert_close(report.totals["latency_ms_p90"], least_with(durations(requests)[()], 90))
        assert report.totals["requests"] == 160


def test_what_histograms_do_not_cover_is_exact(account):
    post(account, *(native(latency_ms=n, member="jane") for n in range(1, 1001)), native())
    fold_all()

    report = answer_to(account, metrics=("latency_ms_p50", "latency_ms_p99"), group_by=("member",))

    assert report.source == "usage_requestlog"
    jane = next(row for row in report.rows if row["member"] == "jane")
    assert (jane["latency_ms_p50"], jane["latency_ms_p99"]) == (500, 990)


def test_filters_hold_for_percentiles_too(account):
    post(account, native(latency_ms=100), native(latency_ms=9000, model="slow"), native())
    for _ in range(2):
        report = answer_to(
            account, metrics=("latency_ms_p99",), filters={"model": Filter(keys=("gpt-4o",))}
        )
        assert_close(report.totals["latency_ms_p99"], 100)
        fold_all()


def test_what_is_past_the_limit_has_no_percentile(account):
    post(account, native(latency_ms=8), native(latency_ms=8), native(model="m", latency_ms=9))

    found = answer_to(account, metrics=("requests", "latency_ms_p50"), group_by=("model",), limit=1)

    assert [(row["model"], row["latency_ms_p50"]) for row in found.rows] == [("gpt-4o", 8)]
    assert found.other == {"requests": 1, "latency_ms_p50": None}
    assert found.totals["latency_ms_p50"] == 8


def test_no_duration_has_no_percentile_and_zero_has_zero(account):
    post(account, native(), native(model="fast", latency_ms=0))
    for _ in range(2):
        report = answer_to(
            account,
            metrics=("latency_ms_p95", "time_to_first_token_ms_p95"),
            group_by=("model",),
            order=("model",),
        )
        assert [tuple(row.values())[-2:] for row in report.rows] == [(0, None), (None, None)]
        fold_all()


def test_the_period_before_has_percentiles_of_its_own(account):
    before = (NOW - timedelta(7)).isoformat()
    post(account, native(latency_ms=4), native(latency_ms=2, occurred_at=before))
    for more in ({}, {"group_by": ("endpoint",)}):
        report = answer_to(
            account,
            start=date(2026, 11, 16),
            end=date(2026, 11, 23),
            metrics=("latency_ms_p50",),
            compare="previous",
            **more,
        )
        assert report.totals == {
            "latency_ms_p50": 4,
            "latency_ms_p50_previous": 2,
            "latency_ms_p50_change": 1,
        }
        fold_all()


def test_the_bound_is_told_to_those_who_ask():
    assert "to within 4.9%" in METRICS["latency_ms_p95"].description


def test_percentiles_of_moments_come_from_the_log(account):
    asked = question(account, start=NOW - timedelta(hours=1), end=NOW, metrics=("latency_ms_p50",))

    assert isinstance(asked.start, datetime)
    assert pick(asked) is None
