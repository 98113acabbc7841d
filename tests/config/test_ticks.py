import threading

import psycopg
import pytest
from django.db import Error, connection
from django.utils import timezone

from config import schedules, ticks
from config.locks import Lock, SessionLock
from config.models import Heartbeat
from config.schedules import Tick
from tests.serving import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ran = threading.Event()


def run():
    ran.set()


def fail():
    raise ZeroDivisionError


@pytest.fixture(autouse=True)
def two_ticks(monkeypatch):
    ran.clear()
    bad = Tick("bad", every_seconds=0.01, run=f"{__name__}.fail")
    good = Tick("good", every_seconds=0.01, run=f"{__name__}.run")
    monkeypatch.setattr(schedules, "TICKS", (bad, good))


@pytest.fixture
def ticker():
    ticker = ticks.Ticker()
    yield ticker
    ticker.stop()
    ticker.lock.release()


@pytest.fixture
def rival():
    rival = SessionLock(Lock.TICKS)
    yield rival
    rival.release()


def end_session(lock):
    """As a restart of PostgreSQL does."""
    pid = lock.connection.connection.info.backend_pid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_failing_tick_does_not_stop_the_others(ticker, caplog):
    ticker.look()

    assert ran.wait(5)
    wait_until(lambda: "tick bad failed" in caplog.text, 5)


def test_one_process_ticks_at_a_time(ticker, rival):
    assert rival.try_to_hold()

    ticker.look()

    assert ticker.runners == []


def test_the_next_process_takes_over_when_the_first_is_gone(ticker, rival):
    rival.try_to_hold()
    ticker.look()

    rival.release()
    ticker.look()

    assert ran.wait(5)


def test_a_lost_session_ends_the_ticks_until_the_lock_is_held_again(ticker):
    ticker.look()
    end_session(ticker.lock)

    ticker.look()
    assert ticker.runners == []

    ran.clear()
    ticker.look()
    assert ran.wait(5)


def test_a_lost_lock_is_an_error_and_not_a_yes(rival):
    rival.try_to_hold()
    end_session(rival)

    with pytest.raises((Error, psycopg.Error)):
        rival.try_to_hold()


def test_whoever_ticks_writes_a_heartbeat(ticker):
    before = timezone.now()

    ticker.look()

    assert Heartbeat.objects.get(name=Heartbeat.TICKS).beat_at >= before


@pytest.mark.parametrize(
    ("failures", "took", "expected"),
    [(0, 0.1, 0.4), (0, 3.0, 0.0), (1, 0.0, 1.0), (3, 9.0, 4.0), (5000, 0.0, 30.0)],
)
def test_a_tick_pauses_longer_after_each_failure(failures, took, expected):
    tick = Tick("fold", every_seconds=0.5, run="anything")

    assert ticks.pause(tick, failures=failures, took=took) == pytest.approx(expected)
