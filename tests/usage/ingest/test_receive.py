"""One call: what is recorded, what is known already, what is set aside, and that it adds up."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import directory
from tests.factories import count, log, make_account, native, post, small_price_book, sums_of_log
from usage.ingest import resolve
from usage.models import QuarantinedRow

BROKEN: list[Any] = [
    {"request_id": "no model"},
    native(request_id="negative", input_tokens=-1),
    native(request_id="parts", cache_read_tokens=5000),
    native(request_id="when", occurred_at="never"),
    native(request_id="nul", project="a\x00b"),
    native(request_id="extra", colour="red"),
    7,
    b'{"request_id": "cut',
    b'{"request_id": "\xff", "model": "m"}',
]


def answer(account, *rows):
    found = post(account, *rows)
    return found.accepted, found.duplicates, len(found.rejected)


def test_bad_rows_are_set_aside_while_their_neighbours_are_stored(account):
    rows: list[Any] = []
    for row in BROKEN:
        rows += [native(), row]

    assert answer(account, *rows) == (len(BROKEN), 0, len(BROKEN))
    assert count("usage_requestlog") == QuarantinedRow.objects.count() == len(BROKEN)


def test_an_answer_says_which_row_and_why(account):
    found = post(account, native(), native(request_id="bad", input_tokens=-1))

    assert found.as_dict() == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": [
            {
                "index": 1,
                "request_id": "bad",
                "errors": [{"field": "input_tokens", "message": "Expected `int` >= 0."}],
            }
        ],
    }


def test_the_same_id_with_another_time_is_the_same_request(account):
    row = native(occurred_at="2026-11-01T00:00:00Z")
    post(account, row)

    assert answer(account, row | {"occurred_at": "2026-11-19T00:00:00Z"}) == (0, 1, 0)
    assert [stored["occurred_at"].day for stored in log()] == [1]


def test_of_the_same_id_in_one_batch_the_first_counts(account):
    row = native(input_tokens=1)

    assert answer(account, row, row | {"input_tokens": 2}, row | {"input_tokens": 3}) == (1, 2, 0)
    assert [stored["input"] for stored in log()] == [1]


def test_the_same_id_in_another_workspace_is_another_request(account):
    row = native()

    assert answer(account, row | {"workspace": "a"}, row | {"workspace": "b"}) == (2, 0, 0)


def test_the_same_id_of_an_outsider_is_another_request(account):
    row = native()
    post(account, row)

    assert answer(make_account("globex"), row) == (1, 0, 0)


def test_a_large_batch_of_everything_mixed(account):
    small_price_book()
    rows = [native(request_id=f"r{n % 9000}", workspace=f"w{n % 3}") for n in range(10_000)]
    rows[9500] = {"request_id": "bad"}

    accepted, duplicates, rejected = answer(account, *rows)

    assert (accepted, duplicates, rejected) == (9000, 999, 1)
    assert sums_of_log()["cost"] == 9000 * Decimal("0.0035")
    assert count("usage_requestkey") == 9000
    assert count("usage_batch") == 3


def test_a_batch_takes_a_few_queries_however_large_it_is(account, clock):
    post(account, native())

    with CaptureQueriesContext(connection) as for_a_few:
        post(account, *(native() for _ in range(50)))
    with CaptureQueriesContext(connection) as for_many:
        post(account, *(native() for _ in range(500)))

    assert len(for_many) == len(for_a_few) < 10


def test_a_hook_that_fails_leaves_nothing_behind(account, monkeypatch):
    def refuse(rows: Any, *, account_id: int) -> None:
        raise RuntimeError

    monkeypatch.setattr("usage.ingest.record.on_recorded", [refuse])

    with pytest.raises(RuntimeError), transaction.atomic():
        post(account, native(), {"request_id": "bad"})

    assert count("usage_requestlog") == count("usage_requestkey") == count("usage_batch") == 0
    assert not QuarantinedRow.objects.exists()


def test_hooks_see_what_is_new_and_nothing_else(account, monkeypatch):
    seen = []

    def note(rows: Any, *, account_id: int) -> None:
        seen.append((account_id, [row.request_id for row in rows]))

    monkeypatch.setattr("usage.ingest.record.on_recorded", [note])
    post(account, native(request_id="a"), native(request_id="a"), {"request_id": "bad"})
    post(account, native(request_id="a"))
    post(account, native(request_id="a"), native(request_id="b"))

    assert seen == [(account.pk, ["a"]), (account.pk, ["b"])]


def test_nothing_at_all_is_nothing(account):
    assert answer(account) == (0, 0, 0)


def chunks(rows: list[Any], cuts: list[int]) -> list[list[Any]]:
    edges = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    return [rows[a:b] for a, b in pairwise(edges)]


@pytest.mark.django_db
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids=st.lists(st.integers(0, 12) | st.none(), max_size=25),
    cuts=st.lists(st.integers(0, 100), max_size=5),
)
def test_any_mix_of_rows_in_any_chunks_adds_up(ids, cuts):
    with transaction.atomic():
        directory.forget()
        resolve.forget()
        small_price_book()
        account = make_account()
        rows = [
            {"request_id": "bad", "number": place} if n is None else native(request_id=f"r{n}")
            for place, n in enumerate(ids)
        ]

        answers = [post(account, *chunk) for chunk in chunks(rows, cuts)]

        distinct = len(set(ids) - {None})
        assert sum(a.accepted for a in answers) == distinct == count("usage_requestlog")
        assert sum(len(a.rejected) for a in answers) == ids.count(None)
        assert sum(a.accepted + a.duplicates + len(a.rejected) for a in answers) == len(rows)
        assert sums_of_log()["cost"] == distinct * Decimal("0.0035")
        assert QuarantinedRow.objects.count() == ids.count(None)
        transaction.set_rollback(True)


def test_every_row_is_stored_as_it_was_sent(account):
    post(
        account,
        native(
            status=503,
            error_type="Timeout",
            latency_ms=1234.5,
            time_to_first_token_ms=56,
            streamed=True,
            service_tier="Flex",
            meters={"image": 3},
            tags={"a": ["'", '"', "\\", "é", None, 1.5]},
        ),
    )

    (row,) = log()
    assert {name: row[name] for name in ("status", "error_type", "latency_ms", "streamed")} == {
        "status": 503,
        "error_type": "Timeout",
        "latency_ms": 1234,
        "streamed": True,
    }
    assert (row["time_to_first_token_ms"], row["service_tier"]) == (56, "Flex")
    assert (row["meters"], row["tags"]) == ({"image": 3}, {"a": ["'", '"', "\\", "é", None, 1.5]})


def test_what_cannot_be_recorded_is_kept_as_it_was_sent(account):
    raw = json.dumps({"request_id": "bad", "model": "m", "input_tokens": -1}).encode()

    post(account, native(), raw)

    row = QuarantinedRow.objects.get()
    assert (row.body, row.index, row.request_id, row.source) == (raw.decode(), 1, "bad", "native")
    assert row.errors == [{"field": "input_tokens", "message": "Expected `int` >= 0."}]
    assert (row.state, row.times_sent, row.account) == ("waiting", 1, account)
