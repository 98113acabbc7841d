"""Availability: real servers that misbehave, minutes that are judged once, outages told once."""

import socket
import threading
import time
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from budgets.models import Delivery, Notice
from tests.factories import NOW, native, post, small_price_book
from tests.usage.insight import servers
from usage.insight import addresses, availability
from usage.insight.checks import Result, ask, ask_all, said
from usage.models import (
    OutageWatch,
    Provider,
    ProviderChange,
    ProviderCheck,
    ProviderMinute,
    ProviderState,
)

MINUTE = timedelta(minutes=1)


@pytest.fixture
def private(settings):
    settings.CHECK_PRIVATE_ADDRESSES = True


def check(url, **fields):
    return ProviderCheck(**{"url": url, "timeout_seconds": 1} | fields)


def found(answer):
    with servers.answering(answer) as url:
        return ask(check(url))


def test_a_provider_that_answers_as_expected_is_up(private):
    result = found(servers.OK)

    assert (result.is_ok, result.status, result.error) == (True, 200, "")
    assert result.milliseconds is not None


def test_another_status_may_be_expected(private):
    with servers.answering(servers.BROKEN) as url:
        assert ask(check(url, expected_status=500)).is_ok


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (servers.BROKEN, "It answered 500, not 200."),
        (servers.GARBAGE, "What it answered is not HTTP."),
        (b"", "What it answered is not HTTP."),
        (servers.silent, "It did not answer in time."),
    ],
)
def test_what_is_wrong_is_said(private, answer, error):
    result = found(answer)

    assert (result.is_ok, result.error) == (False, error)


def test_a_host_that_nobody_knows_is_said_in_words():
    assert said(socket.gaierror(-2, "Name or service not known")) == "Its host's name is not known."


def test_a_dead_provider_refuses(private):
    assert ask(check(servers.dead())).error == "It refused the connection."


def test_redirects_are_answers_and_not_followed(private):
    with servers.answering(servers.OK) as secret, servers.answering(servers.moved(secret)) as url:
        assert ask(check(url)).status == 302


def test_one_that_drips_is_cut_off_and_delays_nobody(private):
    with servers.answering(servers.dripping) as slow, servers.answering(servers.OK) as fast:
        checks = [check(slow, pk=1), check(fast, pk=2)]
        started_at = time.monotonic()
        results = ask_all(checks)

    assert time.monotonic() - started_at < 3
    assert (results[1].is_ok, results[2].is_ok) == (False, True)


def test_they_are_all_asked_at_once():
    together = threading.Barrier(20, timeout=5)

    def wait(one):
        together.wait()
        return Result(True, 200, 1)

    results = ask_all([check("http://x", pk=i) for i in range(20)], ask=wait)

    assert all(result.is_ok for result in results.values())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "224.0.0.1"),
        *("2002:7f00:1::", "172.16.0.1"),
    ],
)
def test_what_is_not_on_the_internet_is_not_asked(address):
    assert not addresses.is_public(address)


def test_what_is_on_the_internet_is():
    assert addresses.is_public("1.1.1.1")
    assert addresses.is_public("2606:4700:4700::1111")


def test_a_private_address_is_refused_before_anything_is_sent(settings):
    settings.CHECK_PRIVATE_ADDRESSES = False
    with servers.answering(servers.OK) as url:
        result = ask(check(url.replace("127.0.0.1", "localhost")))

    assert not result.is_ok
    assert "not on the internet" in result.error


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "file:///etc/passwd", "https://", "https://me:pw@a.example/",
     "http://a.example/a b", "http://a.example:x/", "http://a.example/\r\nX: y"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused_when_they_are_entered(db, url):
    provider = Provider.objects.create(name="openai")
    with pytest.raises(ValidationError):
        ProviderCheck(provider=provider, url=url).full_clean()


# Minutes, states and mails.


@pytest.fixture
def openai(workspace):
    small_price_book()
    post(workspace.account, native(occurred_at=(NOW - timedelta(days=3)).isoformat()))
    provider = Provider.objects.get(name="openai")
    ProviderCheck.objects.create(provider=provider, url="https://a.example/")
    OutageWatch.objects.create(account=workspace.account, recipients=["ops@acme.example"])
    return provider


def watch(monkeypatch, answers, *, start=NOW):
    """One look a minute, at which checks answer so."""
    for number, is_ok in enumerate(answers):
        results = Result(is_ok, 200 if is_ok else 500, 5)
        monkeypatch.setattr(
            availability, "ask_all", lambda checks, r=results: {c.pk: r for c in checks}
        )
        availability.look(now=start + number * MINUTE)
    return list(ProviderChange.objects.order_by("pk").values_list("is_up", flat=True))


def test_three_failures_in_a_row_are_an_outage_and_three_answers_its_end(openai, monkeypatch):
    assert watch(monkeypatch, [True, True, True, False, False]) == []
    assert watch(monkeypatch, [False], start=NOW + 5 * MINUTE) == [False]
    assert watch(monkeypatch, [True, True], start=NOW + 6 * MINUTE) == [False]
    assert watch(monkeypatch, [True], start=NOW + 8 * MINUTE) == [False, True]
    assert ProviderState.objects.get().is_up


def test_flapping_changes_nothing(openai, monkeypatch):
    assert watch(monkeypatch, [True, False, False, True, False, True, False, False, True]) == []


def test_an_outage_and_its_end_are_told_once_each(openai, monkeypatch):
    watch(monkeypatch, [False] * 6 + [True] * 6)

    subjects = list(Notice.objects.order_by("pk").values_list("subject", flat=True))
    assert subjects == ["openai does not answer", "openai answers again"]
    assert {d.recipient for d in Delivery.objects.all()} == {"ops@acme.example"}


def test_only_who_subscribed_to_it_hears(openai, outsiders_workspace, monkeypatch):
    OutageWatch.objects.update(provider=Provider.objects.create(name="mistral"))
    watch(monkeypatch, [False] * 6)

    assert Notice.objects.count() == 0


def test_a_minute_is_checked_once_with_any_number_of_workers(openai, monkeypatch):
    asked = []
    monkeypatch.setattr(availability, "ask_all", lambda checks: asked.extend(checks) or {})

    for _ in range(3):
        availability.look(now=NOW)

    assert len(asked) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_the_same_moment_claim_it_once():
    provider = Provider.objects.create(name="openai")
    start, claims = threading.Barrier(4), []

    def claim():
        start.wait()
        claims.append(availability.claimed([provider.pk], NOW, now=NOW))
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claims, key=len) == [set(), set(), set(), {provider.pk}]


def test_without_a_check_its_requests_tell(workspace, monkeypatch):
    small_price_book()
    for minute in range(6):
        for i in range(4):
            at = (NOW + minute * MINUTE - timedelta(seconds=10 + i)).isoformat()
            post(workspace.account, native(occurred_at=at, status=503), now=NOW + minute * MINUTE)

    assert watch(monkeypatch, [True] * 6) == [False]
    assert "requests failed in 5 minutes" in ProviderChange.objects.get().reason


def test_too_many_requests_are_no_outage(workspace, monkeypatch):
    small_price_book()
    rows = [
        native(occurred_at=(NOW - timedelta(seconds=i)).isoformat(), status=429) for i in range(30)
    ]
    post(workspace.account, *rows)

    assert watch(monkeypatch, [True] * 5) == []
    assert sum(ProviderMinute.objects.values_list("limited", flat=True)) == 30


def test_of_requests_those_told_apart_are_5xx_and_time_outs_and_429(workspace):
    small_price_book()
    for status, minutes in ((200, 1), (500, 2), (504, 20), (408, 40), (429, 2), (400, 3)):
        at = (NOW - minutes * MINUTE).isoformat()
        post(workspace.account, native(occurred_at=at, status=status, workspace="research"))

    provider = Provider.objects.get().pk
    windows = availability.passive([workspace.pk], now=NOW)[provider, None]

    counts = {n: (w.requests, w.failed, w.limited) for n, w in windows.items()}
    assert counts == {"5m": (4, 1, 1), "30m": (5, 2, 1), "1d": (6, 3, 1)}
    assert f"{windows['5m'].availability:.4f}" == "0.6667"


def test_counting_twice_gives_the_same(openai):
    availability.count(end=NOW + MINUTE)
    first = list(ProviderMinute.objects.values())
    availability.count(end=NOW + MINUTE)

    assert list(ProviderMinute.objects.values()) == first != []
