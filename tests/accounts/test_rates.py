import contextlib
import threading
import timeit

import pytest
from rest_framework.exceptions import Throttled

from accounts import rates
from accounts.rates import AtOnce, Rates
from tests.factories import Clock, bearer, make_account, make_workspace, native


@pytest.fixture
def time(monkeypatch, settings):
    settings.RATE_LIMIT_PER_TOKEN, settings.WEB_WORKERS = 20, 2
    clock = Clock()
    monkeypatch.setattr(rates, "time", clock)
    monkeypatch.setattr(rates.rates, "levels", {})
    return clock


def taken(limits, token_id, tries):
    number = 0
    with contextlib.suppress(Throttled):
        for _ in range(tries):
            limits.take(token_id)
            number += 1
    return number


def test_a_burst_of_two_seconds_passes_then_the_rate_holds(time):
    limits = Rates()

    assert taken(limits, 1, 100) == 20
    time.now += 0.5
    assert taken(limits, 1, 100) == 5
    time.now += 3600
    assert taken(limits, 1, 100) == 20


def test_one_tokens_flood_costs_no_other_anything(time):
    limits = Rates()
    taken(limits, 1, 100)

    assert taken(limits, 2, 10) == 10


def test_without_a_limit_everything_passes(settings):
    settings.RATE_LIMIT_PER_TOKEN = 0

    assert taken(Rates(), 1, 1000) == 1000


def test_it_costs_a_call_next_to_nothing(settings):
    settings.RATE_LIMIT_PER_TOKEN = 1e12
    limits = Rates()

    assert min(timeit.repeat(lambda: limits.take(1), number=2000, repeat=5)) / 2000 < 20e-6


@pytest.mark.parametrize("path", ["/api/v1/requests/", "/api/v1/authorize/", "/api/v1/usage/"])
def test_who_calls_too_often_is_told_when_to_come_back(db, client, time, path):
    account = make_account()
    make_workspace(account, "default")
    header = bearer(account)
    ask = client.get if path.endswith("usage/") else client.post
    body = {} if ask == client.get else {"data": native(), "content_type": "application/json"}
    answers = [ask(path, headers=header, **body) for _ in range(21)]

    assert [answer.status_code == 429 for answer in answers] == [False] * 20 + [True]
    assert answers[20].headers["Retry-After"] == "1"
    assert answers[20].json()["error"]["code"] == "throttled"
    assert ask(path, headers=bearer(account), **body).status_code != 429


def test_half_of_the_threads_are_left_to_other_accounts(settings):
    settings.WEB_THREADS = 4
    running = AtOnce(Throttled)
    with running.one_more(1), running.one_more(1):
        with pytest.raises(Throttled), running.one_more(1):
            pass
        with running.one_more(2):
            pass
    assert not running.running


def test_who_waits_for_a_place_gets_the_next_that_is_free(settings):
    settings.WEB_THREADS = 2
    running, done = AtOnce(Throttled, patience_seconds=30), threading.Event()

    def wait():
        with running.one_more(1):
            done.set()

    with running.one_more(1):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not done.wait(0.01)
    thread.join()

    assert done.is_set()


def test_a_report_that_takes_too_long_is_refused_with_what_to_do(db, client, monkeypatch):
    from django.db import connection

    from usage.reports import run

    def slow(*_, **__):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '20ms'")
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr(run, "ask", slow)

    response = client.get("/api/v1/usage/", headers=bearer(make_account()))

    assert (response.status_code, response.json()["error"]["code"]) == (400, "too_slow")
