"""Spikes, with a moved clock: found in minutes, told once, explained, and over when they are."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import ApiKey
from budgets.models import Delivery, Notice
from tests.factories import NOW, fetch, make_role, make_user, native, post
from tests.usage.insight.traffic import CHEAP, DEAR, price_book
from usage.insight import series, spikes
from usage.models import Anomaly, SpikeWatch

START = NOW.replace(minute=10)
CALL = {"model": CHEAP, "input_tokens": 250_000, "output_tokens": 0}  # $0.25
MINUTE = timedelta(minutes=1)


@pytest.fixture
def research(workspace):
    """A bot that spends $1 an hour, around the clock, for a fortnight."""
    price_book()
    hours = 14 * 24
    calls(workspace, "bot", [START - timedelta(minutes=15 * i + 1) for i in range(hours * 4)])
    make_role(make_user("owner", email="olivia@acme.example"), "owner", workspace.account)
    return workspace


def calls(workspace, key, moments, **fields):
    fields = CALL | {"project": "chat", "endpoint": "/v1/chat", "member": f"{key}@x"} | fields
    rows = [
        native(
            request_id=f"{key}-{moment.isoformat()}-{fields['model']}",
            occurred_at=moment.isoformat(),
            api_key=key,
            workspace=workspace.slug,
            **fields,
        )
        for moment in moments
    ]
    post(workspace.account, *rows, now=max(moments) + MINUTE)


def burst(workspace, key="bot", *, minutes=20, a_minute=4, start=START, **fields):
    calls(
        workspace,
        key,
        [start + MINUTE * i / a_minute for i in range(minutes * a_minute)],
        **{"model": DEAR, "input_tokens": 25_000} | fields,  # $0.50
    )


def watch(minutes, *, start=START, memory=None):
    memory = memory or spikes.Memory()
    for minute in range(1, minutes + 1):
        spikes.look(now=start + MINUTE * minute, memory=memory)
    return list(Anomaly.objects.order_by("pk"))


def test_usual_traffic_is_no_spike(research):
    calls(research, "bot", [START + timedelta(minutes=15 * i) for i in range(4)])

    assert watch(60) == []


def test_a_burst_is_found_within_five_minutes(research):
    burst(research)

    [found] = watch(5)

    assert found.detected_at <= START + timedelta(minutes=5)
    assert found.kind == "api_key"
    assert found.subject_name == "bot"
    assert found.noticed > found.noticed_upper > found.noticed_expected


def test_one_cause_is_one_episode_and_one_mail(research):
    """The key's member, project, model and workspace spend more too."""
    burst(research)

    assert len(watch(20)) == 1
    assert Notice.objects.count() == 1
    assert [d.recipient for d in Delivery.objects.all()] == ["olivia@acme.example"]


def test_it_says_who_and_how(research):
    burst(research)

    [found] = watch(20)

    [model] = found.drivers["by"]["model"]
    assert model["name"] == DEAR
    assert Decimal(model["share"]) == 1
    assert found.drivers["by"]["member"][0]["name"] == "bot@x"
    assert "Requests: " in Notice.objects.get().text


def test_it_ends_when_all_is_calm_with_what_it_cost(research):
    burst(research)

    [found] = watch(120)

    assert found.ended_at is not None
    spent = fetch(
        "SELECT sum(cost) AS cost FROM usage_requestlog WHERE occurred_at >= %s"
        " AND occurred_at < %s",
        [found.started_at, found.ended_at],
    )[0]["cost"]
    assert found.actual == spent
    assert Decimal(35) < found.excess_cost <= spent  # 80 requests of $0.50, some $1 is usual


def test_a_second_burst_later_is_another_episode(research):
    burst(research)
    memory = spikes.Memory()
    watch(120, memory=memory)
    later = START + timedelta(hours=4)
    burst(research, start=later)

    watch(10, start=later, memory=memory)

    assert Anomaly.objects.count() == 2
    assert Notice.objects.count() == 2


def test_two_causes_are_two_episodes(research):
    calls(research, "other", [START - timedelta(hours=i) for i in range(1, 14 * 24)])
    burst(research)
    burst(research, "other", start=START + timedelta(seconds=7), model=CHEAP, input_tokens=900_000)

    assert sorted(a.subject_name for a in watch(10)) == ["bot", "other"]


def test_what_is_said_to_be_expected_is_not_told_again(research):
    burst(research, minutes=40)
    memory = spikes.Memory()
    [found] = watch(10, memory=memory)

    spikes.decide(found.pk, "expected", note="Load test", by=None, now=START)
    watch(20, start=START + timedelta(minutes=10), memory=memory)

    found.refresh_from_db()
    assert found.state == "expected"
    assert found.last_seen_at == START + timedelta(minutes=30)
    assert Notice.objects.count() == 1


@pytest.mark.parametrize(
    "setting", [{"sensitivity": "off"}, {"least_dollars": 500, "least_tokens": 10**9}]
)
def test_a_workspace_may_hear_less(research, setting):
    SpikeWatch.objects.create(workspace=research, **setting)
    burst(research)

    assert watch(20) == []


def test_a_workspaces_own_recipients_hear_of_it(research):
    SpikeWatch.objects.create(workspace=research, recipients=["ops@acme.example"])
    burst(research)

    watch(6)

    assert [d.recipient for d in Delivery.objects.all()] == ["ops@acme.example"]


def test_a_new_key_is_not_judged_by_itself_on_its_first_day(research):
    calls(research, "new", [START + MINUTE * i for i in range(5)])

    assert watch(30) == []


def test_what_has_no_price_is_found_by_its_tokens(research):
    burst(research, model="unheard-of", input_tokens=500_000)

    [found] = watch(6)

    assert found.measure == "tokens"
    assert found.excess_cost < 1


def test_twice_the_usual_for_hours_is_found_as_a_shift(research):
    calls(research, "bot", [START + MINUTE * 4 * i for i in range(15 * 12)], model=CHEAP)

    found = [
        anomaly
        for hours in range(12)
        for anomaly in watch(1, start=START.replace(minute=1) + timedelta(hours=hours))
    ]

    assert found
    assert found[-1].window_minutes in (360, 1440)


def test_memory_holds_what_the_log_says_and_filling_twice_changes_nothing(research):
    end = START.replace(minute=0)
    series.fill([research.pk], end=end)
    first = fetch("SELECT * FROM usage_serieshour ORDER BY kind, hour, subject_id")
    series.fill([research.pk], end=end)

    assert fetch("SELECT * FROM usage_serieshour ORDER BY kind, hour, subject_id") == first
    by_kind = fetch("SELECT kind, sum(cost) AS cost FROM usage_serieshour GROUP BY kind")
    expected = fetch("SELECT sum(cost) AS c FROM usage_requestlog WHERE occurred_at < %s", [end])
    assert {row["cost"] for row in by_kind} == {expected[0]["c"]}
    assert len(by_kind) == 5


def test_what_nobody_looked_at_is_laid_down_after_a_week(research):
    burst(research)
    [found] = watch(120)

    spikes.lay_down(now=found.ended_at + timedelta(days=6))
    assert Anomaly.objects.get().state == "open"
    spikes.lay_down(now=found.ended_at + timedelta(days=8))
    assert Anomaly.objects.get().state == "resolved"


def test_archived_workspaces_are_not_watched(research):
    burst(research)
    type(research).objects.update(archived_at=NOW)

    assert watch(6) == []


def test_a_key_is_named_by_its_name(research):
    ApiKey.objects.filter(identifier="bot").update(name="Support bot")
    burst(research)

    [found] = watch(6)

    assert found.subject_name == "Support bot"
    assert Notice.objects.get().subject.startswith("API key Support bot spends more than usual: $")
