"""Rows that are set aside: once each, counted when they come again."""

from datetime import timedelta

import pytest

from tests.factories import NOW, make_account, native, post
from usage.ingest import quarantine
from usage.models import QuarantinedRow

BAD = {"request_id": "bad", "model": "m", "input_tokens": -1}


def test_the_same_row_is_kept_once_and_counted(account):
    for days in range(3):
        post(account, BAD, now=NOW + timedelta(days=days))
    post(account, BAD, BAD, now=NOW)

    row = QuarantinedRow.objects.get()
    assert (row.times_sent, row.received_at) == (5, NOW)


def test_another_accounts_row_is_kept_by_itself(account):
    post(account, BAD)
    post(make_account("globex"), BAD)

    assert QuarantinedRow.objects.count() == 2


def test_what_was_discarded_stays_discarded(account):
    post(account, BAD)
    QuarantinedRow.objects.update(state=QuarantinedRow.State.DISCARDED)

    post(account, BAD)

    assert QuarantinedRow.objects.get().state == QuarantinedRow.State.DISCARDED


def bad(number):
    return BAD | {"request_id": f"bad-{number}"}


def test_of_an_account_only_so_many_rows_wait(account, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_WAITING", 3)
    post(account, bad(0), bad(1))

    received = post(account, native(), bad(0), bad(2), bad(3), bad(2))

    assert received.accepted == 1
    assert [row.kept for row in received.rejected] == [True, True, False, True]
    assert [len(row.as_dict()["errors"]) for row in received.rejected] == [1, 1, 2, 1]
    assert set(QuarantinedRow.objects.values_list("request_id", "times_sent")) == {
        ("bad-0", 2),
        ("bad-1", 1),
        ("bad-2", 2),
    }
    assert post(make_account("globex"), bad(3)).rejected[0].kept


def test_rows_that_somebody_decided_make_room(account, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_WAITING", 1)
    post(account, bad(0))
    QuarantinedRow.objects.update(state=QuarantinedRow.State.DISCARDED)

    assert post(account, bad(1)).rejected[0].kept


def test_of_a_huge_row_the_beginning_is_kept(account, monkeypatch):
    monkeypatch.setattr(quarantine, "LONGEST_KEPT", 20)

    post(account, BAD | {"error_type": "x" * 1000})

    assert len(QuarantinedRow.objects.get().body) == 20


def test_rows_are_forgotten_in_time(account, monkeypatch):
    monkeypatch.setattr(quarantine, "FORGOTTEN_AT_ONCE", 2)
    for number, days in enumerate((0, 31, 31, 31, 89, 91, 91)):
        post(account, bad(number), now=NOW - timedelta(days=days))
    decided = QuarantinedRow.objects.filter(request_id__in=["bad-0", "bad-1", "bad-2"])
    decided.update(state=QuarantinedRow.State.RECORDED)

    assert quarantine.forget(now=NOW) == 4
    left = QuarantinedRow.objects.order_by("request_id").values_list("request_id", flat=True)
    assert list(left) == ["bad-0", "bad-3", "bad-4"]


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b'{"a": "\xff"}', '{"a": "\ufffd"}'),
        (b'{"request_id": "a\\u0000b"}', '{"request_id": "a\\u0000b"}'),
        (b'{"a": "\\ud800"}', '{"a": "\\ud800"}'),
        (b'{"\\u0000": 1, "request_id": "x", "model": "m"}', None),
        (b"[" * 2000, None),
        (b'"' + b"x" * 100_000 + b'"', None),
    ],
    ids=lambda raw: str(raw)[:30],
)
def test_bytes_of_any_kind_can_be_kept(account, raw, kept):
    (rejected,) = post(account, raw).rejected

    assert rejected.index == 0
    assert QuarantinedRow.objects.get().body == (kept or raw.decode())


def test_an_id_that_is_too_long_is_kept_cut_off(account):
    (rejected,) = post(account, native(request_id="i" * 300)).rejected

    assert QuarantinedRow.objects.get().request_id == rejected.request_id == "i" * 200


@pytest.mark.parametrize("request_id", [7, None, ["a"], ""])
def test_an_id_that_is_none_is_not_made_up(account, request_id):
    (rejected,) = post(account, native(request_id=request_id)).rejected

    assert rejected.request_id is None or rejected.request_id == ""
