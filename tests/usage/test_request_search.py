"""Searches for few of many requests: the plain query's rows, found on the days that have any."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from django.http import QueryDict

from tests.factories import NOW, make_account, native, post, small_price_book
from tests.usage import traffic
from tests.usage.lists import all_pages, ids, listed, places, reach
from usage import requests
from usage.request_search import Stretch, Walk
from usage.requests import BadQuestion, SearchTooLong, page, parse
from usage.rollups.fold import fold, fold_all

DAYS = [date(2026, 11, day) for day in (1, 2, 9, 10, 11, 15)]
FILTERS = (
    *("model=brand-new", "model=nobody", "provider=azure", "endpoint=none", "project=alpha"),
    *("project=none", "client=initech", "client=none", "member=jane", "api_key=key-1"),
    *("workspace=support", "status=404", "status=200", "status=599", "status_class=5xx"),
    *("status_class=4xx&status_class=5xx", "status_class=2xx", "status_class=2xx&status_class=4xx"),
    *("error_type=Timeout", "streamed=true", "service_tier=none", "unpriced=1", "unpriced=0"),
    *("cost_min=0.004", "cost_min=0", "cost_max=0.002", "cost_min=100", "latency_min=4000"),
    *("latency_max=300", "latency_max=0", "latency_min=90000", "request_id__startswith=a"),
    *("from=2026-11-09", "to=2026-11-11", "from=2026-11-10T12:00:00Z", "tag=team"),
)


@pytest.fixture(params=["America/Havana", "Asia/Kolkata"])
def logged(request, db):
    """Requests of six days in a zone, of which some batches are folded."""
    account = make_account("acme", time_zone=request.param)
    rows = traffic.rows(120, days=DAYS, zone=request.param)
    traffic.record(account, rows[:70], chunk=7)
    fold(rows_at_once=40)
    for start in range(70, 120, 10):
        post(account, *rows[start : start + 10])
    return account


def plain(query: str) -> list[tuple[str, str]]:
    """The rows without asking roll-ups where they are."""
    found = requests.rows_in(parse(QueryDict(query), reach()), None, wanted=500, backwards=False)
    return [(row["workspace"], row["request_id"]) for row in found]


def test_whatever_is_folded_filters_find_the_rows_of_the_plain_query(logged):
    rng = random.Random(logged.time_zone)
    pairs = ["&".join(rng.sample(FILTERS, 2)) for _ in range(8)]
    expected = {query: plain(query) for query in (*FILTERS, *pairs)}

    for _ in range(2):
        assert {query: places(listed(query, size=500)) for query in expected} == expected
        fold_all()


@pytest.mark.parametrize("query", ["error_type=Timeout", "member=jane", "cost_min=0.0045"])
def test_who_has_no_patience_pages_through_the_same_rows_there_and_back(logged, monkeypatch, query):
    monkeypatch.setattr(requests, "PATIENCE_SECONDS", -1)

    forward = all_pages(4, query)
    back = [forward[-1]]
    while back[-1].previous:
        back.append(listed(query, size=4, cursor=back[-1].previous))

    assert any(found.searched_to for found in forward)
    assert [place for found in forward for place in places(found)] == plain(query)
    assert [place for found in reversed(back) for place in places(found)] == plain(query)


def test_a_page_that_was_left_unfinished_says_how_far_it_came(account, monkeypatch):
    monkeypatch.setattr(requests, "PATIENCE_SECONDS", -1)
    for days in (0, 40):
        post(account, native(request_id=f"r{days}", tags={"n": days},
                             occurred_at=(NOW - timedelta(days)).isoformat()))  # fmt: skip
    fold_all()

    found = all_pages(10, "tag=n:40")

    assert [ids(one) for one in found if one.rows] == [["r40"]]
    assert found[0].rows == []
    assert NOW - timedelta(40) < found[0].searched_to <= NOW
    assert found[-1].searched_to is None


@pytest.mark.parametrize(
    "query", ["project=beta", "member=jane", "cost_min=1000", "latency_min=900000", "status=500"]
)
def test_days_without_such_requests_are_not_looked_at(account, django_assert_num_queries, query):
    small_price_book()
    post(account, native(project="alpha", member="joe", latency_ms=500))
    fold_all()
    listed("project=alpha")  # how large the roll-ups are is known for a minute
    asked = parse(QueryDict(query), reach())

    with django_assert_num_queries(1):
        assert page(asked).rows == []


def test_where_midnight_comes_twice_the_day_begins_at_the_first(db):
    """In Havana the clock goes back from 1:00 to 0:00, which is when that day begins again."""
    account = make_account(time_zone="America/Havana")
    post(account, native(request_id="first", member="jane", occurred_at="2026-11-01T04:10:00Z"))
    fold_all()

    assert ids(listed("member=jane")) == ["first"]


def test_a_window_that_takes_too_long_is_made_shorter(account, monkeypatch):
    post(account, native(request_id="r"))
    look, tried = requests.rows_in, []

    def rows_in(query, window, **more):
        tried.append(window.until - window.since)
        if tried[-1] > timedelta(hours=1):
            raise SearchTooLong("too long")
        return look(query, window, **more)

    monkeypatch.setattr(requests, "rows_in", rows_in)

    assert ids(listed("tag=team")) == []
    assert ids(listed("model=gpt-4o")) == ["r"]
    assert tried[:2] == [timedelta(hours=25), timedelta(hours=25) / 32]


def test_where_no_window_is_short_enough_it_is_said_how_to_ask_for_less(account, monkeypatch):
    post(account, native())

    def rows_in(*args, **more):
        raise SearchTooLong("Choose fewer days")

    monkeypatch.setattr(requests, "rows_in", rows_in)

    with pytest.raises(BadQuestion, match="Choose fewer days"):
        listed("model=gpt-4o")


@pytest.mark.parametrize("backwards", [False, True])
def test_a_walk_comes_to_every_stretch_once_and_leaves_out_the_time_between(backwards):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    stretches = [
        Stretch(workspace, begin + timedelta(day), begin + timedelta(day + 1))
        for workspace, day in ((1, 0), (2, 0), (1, 50), (1, 90))
    ]
    walk, seen, windows = Walk(stretches, backwards=backwards), timedelta(), 0
    while window := walk.window():
        seen += sum((s.until - s.since for s in window.stretches), timedelta())
        windows += 1
        walk.leave(window)

    assert (seen, windows) == (timedelta(4), 3)
