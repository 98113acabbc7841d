import os
import time

import pytest

from config import pulse


@pytest.fixture
def watch():
    """Of this very process's group, as a supervisor would make it."""
    watch = pulse.Watch(os.getpgrp())
    yield watch
    watch.close()


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_child_that_starts_is_not_silent_yet(watch):
    assert not watch.is_silent()


def test_a_child_that_beats_is_not_silent(watch):
    age(pulse.beat_file(watch.group), 1000)

    pulse.beat()

    assert not watch.is_silent()


def test_a_child_without_a_beat_is_silent(watch):
    age(pulse.beat_file(watch.group), pulse.SILENCE_SECONDS + 1)

    assert watch.is_silent()


def test_a_child_at_work_may_be_silent(watch):
    age(pulse.beat_file(watch.group), pulse.SILENCE_SECONDS + 1)
    pulse.begin_work()

    assert not watch.is_silent()


def test_work_that_ended_just_now_leaves_time_for_a_beat(watch):
    age(pulse.beat_file(watch.group), pulse.SILENCE_SECONDS + 1)
    pulse.begin_work()
    watch.is_silent()

    pulse.end_work()

    assert not watch.is_silent()


def test_no_work_excuses_silence_for_ever(watch):
    age(pulse.beat_file(watch.group), pulse.longest_work_seconds() + 1)
    pulse.begin_work()

    assert watch.is_silent()


def test_a_process_killed_at_work_does_not_count_as_working(watch):
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    pulse.work_file(watch.group, gone).touch()
    age(pulse.beat_file(watch.group), pulse.SILENCE_SECONDS + 1)

    assert watch.is_silent()


def test_a_machine_that_slept_wakes_up_with_a_child_that_is_not_silent_yet(watch):
    age(pulse.beat_file(watch.group), 3600)
    watch.looked_at -= 3600

    assert not watch.is_silent()


def test_nobody_beats_for_a_supervisor_that_is_not_there():
    pulse.beat()
    pulse.begin_work()
    pulse.end_work()

    assert not pulse.beat_file(os.getpgrp()).exists()


def test_files_of_a_dead_group_are_forgotten(watch):
    dead = pulse.PULSE_DIR / "beat-4194305"  # above the largest pid
    dead.touch()

    pulse.forget_the_dead()

    assert not dead.exists()
    assert pulse.beat_file(watch.group).exists()


def test_a_clock_that_is_set_back_hides_no_silence(watch, monkeypatch):
    now = time.time()
    pulse.beat()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    watch.is_silent()

    monkeypatch.setattr(time, "time", lambda: now - 3600 + pulse.FIRST_BEAT_SECONDS + 1)
    watch.looked_at = time.time()

    assert watch.is_silent()
