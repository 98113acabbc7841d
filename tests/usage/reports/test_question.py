"""Questions: what is understood, and what is said about what is not."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.http import QueryDict

from accounts.access import Reach
from accounts.models import Account, Workspace
from tests.factories import NOW
from usage.reports.catalogue import DEFAULT_METRICS, DIMENSIONS, METRICS, schema
from usage.reports.question import MAX_ROWS, BadQuestion, Filter, Question, parse

KOLKATA = Account(pk=1, name="Acme", slug="acme", time_zone="Asia/Kolkata")
BERLIN = Account(pk=2, name="Globex", slug="globex", time_zone="Europe/Berlin")
REACH = Reach(
    (KOLKATA, BERLIN),
    (Workspace(pk=1, account=KOLKATA, slug="a"), Workspace(pk=2, account=BERLIN, slug="b")),
)


def asked(query: str, *, now: datetime = NOW) -> Question:
    return parse(QueryDict(query), REACH, now=now)


def refusal(query: str) -> str:
    with pytest.raises(BadQuestion) as caught:
        asked(query)
    return str(caught.value)


def test_without_parameters_the_last_30_days_are_asked_for():
    question = asked("")

    assert (question.start, question.end) == (date(2026, 10, 22), date(2026, 11, 21))
    assert (question.granularity, question.group_by, question.metrics) == (
        "none",
        (),
        DEFAULT_METRICS,
    )
    assert question.reach == REACH


def test_today_is_the_accounts_day():
    late = datetime(2026, 11, 20, 19, tzinfo=UTC)  # the 21st in Kolkata, the 20th in Berlin

    assert asked("", now=late).end == date(2026, 11, 22)
    assert asked("account=globex", now=late).end == date(2026, 11, 22)
    assert asked("timezone=UTC", now=late).end == date(2026, 11, 21)


def test_a_whole_question():
    question = asked(
        "from=2026-11-01&to=2026-11-08&granularity=day&group_by=model,member&group_by=project"
        "&metrics=cost, requests&order=-cost,day&limit=5&timezone=Asia/Tokyo&account=acme"
        "&model=gpt-4o&model=none&member_id=7&member_id=8&member=jane&compare=previous"
    )

    assert question.as_dict() == {
        "from": "2026-11-01",
        "to": "2026-11-08",
        "granularity": "day",
        "group_by": ["model", "member", "project"],
        "metrics": ["cost", "requests"],
        "filters": {"model": ["gpt-4o", "none"], "member": ["jane", "id:7", "id:8"]},
        "order": ["-cost", "day"],
        "limit": 5,
        "compare": "previous",
        "previous": {"from": "2026-10-25", "to": "2026-11-01"},
        "timezone": "Asia/Tokyo",
        "accounts": ["acme"],
    }


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("from=2026-11-01", date(2026, 11, 1), date(2026, 11, 21)),
        ("to=2026-11-01", date(2026, 10, 2), date(2026, 11, 1)),
        ("from=2026-11-19T00:00:00Z", datetime(2026, 11, 19, tzinfo=UTC), NOW),
        (
            "from=2026-11-19T05:30:00%2B05:30&to=2026-11-19T01:00:00Z",
            datetime(2026, 11, 19, tzinfo=UTC),
            datetime(2026, 11, 19, 1, tzinfo=UTC),
        ),
        ("from=0001-01-01&to=9999-12-31", date.min, date.max),
    ],
)
def test_periods(query, start, end):
    question = asked(query)

    assert (question.start, question.end) == (start, end)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("modell=x", "There is no parameter 'modell': did you mean model"),
        ("group_by=modle", "There is no dimension 'modle': did you mean model"),
        ("metrics=costs", "There is no metric 'costs': did you mean cost"),
        ("metrics=qqq", "There is no metric 'qqq': one of requests,"),
        ("granularity=minutes", "There is no granularity 'minutes': did you mean minute"),
        ("granularity=minute", "By the minute a period may have 1 day; this one has 30."),
        ("from=2026-11-19T00:00:00Z&to=2026-11-20T00:01:00Z&granularity=minute", "has 1.00069"),
        ("from=2025-01-01&granularity=hour", "may have 366 days; this one has 689. Ask for less"),
        ("compare=last", "There is no comparison 'last'"),
        ("comparee=previous", "There is no parameter 'comparee': did you mean compare"),
        ("order=cost_previous", "There is no order 'cost_previous'"),
        ("order=cost_previos&compare=previous", "did you mean cost_previous"),
        ("from=0001-01-05&to=2026-01-01&compare=previous", "no time before 0001-01-05"),
        ("from=0001-02-01&to=2026-02-01&compare=previous", "no time before 0001-02-01"),
        ("order=price", "There is no order 'price'"),
        ("order=errors&metrics=cost", "There is no order 'errors'"),
        ("order=none", "There is no order 'none'"),
        ("order=--cost", "There is no order '-cost'"),
        ("group_by=model,model", "group_by has the same name twice"),
        ("metrics=latency_ms_p50,latency_ms_p50", "metrics has the same name twice"),
        ("from=2026-11-02&to=2026-11-02", "from must be before to"),
        ("from=2026-11-02&to=2026-11-01", "from must be before to"),
        ("from=2026-11-02&to=2026-11-03T00:00:00Z", "as days, or both as moments"),
        ("from=2026-13-01", "neither a day (2026-01-31) nor a moment"),
        ("from=2026-11-02T00:00:00", "neither a day"),
        ("from=now", "neither a day"),
        ("from=0001-01-01T00:00:00%2B14:00", "neither a day"),
        ("to=0001-01-05", "There is no time before 0001-01-05"),
        ("limit=0", "limit is a whole number from 1 to 10,000"),
        ("limit=10001", "limit is a whole number"),
        ("limit=-1", "limit is a whole number"),
        ("limit=%C2%B2", "limit is a whole number"),
        ("limit=" + "9" * 5000, "limit is a whole number"),
        ("model_id=x", "model_id is a whole number"),
        ("model_id=%C2%B2", "model_id is a whole number"),
        ("model_id=2147483648", "model_id is a whole number"),
        ("streamed_id=1", "streamed has no ids; use streamed=1."),
        ("from_id=1", "There is no dimension 'from'"),
        ("model=%00", "model may not contain the NUL character"),
        ("timezone=Mars", "'Mars' is not a time zone"),
        ("timezone=../../etc/passwd", "is not a time zone"),
    ],
)
def test_what_cannot_be_asked_is_said_with_what_can(query, said):
    assert said in refusal(query)


def test_a_question_needs_a_metric():
    with pytest.raises(BadQuestion, match="at least one metric"):
        Question(reach=REACH, start=date(2026, 1, 1), end=date(2026, 1, 2), metrics=())


@pytest.mark.parametrize("query", ["model=", "model=&model=", "group_by=,", "limit=", "from="])
def test_an_empty_parameter_is_none(query):
    question = asked(query)

    assert (question.filters, question.group_by, question.limit) == ({}, (), None)


def test_an_unknown_account_reaches_nothing():
    assert asked("account=initech").reach == Reach((), ())


def test_the_period_before_has_the_same_length():
    before = asked("from=2026-11-08&to=2026-11-15&model=x").before()

    assert (before.start, before.end) == (date(2026, 11, 1), date(2026, 11, 8))
    assert before.filters == {"model": Filter(keys=("x",))}


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("from=2026-11-01&to=2026-12-01", date(2026, 10, 1)),
        ("from=2026-01-01&to=2026-04-01", date(2025, 10, 1)),
        ("from=2024-01-01&to=2025-01-01&granularity=month", date(2023, 1, 1)),
        ("from=2026-11-01&to=2026-12-01&granularity=day", date(2026, 10, 2)),
        ("from=2026-11-01&to=2026-12-02", date(2026, 10, 1)),
        ("from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z", datetime(2026, 10, 2, tzinfo=UTC)),
    ],
)
def test_whole_months_are_compared_with_whole_months(query, start):
    assert asked(query).before().start == start


def test_before_all_time_there_is_nothing_to_ask():
    with pytest.raises(BadQuestion, match="no time before"):
        asked("from=0001-01-02&to=2026-01-01").before()


def test_days_are_days_and_moments_are_not():
    assert asked("").by_days
    assert not asked("from=2026-11-19T00:00:00Z").by_days


def test_the_schema_lists_what_may_be_asked():
    found = schema()

    assert [metric["name"] for metric in found["metrics"]] == list(METRICS)
    assert [dimension["name"] for dimension in found["dimensions"]] == list(DIMENSIONS)
    assert all(all(entry.values()) for entries in found.values() for entry in entries)


def test_a_limit_may_be_as_large_as_an_answer():
    assert asked(f"limit={MAX_ROWS}").limit == MAX_ROWS
    assert asked("limit=1").limit == 1


@pytest.mark.parametrize("length", [timedelta(0), timedelta(-1)])
def test_a_period_is_never_empty(length):
    with pytest.raises(BadQuestion):
        Question(reach=REACH, start=NOW, end=NOW + length)
