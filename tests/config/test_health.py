import os
import signal
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from config import condition, embedded, health
from config.directories import POSTGRES_DIR
from config.logs import News
from config.models import Heartbeat
from tests.factories import make_account, native, post
from tests.serving import wait_until
from usage.rollups.fold import fold


class InThisThread(health.Watch):
    """Sees what the test's own transaction has written."""

    def reasons(self):
        return health.obstacles(now=timezone.now())


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    monkeypatch.setattr(health, "schema", health.Schema())
    monkeypatch.setattr(health, "watch", InThisThread())
    monkeypatch.setattr(health, "readiness", health.Readiness())


@pytest.fixture
def worker_beats(db):
    for name in (Heartbeat.QUEUE, Heartbeat.TICKS):
        Heartbeat.objects.beat(name, at=timezone.now())


def test_healthz_needs_no_database(client):
    response = client.get("/healthz")

    assert (response.status_code, response.content) == (200, b"ok\n")


def test_readyz_is_ready_when_all_is_well(client, worker_beats):
    response = client.get("/readyz")

    assert (response.status_code, response.json()) == (200, {"ready": True, "reasons": []})


def test_readyz_misses_a_worker_that_never_ran(client, db):
    response = client.get("/readyz")

    assert response.status_code == 503
    assert len(response.json()["reasons"]) == 2


def test_readyz_misses_a_worker_that_fell_silent(client, worker_beats):
    long_ago = timezone.now() - health.FRESH - timedelta(seconds=1)
    Heartbeat.objects.beat(Heartbeat.TICKS, at=long_ago)

    reasons = client.get("/readyz").json()["reasons"]

    assert [reason for reason in reasons if "ticks" in reason] == reasons != []


def test_readyz_trusts_no_life_that_a_clock_which_was_ahead_has_left(client, worker_beats):
    Heartbeat.objects.beat(Heartbeat.QUEUE, at=timezone.now() + timedelta(hours=1))

    assert [reason[:18] for reason in client.get("/readyz").json()["reasons"]] == [
        "The worker's queue"
    ]


def test_readyz_says_that_migrations_are_missing(client, worker_beats, monkeypatch):
    monkeypatch.setattr(health, "has_unapplied_migrations", lambda: True)

    response = client.get("/readyz")

    assert response.status_code == 503
    assert "migrate" in response.json()["reasons"][0]


def test_readyz_looks_at_the_migrations_once(
    client, worker_beats, django_assert_num_queries, monkeypatch
):
    client.get("/readyz")

    with django_assert_num_queries(2):
        client.get("/readyz")


def test_readyz_says_that_the_database_does_not_answer(client, db, monkeypatch):
    def fail():
        raise OperationalError("connection refused at 10.0.0.1")

    monkeypatch.setattr(health, "has_unapplied_migrations", fail)

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["reasons"] == ["The database does not answer: OperationalError."]


def test_a_heartbeat_is_one_row_and_one_statement(db, django_assert_num_queries):
    Heartbeat.objects.beat("queue", at=timezone.now())

    with django_assert_num_queries(1):
        Heartbeat.objects.beat("queue", at=timezone.now())

    assert Heartbeat.objects.count() == 1


def test_readyz_says_that_roll_ups_lag(client, worker_beats):
    post(make_account(), native())
    long_ago = timezone.now() - condition.LONGEST_LAG - timedelta(days=1, minutes=5)
    Heartbeat.objects.beat(Heartbeat.of_tick("fold"), at=long_ago)

    assert client.get("/readyz").json()["reasons"] == [
        "Roll-ups were last brought up to date 1455 minutes ago."
    ]
    fold()
    assert client.get("/readyz").json()["ready"]


def test_readyz_says_that_the_disk_is_full(client, worker_beats, monkeypatch):
    monkeypatch.setattr(condition, "free_bytes", lambda: 3 * 1024**2)

    assert client.get("/readyz").json()["reasons"] == [
        "The data directory's disk has only 3 MB left."
    ]


def test_readyz_does_not_wait_for_a_database_that_hangs(client, db, monkeypatch):
    looks, goes_on = [], threading.Event()
    monkeypatch.setattr(health, "DEADLINE_SECONDS", 0.05)
    monkeypatch.setattr(health, "watch", health.Watch())
    monkeypatch.setattr(health, "obstacles", lambda now: looks.append(now) or [goes_on.wait(30)])

    answers = [client.get("/readyz") for _ in range(3)]
    goes_on.set()

    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["reasons"][0].startswith("No answer within")
    assert len(looks) == 1  # no thread more for each who asks


def test_readyz_says_no_while_postgresql_is_stopped_and_yes_when_it_goes_on(
    client, transactional_db, worker_beats, monkeypatch
):
    monkeypatch.setattr(health, "watch", health.Watch())
    assert client.get("/readyz").status_code == 200

    monkeypatch.setattr(health, "DEADLINE_SECONDS", 0.2)
    postmaster = embedded.postmaster_pid(POSTGRES_DIR)
    os.kill(postmaster, signal.SIGSTOP)
    try:
        answer = client.get("/readyz")
    finally:
        os.kill(postmaster, signal.SIGCONT)

    assert (answer.status_code, answer.json()["reasons"][0][:15]) == (503, "No answer withi")
    wait_until(lambda: client.get("/readyz").status_code == 200, 30)


def test_the_log_is_told_when_readiness_changes_and_not_each_time(client, worker_beats, caplog):
    Heartbeat.objects.filter(name=Heartbeat.TICKS).delete()
    for _ in range(3):
        assert client.get("/readyz").status_code == 503
    Heartbeat.objects.beat(Heartbeat.TICKS, at=timezone.now())
    for _ in range(2):
        assert client.get("/readyz").status_code == 200

    told = [line.getMessage()[:12] for line in caplog.records if News().filter(line)]
    assert told == ["Not ready: T", "Ready again."]
