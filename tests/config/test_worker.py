"""One worker through all that may happen to it; the tests run in this order."""

import os
import signal

import psutil
import pytest
from django.utils import timezone

from config import pulse
from config.models import Heartbeat
from config.worker import QUEUE_NICENESS
from tests import serving
from tests.emptying import empty_tables
from tests.serving import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

STARTS_SECONDS = 60
# At worst a child falls silent before its first beat; then come a pause and a start.
RECOVERS_SECONDS = pulse.FIRST_BEAT_SECONDS + 30


def beats_since(name, moment):
    return Heartbeat.objects.filter(name=name, beat_at__gt=moment).exists()


@pytest.fixture(scope="module")
def live_worker(django_db_setup, django_db_blocker):
    """What it commits goes when it has ended."""
    with django_db_blocker.unblock():
        try:
            with serving.worker() as worker:
                yield worker
        finally:
            empty_tables()


@pytest.fixture
def worker(live_worker):
    """A worker that shows life, and its two children."""
    alive = Heartbeat.objects.filter(name__in=[Heartbeat.QUEUE, Heartbeat.TICKS])
    live_worker.wait_until(lambda: alive.count() == 2, STARTS_SECONDS)
    return psutil.Process(live_worker.leader.pid)


def queue_and_ticks(worker):
    """The one that has children of its own is django-q2's cluster."""
    return sorted(worker.children(), key=lambda child: len(child.children()), reverse=True)


def test_what_is_queued_gives_way_to_recording_and_folding(worker):
    queue, ticks = queue_and_ticks(worker)

    assert queue.nice() == min(worker.nice() + QUEUE_NICENESS, 19)
    assert ticks.nice() == worker.nice()


def test_a_queue_whose_idle_workers_are_killed_and_ticks_that_hang_are_started_again(worker):
    """Both at once: each is found by its own silence, and the waiting is done once."""
    queue, ticks = queue_and_ticks(worker)
    (sentinel,) = queue.children()

    ticks.suspend()
    for process in sentinel.children():
        process.kill()
    broken_at = timezone.now()

    for name in (Heartbeat.QUEUE, Heartbeat.TICKS):
        wait_until(lambda name=name: beats_since(name, broken_at), RECOVERS_SECONDS)


def test_a_queue_that_dies_leaves_no_orphan_and_is_started_again(worker):
    queue, _ = queue_and_ticks(worker)
    family = [queue, *queue.children(recursive=True)]

    os.kill(queue.pid, signal.SIGKILL)
    killed_at = timezone.now()

    wait_until(lambda: beats_since(Heartbeat.QUEUE, killed_at), RECOVERS_SECONDS)
    assert not [process for process in family if process.is_running() and not is_zombie(process)]


def test_a_worker_that_is_asked_to_stop_leaves_nothing_behind(worker, live_worker):
    family = worker.children(recursive=True)

    assert live_worker.stop() == 0

    assert not [process for process in family if process.is_running() and not is_zombie(process)]


def is_zombie(process):
    return process.status() == psutil.STATUS_ZOMBIE
