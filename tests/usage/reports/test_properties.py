"""Whatever happens to the log and the roll-ups, in any order: reports say what the log says.

Each example records, sends again, folds, re-prices and rebuilds in an account of its own; then a
random question is asked of the report service and of the log alone, and must have one answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import directory
from accounts.models import Account
from tests.books import assert_books_balance
from tests.factories import NOW, fetch, make_account, make_workspace, native, post, small_price_book
from tests.usage.reports.questions import question
from tests.usage.reports.test_percentiles import assert_close
from usage.ingest import resolve
from usage.pricing import ratecard
from usage.reports.catalogue import DIMENSIONS, METRICS, PERCENTILES
from usage.reports.question import Filter, Question
from usage.reports.run import Report, answer, ask
from usage.reports.sql import compile_question
from usage.rollups.fold import fold
from usage.rollups.rebuild import NothingToRebuildFrom, rebuild_day

pytestmark = pytest.mark.django_db

ZONES = ["UTC", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe"]
FIRST, LAST = date(2026, 10, 30), date(2026, 11, 3)
# Midnights of the zones, the hour that New York has twice, and a request that comes late.
MOMENTS = ["2026-10-31T18:29:59.999999Z", "2026-10-31T18:30:00Z", "2026-10-31T13:00:00Z",
           "2026-11-01T03:59:59Z", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z",
           "2026-11-02T00:00:00Z", "2026-03-01T00:00:00Z"]  # fmt: skip

requests = st.fixed_dictionaries(
    {
        "request_id": st.sampled_from([f"r{n}" for n in range(40)]),
        "occurred_at": st.sampled_from(MOMENTS),
        "workspace": st.sampled_from(["research", "support"]),
        "model": st.sampled_from(["gpt-4o", "brand-new"]),
    },
    optional={
        "project": st.sampled_from(["alpha", "beta"]),
        "member": st.sampled_from(["jane", "joe"]),
        "provider": st.sampled_from(["openai", "azure"]),
        "endpoint": st.just("/v1/responses"),
        "status": st.sampled_from([200, 429]),
        "streamed": st.booleans(),
        "input_tokens": st.integers(0, 2_000_000_000),
        "output_tokens": st.integers(0, 2_000_000_000),
        "latency_ms": st.integers(0, 2_000_000_000),
        "time_to_first_token_ms": st.integers(0, 1000),
        "meters": st.just({"web_search": 2}),
        "cost": st.sampled_from(["0", "0.5"]),
    },
).map(lambda fields: native(**fields))

steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.lists(requests, min_size=1, max_size=8)),
        st.tuples(st.just("fold"), st.integers(1, 20)),
        st.tuples(st.just("rebuild"), st.sampled_from([FIRST + timedelta(n) for n in range(5)])),
        st.tuples(st.just("price"), st.sampled_from(["0", "0.25"])),
        st.tuples(st.just("crash"), st.integers(1, 20)),
    ),
    min_size=2,
    max_size=10,
)

TABLE_METRICS = [name for name in METRICS if name not in PERCENTILES]


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    """What a question may be of, but for its account."""
    start = draw(st.sampled_from([date(2026, 1, 1), FIRST, date(2026, 11, 1)]))
    names = st.sampled_from([name for name in DIMENSIONS if name != "client"])
    group_by = tuple(draw(st.lists(names, max_size=3, unique=True)))
    metrics = draw(st.lists(st.sampled_from(TABLE_METRICS), min_size=1, max_size=4, unique=True))
    percentiles = draw(st.lists(st.sampled_from(list(PERCENTILES)), max_size=2, unique=True))
    filters = draw(
        st.sampled_from([{}, {"project": Filter(keys=("alpha",), none=True)},
                         {"provider": Filter(keys=("openai",))}])
    )  # fmt: skip
    return {
        "start": start,
        "end": draw(st.sampled_from([date(2026, 11, 2), date(2026, 12, 1)])),
        "group_by": group_by,
        "granularity": draw(st.sampled_from(["none", "hour", "day", "week", "month"])),
        "metrics": (*metrics, *percentiles),
        "filters": filters,
        "compare": draw(st.sampled_from([None, "previous"])),
    }


@contextmanager
def an_account(zone: str) -> Iterator[Account]:
    """An account whose rows and names are gone after the example."""
    with transaction.atomic():
        account = make_account(time_zone=zone)
        for slug in ("research", "support"):
            make_workspace(account, slug)
        small_price_book()
        yield account
        transaction.set_rollback(True)
    for memory in (directory, resolve, ratecard):
        memory.forget()


def take(account: Account, kind: str, what: Any) -> None:
    if kind == "post":
        assert post(account, *what).rejected == []
    elif kind == "fold":
        fold(rows_at_once=what)
    elif kind == "crash":
        with transaction.atomic():
            fold(rows_at_once=what)
            transaction.set_rollback(True)
    elif kind == "price":
        price_what_is_unpriced(account, Decimal(what))
    else:
        rebuild(account, what)


def price_what_is_unpriced(account: Account, cost: Decimal) -> None:
    """As re-pricing does: the log first, then the days' roll-ups, in one transaction."""
    moved = fetch(
        "UPDATE usage_requestlog l SET cost = %s, ceiling_cost = NULL "
        "FROM accounts_workspace w WHERE w.id = l.workspace_id AND l.cost IS NULL "
        "RETURNING (l.occurred_at AT TIME ZONE %s)::date AS day",
        [cost, account.time_zone],
    )
    for day in {row["day"] for row in moved}:
        rebuild(account, day)


def rebuild(account: Account, day: date) -> None:
    for workspace in account.workspaces.all():
        try:
            rebuild_day(workspace.pk, day)
        except NothingToRebuildFrom:
            pytest.fail("nothing was deleted")


def from_the_log(asked: Question) -> Report:
    """The answer of the rows themselves: exact, whatever was folded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usage.reports.sql.pick", lambda question: None)
        compiled = compile_question(asked)
    with connection.cursor() as cursor:
        cursor.execute(compiled.sql, compiled.parameters)
        return answer(asked, compiled, cursor.fetchall(), now=NOW)


def assert_alike(found: Report, exact: Report) -> None:
    """The same rows in any order; percentiles to within their error, all else to the last digit."""
    assert (found.row_count, exact.source) == (exact.row_count, "usage_requestlog")
    assert_figures(found.totals, exact.totals)
    keys = [c.name for c in found.columns if c.name not in found.totals]
    rows = {tuple(row[name] for name in keys): row for row in exact.rows}
    for row in found.rows:
        assert_figures(row, rows.pop(tuple(row[name] for name in keys)))
    assert rows == {}


def assert_figures(found: dict[str, Any], exact: dict[str, Any]) -> None:
    for name, value in exact.items():
        if name.removesuffix("_previous") in PERCENTILES:
            assert_close(found[name], value)
        elif name.removesuffix("_change") not in PERCENTILES:
            assert found[name] == value, name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(zone=st.sampled_from(ZONES), steps=steps, asked=st.lists(shapes(), min_size=2, max_size=4))
def test_reports_say_what_the_log_says_whatever_happened(zone, steps, asked):
    with an_account(zone) as account:
        for kind, what in steps:
            take(account, kind, what)

        assert_books_balance()
        for shape in asked:
            whole = question(account, **shape)
            assert_alike(ask(whole, now=NOW), from_the_log(whole))
            if whole.is_grouped:
                limited = ask(replace(whole, limit=1), now=NOW)
                assert limited.totals == ask(whole, now=NOW).totals
