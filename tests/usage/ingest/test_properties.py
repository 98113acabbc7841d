"""Whatever is posted, in whatever pieces and order: every request once, every cent counted.

Each example posts to accounts of its own and is rolled back. What should be stored is kept beside
it in a dictionary, and what it should cost is added up here by hand.
"""

import hashlib
import json
import random
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import directory
from accounts.models import Account
from budgets import ledger
from budgets.models import Budget
from tests.books import assert_books_balance
from tests.factories import (
    NOW,
    fetch,
    log,
    make_account,
    native,
    post,
    rollup_rows,
    small_price_book,
)
from usage.ingest import record, resolve
from usage.ingest.receive import Received
from usage.pricing import ratecard
from usage.rollups.fold import fold, fold_all
from usage.rollups.tables import MEASURES

pytestmark = pytest.mark.django_db

MILLION = Decimal(1_000_000)


def examples(most: int) -> settings:
    return settings(max_examples=most, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# Two sides of a midnight in Kolkata and of one in UTC, a day without a partition, and no time.
MOMENTS = ["2026-11-19T18:29:59.999999Z", "2026-11-19T18:30:00Z", "2026-11-19T23:59:59.999Z",
           1763683200, "2026-11-20T05:30:00+05:30", "2021-02-28T12:00:00Z", None]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A valid request; so few ids that many a one comes again, often with other contents."""
    read, written, fresh = (draw(st.integers(0, 5000)) for _ in range(3))
    output = draw(st.integers(0, 900))
    workspace = draw(st.sampled_from([None, "research", "support"]))
    # A key lends its workspace and member to rows without: here they always say the same.
    member, key = draw(
        st.sampled_from([(None, None), ("jane", None), ("jane", f"key of {workspace}")])
    )
    return native(
        request_id=f"r{draw(st.integers(0, 9))}",
        workspace=workspace,
        project=draw(st.sampled_from([None, "alpha"])),
        member=member,
        api_key=key,
        model=draw(st.sampled_from(["gpt-4o", "gpt-4o", "brand-new"])),
        occurred_at=draw(st.sampled_from(MOMENTS)),
        status=draw(st.sampled_from([200, 500])),
        input_tokens=read + written + fresh,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=output // 2,
        meters=draw(st.sampled_from([None, {"web_search": 3}])),
        latency_ms=draw(st.sampled_from([None, 40])),
        cost=draw(st.sampled_from([None, "0.5", 0])),
    )


BAD = [
    b"7",
    b"[]",
    b'{"request_id": "cut',
    b'{"request_id": "\xff", "model": "m"}',
    b'{"model": "gpt-4o"}',
    *(
        json.dumps({"request_id": "bad", "model": "gpt-4o"} | wrong).encode()
        for wrong in (
            {"model": ""},
            {"input_tokens": -1},
            {"input_tokens": 1.5},
            {"cache_read_tokens": 1},
            {"reasoning_tokens": 1},
            {"occurred_at": "yesterday"},
            {"occurred_at": 1763683200000},
            {"status": "ok"},
            {"meters": {"colour": 1}},
            {"cost": "-1"},
            {"tags": "none"},
            {"project": "a\x00b"},
            {"surprise": 1},
        )
    ),
]

rows = requests() | st.sampled_from(BAD)
posts = st.lists(rows, max_size=12)


# Few rows are inserted, more are copied where they look new: here it is one or the other at random.
ways = random.Random(0)


@contextmanager
def an_account():
    """Acme in Kolkata under two budgets, with nothing of it left behind."""
    for memory in (directory, resolve, ratecard):
        memory.forget()
    with transaction.atomic(), patch.object(record, "FEW", ways.choice([0, record.FEW])):
        small_price_book()
        acme = make_account(time_zone="Asia/Kolkata")
        for period in ("day", "total"):
            budget = Budget(account=acme, name=period, scope="account", period=period, limit=1)
            ledger.open_budget(budget, now=NOW)
        yield acme
        transaction.set_rollback(True)


class Expected:
    """What the posts so far should have left behind."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], dict[str, Any]] = {}
        self.bad: Counter[str] = Counter()

    def of(self, batch: list[Any]) -> tuple[int, int, int]:
        """What should be answered: accepted, duplicates, rejected."""
        good = [row for row in batch if not isinstance(row, bytes)]
        known = len(self.requests)
        for row in good:
            self.requests.setdefault((row["workspace"] or "default", row["request_id"]), row)
        self.bad.update(hashlib.sha256(row).hexdigest() for row in batch if isinstance(row, bytes))
        accepted = len(self.requests) - known
        return accepted, len(good) - accepted, len(batch) - len(good)

    def stored(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        return {
            key: (cost_of(row), ceiling_of(row), row["input_tokens"], row["output_tokens"])
            for key, row in self.requests.items()
        }


def cost_of(row: dict[str, Any]) -> Decimal | None:
    """$2.50 in, written to a cache or not, $1.25 read, $10 out, a million; $0.01 a search."""
    searches = row["meters"]["web_search"] if row["meters"] else 0
    if row["model"] == "brand-new":
        return None if row["input_tokens"] or row["output_tokens"] or searches else Decimal(0)
    read = row["cache_read_tokens"]
    tokens = (row["input_tokens"] - read) * Decimal("2.5") + read * Decimal("1.25")
    return (tokens + row["output_tokens"] * 10) / MILLION + searches * Decimal("0.01")


def ceiling_of(row: dict[str, Any]) -> Decimal | None:
    """$15 in and $75 out a million, where no price is known."""
    if cost_of(row) is not None:
        return None
    return (row["input_tokens"] * 15 + row["output_tokens"] * 75) / MILLION


def stored() -> dict[tuple[str, str], tuple[Any, ...]]:
    inputs = ("input", "cache_read", "cache_write_5m", "cache_write_1h")
    return {
        (row["workspace"], row["request_id"]): (
            row["cost"],
            row["ceiling_cost"],
            sum(row[name] for name in inputs),
            row["output"],
        )
        for row in log()
    }


def answered(found: Received) -> tuple[int, int, int]:
    return found.accepted, found.duplicates, len(found.rejected)


def quarantined() -> dict[str, int]:
    kept = fetch("SELECT digest, times_sent FROM usage_quarantinedrow")
    return {row["digest"]: row["times_sent"] for row in kept}


@examples(14)
@given(steps=st.lists(posts | st.integers(1, 30), max_size=8))
def test_what_is_stored_is_the_distinct_valid_rows_whatever_is_posted_and_folded(steps):
    """A step is a post of rows, or a fold of about so many of them."""
    with an_account() as acme:
        expected = Expected()
        for step in steps:
            if isinstance(step, int):
                fold(rows_at_once=step)
            else:
                assert answered(post(acme, *step)) == expected.of(step)

        assert stored() == expected.stored()
        assert quarantined() == expected.bad
        assert_books_balance()
        fold_all()
        assert_books_balance()


def left_behind(batches: list[list[Any]], account: Account) -> dict[str, Any]:
    """All that posts in this order leave, without what tells the order."""
    for batch in batches:
        post(account, *batch)
    fold_all()
    names = {(r["project_id"], r["api_key_id"], r["member_id"]): owner(r) for r in log()}
    kept = [
        {name: row[name] for name in ("workspace", "request_id", "cost", "occurred_at")}
        for row in log("workspace_id, request_id")
    ]
    return {
        "log": sorted(kept, key=lambda row: (row["workspace"], row["request_id"])),
        "roll-ups": {table: totals(rows) for table, rows in rollup_rows().items()},
        "owners": sorted(names.values()),
        "counters": fetch("SELECT start_on, spent, estimated FROM budgets_budgetperiod ORDER BY "
                          "end_on, start_on"),
        "quarantine": quarantined(),
    }  # fmt: skip


def owner(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("project", "api_key", "member"))


def totals(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """The sums of each row by its time; ids are given in the order in which names come."""
    return Counter(
        (row.get("day") or row.get("hour"), *(row[measure] for measure in MEASURES)) for row in rows
    )


def once_each(rows: list[Any]) -> list[Any]:
    """The rows, where the same id always comes with the same contents."""
    first: dict[tuple[Any, Any], Any] = {}
    return [
        row
        if isinstance(row, bytes)
        else first.setdefault((row["workspace"], row["request_id"]), row)
        for row in rows
    ]


def cut(rows: list[Any], places: list[int]) -> list[list[Any]]:
    edges = sorted({0, len(rows), *(place % (len(rows) + 1) for place in places)})
    return [rows[start:end] for start, end in pairwise(edges)]


@examples(9)
@given(
    rows=st.lists(rows, max_size=30), cuts=st.lists(st.integers(0, 99), max_size=6), data=st.data()
)
def test_order_and_pieces_make_no_difference(rows, cuts, data):
    rows = once_each(rows)
    shuffled = data.draw(st.permutations(rows))
    with an_account() as acme:
        at_once = left_behind([rows], acme)
    with an_account() as acme:
        in_pieces = left_behind(cut(shuffled, cuts), acme)

    assert in_pieces == at_once


@examples(6)
@given(batches=st.lists(posts, min_size=1, max_size=3), again=st.integers(1, 5))
def test_sending_everything_again_changes_nothing_but_counts_of_bad_rows(batches, again):
    with an_account() as acme:
        left_behind(batches, acme)
        before = stored(), rollup_rows(), fetch("SELECT * FROM budgets_budgetperiod ORDER BY id")
        for batch in again * batches[::-1]:
            assert post(acme, *batch[::-1]).accepted == 0
        fold_all()

        assert before == (
            stored(), rollup_rows(), fetch("SELECT * FROM budgets_budgetperiod ORDER BY id")
        )  # fmt: skip
        assert sum(quarantined().values()) == (again + 1) * sum(
            isinstance(row, bytes) for batch in batches for row in batch
        )


@examples(5)
@given(rows=st.lists(requests(), max_size=12))
def test_the_same_rows_of_two_accounts_never_meet(rows):
    with an_account() as acme:
        globex = make_account("globex")
        first, second = post(acme, *rows), post(globex, *rows)

        assert answered(first) == answered(second)
        halves = fetch(
            "SELECT w.account_id, count(*) AS n, sum(cost) AS cost FROM usage_requestlog l "
            "JOIN accounts_workspace w ON w.id = l.workspace_id GROUP BY 1"
        )
        assert len({(half["n"], half["cost"]) for half in halves}) == (1 if rows else 0)
        assert_books_balance()
