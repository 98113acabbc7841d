"""Lists of the log: filters, every field, and nothing out of reach."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.http import QueryDict

from accounts.access import Reach
from accounts.models import Account, Member, Workspace
from tests.factories import (
    NOW,
    make_account,
    make_workspace,
    native,
    post,
    reach_of,
    small_price_book,
)
from tests.usage import traffic
from tests.usage.lists import all_pages, ids, listed, reach
from usage import requests
from usage.reports.question import BadQuestion
from usage.requests import Page, one, page, parse


def test_the_newest_come_first(account):
    for n in range(3):
        post(
            account, native(request_id=f"r{n}", occurred_at=(NOW - timedelta(hours=n)).isoformat())
        )

    assert ids(listed()) == ["r0", "r1", "r2"]


def test_a_day_begins_at_the_midnight_of_each_rows_own_account(db):
    """The same four moments in two accounts: 23:30 and 00:30 in New York, then in Kolkata."""
    places = []
    for slug, zone in (("ny", "America/New_York"), ("in", "Asia/Kolkata")):
        account = make_account(slug, time_zone=zone)
        places.append(make_workspace(account, "w"))
        for at in ("14T18:00", "14T19:00", "15T04:30", "15T05:30"):
            post(account, native(request_id=at, workspace="w", occurred_at=f"2026-11-{at}:00Z"))
    query = parse(QueryDict("from=2026-11-15&to=2026-11-16"), reach_of(*places))

    rows = [(row["workspace_id"], row["request_id"]) for row in page(query).rows]

    ny, kolkata = (place.pk for place in places)
    assert sorted(rows) == [
        (ny, "15T05:30"),
        (kolkata, "14T19:00"),
        (kolkata, "15T04:30"),
        (kolkata, "15T05:30"),
    ]


MIDNIGHT = datetime(2026, 11, 15, tzinfo=UTC)
FILTERED = [
    ("model=brand-new", lambda r: r["model"] == "brand-new"),
    ("model=brand-new&model=gpt-4o&provider=azure", lambda r: r["provider"] == "azure"),
    ("project=none", lambda r: r["project"] is None),
    ("project=alpha&project=none", lambda r: r["project"] in ("alpha", None)),
    ("client=initech", lambda r: r["client"] == "initech"),
    ("client=none", lambda r: r["client"] is None),
    ("member=jane&api_key=none", lambda r: r["member"] == "jane" and r["api_key"] is None),
    ("workspace=support", lambda r: r["workspace"] == "support"),
    ("status=404", lambda r: r["status"] == 404),
    ("status_class=5xx&status_class=4xx", lambda r: r["status"] >= 400),
    ("error_type=Timeout&streamed=true", lambda r: r["error_type"] and r["streamed"] == "true"),
    ("service_tier=none", lambda r: r["service_tier"] is None),
    ("unpriced=1", lambda r: r["cost"] is None),
    ("unpriced=TRUE", lambda r: r["cost"] is None),
    ("unpriced=false", lambda r: r["cost"] is not None),
    ("cost_min=0.002&cost_max=0.004", lambda r: r["cost"] and 20 <= r["cost"] * 10_000 <= 40),
    ("latency_min=1000&latency_max=3000", lambda r: 1000 <= (r["latency_ms"] or 0) <= 3000),
    ("from=2026-11-15", lambda r: r["occurred_at"] >= MIDNIGHT),
    ("to=2026-11-15", lambda r: r["occurred_at"] < MIDNIGHT),
    ("from=2026-11-15T06:00:00Z&to=2026-11-15T18:00:00Z",
     lambda r: MIDNIGHT + timedelta(hours=6) <= r["occurred_at"] < MIDNIGHT + timedelta(hours=18)),
    ("account=acme", lambda r: True),
    ("account=initech", lambda r: False),
    ("model=", lambda r: True),
]  # fmt: skip


@pytest.mark.parametrize(("query", "wanted"), FILTERED, ids=[query for query, _ in FILTERED])
def test_filters_choose_the_rows_that_are_meant(account, query, wanted):
    traffic.record(account, traffic.rows(60, days=[date(2026, 11, 14), date(2026, 11, 15)]))
    expected = {row["request_id"] for row in traffic.logged() if wanted(row)}

    assert set(ids(listed(query, size=100))) == expected
    assert {i for found in all_pages(7, query) for i in ids(found)} == expected


def test_days_are_the_accounts(db):
    kolkata = make_account("acme", time_zone="Asia/Kolkata")
    post(kolkata, native(request_id="19th", occurred_at="2026-11-19T18:29:59Z"))
    post(kolkata, native(request_id="20th", occurred_at="2026-11-19T18:30:00Z"))

    assert ids(listed("from=2026-11-20")) == ["20th"]
    assert ids(listed("to=2026-11-20")) == ["19th"]


def test_requests_are_found_by_id(account):
    post(account, *(native(request_id=name) for name in ("abc", "abd", "a%c", "a_c", "x")))

    assert ids(listed("request_id=abc&request_id=x&request_id=nobody")) == ["x", "abc"]
    assert set(ids(listed("request_id__startswith=ab"))) == {"abc", "abd"}
    assert ids(listed("request_id__startswith=a%25")) == ["a%c"]
    assert ids(listed("request_id__startswith=a_")) == ["a_c"]


def test_requests_are_found_by_the_ids_of_what_they_name(account):
    post(account, native(request_id="hers", member="jane"), native(request_id="his", member="joe"))
    jane = Member.objects.get(identifier="jane")

    assert ids(listed(f"member_id={jane.pk}")) == ["hers"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("modell=x", "There is no parameter 'modell': did you mean model"),
        ("cursor_id=1", "There is no parameter 'cursor_id'"),
        ("status_id=5", "There is no parameter 'status_id'"),
        ("status_class_id=5", "status_class has no ids"),
        ("member_id=x", "member_id is a whole number"),
        ("cost_min=much", "cost_min='much' is not a number"),
        ("cost_min=NaN", "cost_min='NaN' is not a number"),
        ("cost_min=sNaN", "is not a number"),
        ("cost_min=Infinity", "is not a number"),
        ("cost_max=1e999999999", "is not a number"),
        ("cost_max=1e-999999999", "is not a number"),
        ("latency_min=1.5", "is not a number"),
        ("latency_min=" + "9" * 5000, "is not a number"),
        ("status=10000000000", "is not a number"),
        ("unpriced=perhaps", "unpriced is true or false"),
        ("from=yesterday", "neither a day"),
        ("model=%00", "may not contain the NUL"),
        ("request_id=a%00b", "may not contain the NUL"),
        ("request_id__startswith=%00", "may not contain the NUL"),
    ],
)
def test_what_cannot_be_filtered_by_is_said(account, query, said):
    with pytest.raises(BadQuestion) as caught:
        listed(query)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    "query", ["cost_max=1000000000", "cost_min=-1", "status=99999", "cost_min=1e-15"]
)
def test_odd_numbers_are_numbers(account, query):
    assert listed(query).rows == []


def test_a_row_says_everything_about_its_request(account):
    small_price_book()
    post(
        account,
        native(
            request_id="r",
            workspace="research",
            project="x",
            member="jane",
            api_key="k" * 64,
            requested_model="fast",
            endpoint="/v1/chat/completions",
            cache_read_tokens=200,
            latency_ms=40,
            meters={"web_search": 1},
            tags={"a": 1},
            cost="0.5",
        ),
    )

    (row,) = listed().rows

    research = Workspace.objects.get()
    assert row == {
        "request_id": "r",
        "occurred_at": NOW,
        "received_at": NOW,
        "workspace": "research",
        "workspace_name": "research",
        "workspace_id": research.pk,
        "project": "x",
        "project_name": "x",
        "client": None,
        "client_name": None,
        "member": "jane",
        "member_name": "jane",
        "api_key": "k" * 64,
        "api_key_name": "k" * 8 + "…",
        "model": "gpt-4o",
        "requested_model": "fast",
        "provider": "openai",
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "error_type": None,
        "service_tier": None,
        "streamed": None,
        "input_tokens": 1000,
        "cache_read_tokens": 200,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": 100,
        "reasoning_tokens": 0,
        "latency_ms": 40,
        "time_to_first_token_ms": None,
        # 800 * 2.50 + 200 * 1.25 + 100 * 10 in millionths, and a search
        "cost": Decimal("0.01325"),
        "ceiling_cost": None,
        "reported_cost": Decimal("0.5"),
        "meters": {"web_search": 1},
        "tags": {"a": 1},
    }


def test_the_largest_request_is_listed(account):
    most = 2_000_000_000
    post(
        account,
        native(input_tokens=most, cache_read_tokens=most // 2, cache_write_tokens=most // 2),
    )

    assert listed().rows[0]["input_tokens"] == most


def test_a_list_takes_one_query_however_long_and_with_filters_two(
    account, django_assert_num_queries
):
    traffic.record(account, traffic.rows(40, days=[date(2026, 11, 15)]))
    listed("member=jane")  # how large the roll-ups are is known for a minute

    for text, queries in (("", 1), ("client=initech&client=none&member=jane", 2)):
        query = parse(QueryDict(text), reach())
        for size in (1, 30):
            with django_assert_num_queries(queries):
                page(query, size=size)


def test_what_is_out_of_reach_is_not_listed(
    account, workspace, colleagues_workspace, outsiders_workspace
):
    post(account, native(request_id="mine", workspace="research", project="x"))
    post(account, native(request_id="colleagues", workspace="support", project="x"))
    post(
        outsiders_workspace.account, native(request_id="theirs", workspace="research", project="x")
    )
    queries = [
        "",
        "project=x",
        "request_id=mine&request_id=colleagues&request_id=theirs",
        "workspace=research&workspace=support",
        f"workspace_id={outsiders_workspace.pk}&workspace=research",
        "request_id__startswith=",
        "account=globex&account=acme",
    ]

    for query in queries:
        assert ids(page(parse(QueryDict(query), reach_of(workspace)))) == ["mine"], query


def test_an_empty_reach_lists_nothing(db):
    assert page(parse(QueryDict("from=2026-01-01"), Reach((), ()))) == Page([], None, None)


def test_one_request(account, workspace, outsiders_workspace):
    post(account, native(request_id="r", workspace="research"))
    post(outsiders_workspace.account, native(request_id="theirs", workspace="research"))
    mine = reach_of(workspace)

    assert one(mine, "r")["request_id"] == "r"
    assert one(mine, "r", workspace_id=workspace.pk)["account_id"] == account.pk
    for gone in ("theirs", "nobody", "", "r\x00"):
        assert one(mine, gone) is None
    assert one(mine, "theirs", workspace_id=outsiders_workspace.pk) is None
    assert one(Reach((), ()), "r") is None


def test_of_one_id_in_two_workspaces_the_newest_is_shown(account, workspace, colleagues_workspace):
    post(account, native(request_id="r", workspace="research", occurred_at="2026-11-01T00:00:00Z"))
    post(account, native(request_id="r", workspace="support"))

    assert one(reach(), "r")["workspace"] == "support"
    assert one(reach(), "r", workspace_id=workspace.pk)["workspace"] == "research"


def test_one_request_takes_one_query(account, django_assert_num_queries):
    post(account, native(request_id="r"))
    everything = reach()

    with django_assert_num_queries(1):
        one(everything, "r")


def test_every_field_has_a_value_in_every_list(account):
    post(account, native())

    assert set(listed().rows[0]) == {*requests.FIELDS, "workspace_id"}


def test_two_accounts_are_listed_together(db):
    for slug in ("acme", "globex"):
        post(make_account(slug), native(request_id=slug))

    assert len(listed().rows) == Account.objects.count() == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tag=team:search", ["a"]),
        ("tag=attempt:2", ["b"]),
        ("tag=team", ["a", "b"]),
        ("tag=team:ads&tag=attempt:2", ["b"]),
        ("tag=team:nobody", []),
    ],
)
def test_requests_are_found_by_their_tags(account, query, found):
    post(account, native(request_id="a", tags={"team": "search"}))
    post(account, native(request_id="b", tags={"team": "ads", "attempt": 2}))
    post(account, native(request_id="c"))

    assert sorted(ids(listed(query))) == found


@pytest.mark.django_db(transaction=True)
def test_a_search_that_takes_too_long_says_how_to_ask_for_less(monkeypatch):
    post(make_account(), native())
    monkeypatch.setattr(requests, "LONGEST_SEARCH_MS", 50)
    monkeypatch.setitem(requests.FIELDS, "request_id", "(SELECT 'x' FROM pg_sleep(5))")

    with pytest.raises(BadQuestion, match="Choose fewer days"):
        listed()

    assert Account.objects.exists(), "the connection still works"
