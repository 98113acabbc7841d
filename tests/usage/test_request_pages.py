"""Pages of the log: every row once, forwards and back, whatever the cursor."""

import base64
from contextlib import suppress
from datetime import date, datetime, timedelta

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, native, post, reach_of
from tests.usage import traffic
from tests.usage.lists import all_pages, ids, listed, places
from usage.reports.question import BadQuestion
from usage.requests import make_cursor, page, parse, read_cursor


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pages_visit_every_row_once_and_back_again(account, size):
    traffic.record(account, traffic.rows(23, days=[date(2026, 11, 15), date(2026, 11, 16)]))
    everything = places(listed(size=100))

    forward = all_pages(size)
    back = [forward[-1]]
    while back[-1].previous:
        back.append(listed(size=size, cursor=back[-1].previous))

    assert len(everything) == 23
    assert [place for found in forward for place in places(found)] == everything
    assert [place for found in reversed(back) for place in places(found)] == everything
    assert (forward[0].previous, forward[-1].next, back[-1].previous) == (None, None, None)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_equal_times_and_equal_ids_in_two_workspaces_are_visited_once_each(account, size):
    for n in range(4):
        for slug in ("a", "b", "c"):
            post(account, native(request_id=f"r{n}", workspace=slug))

    visited = [place for found in all_pages(size) for place in places(found)]

    assert len(visited) == len(set(visited)) == 12


def test_rows_that_arrive_meanwhile_shift_no_page(account):
    for n in range(6):
        post(
            account, native(request_id=f"r{n}", occurred_at=(NOW - timedelta(hours=n)).isoformat())
        )
    first = listed(size=3)
    post(account, native(request_id="new", occurred_at=(NOW + timedelta(hours=1)).isoformat()))

    assert ids(listed(size=3, cursor=first.next)) == ["r3", "r4", "r5"]
    assert ids(listed(size=3, cursor=listed(size=3, cursor=first.next).previous)) == [
        "r0",
        "r1",
        "r2",
    ]


def test_pages_cross_days_and_strays(account):
    for days in (0, 1, 50, 400, 4000):
        post(
            account,
            native(request_id=f"r{days:04}", occurred_at=(NOW - timedelta(days)).isoformat()),
        )

    assert [ids(found) for found in all_pages(2)] == [
        ["r0000", "r0001"],
        ["r0050", "r0400"],
        ["r4000"],
    ]


@pytest.mark.parametrize("size", [-5, 0, 1, 10**9])
def test_a_page_has_a_size_in_reason(account, size):
    post(account, native(), native())

    assert 1 <= len(listed(size=size).rows) <= 2


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "====",
        "é",
        base64.urlsafe_b64encode(b"f|2026").decode(),
        base64.urlsafe_b64encode(b"f|2026-11-20T12:00:00+00:00|a").decode(),
        base64.urlsafe_b64encode(b"f|2026-11-20T12:00:00|1|a").decode(),
        base64.urlsafe_b64encode(b"f|not-a-time|1|a").decode(),
        base64.urlsafe_b64encode(b"f|2026-11-20T12:00:00+00:00|x|a").decode(),
        base64.urlsafe_b64encode(b"f|2026-11-20T12:00:00+00:00|99999999999|a").decode(),
        base64.urlsafe_b64encode(b"f|2026-11-20T12:00:00+00:00|1|a\x00").decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_cursor_that_is_garbage_is_refused(account, text):
    with pytest.raises(BadQuestion, match="not one of ours"):
        listed(cursor=text)


@given(st.text(max_size=60))
def test_no_cursor_breaks_anything(text):
    with suppress(BadQuestion):
        read_cursor(text)


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"]
)
def test_a_cursor_from_the_ends_of_time_has_a_page(account, moment):
    post(account, native(request_id="a"))
    row = {"occurred_at": datetime.fromisoformat(moment), "request_id": "x", "workspace_id": 1}

    found = [ids(listed(cursor=make_cursor(row, backwards=way))) for way in (True, False)]

    assert sorted(found) == [[], ["a"]]


def test_a_cursor_survives_ids_of_any_kind(account):
    names = ["a|b|c", "💸", "|", 'a"b', "\u202e"]
    post(account, *(native(request_id=name) for name in names))

    assert {i for found in all_pages(1) for i in ids(found)} == set(names)


def test_nobody_pages_out_of_reach_by_a_cursor(account, workspace, outsiders_workspace):
    post(outsiders_workspace.account, native(request_id="theirs", workspace="research"))
    cursor = make_cursor(
        {
            "occurred_at": NOW + timedelta(1),
            "request_id": "x",
            "workspace_id": outsiders_workspace.pk,
        },
        backwards=False,
    )

    assert page(parse(QueryDict(""), reach_of(workspace)), cursor=cursor).rows == []
