import contextlib
import os
import signal
import time

import pytest

from config import processes, pulse
from config.processes import Child
from tests.serving import wait_until


class NeverStop:
    """As when no signal came."""

    requested = in_haste = False


@pytest.fixture
def child():
    children = []

    def make(run, **options):
        children.append(Child("child", run, **{"grace_seconds": 5, **options}))
        return children[-1]

    yield make
    for started in children:
        started.kill()


def sleep_long():
    time.sleep(60)


def sleep_deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def leave_an_orphan():
    if os.fork() == 0:
        time.sleep(60)
    os._exit(1)


def group_is_empty(group):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return all(is_zombie(pid) for pid in members(group))
    return True


def members(group):
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == group:
                yield pid


def is_zombie(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_child_leads_a_group_of_its_own(child):
    one = child(sleep_long)
    one.start()

    wait_until(lambda: os.getpgid(one.pid) == one.pid, 5)


def test_a_dead_child_is_started_again_after_a_pause_that_doubles(child, capsys):
    one = child(lambda: os._exit(3))
    one.start()
    wait_until(lambda: one.exit_code is not None, 5)

    one.keep_alive()
    one.keep_alive()
    assert one.process is None
    assert "child ended with exit code 3; starting it again in 1 s" in capsys.readouterr().err

    one.start_again_at = 0
    one.keep_alive()
    wait_until(lambda: one.exit_code is not None, 5)
    one.keep_alive()
    assert "starting it again in 2 s" in capsys.readouterr().err


def test_orphans_of_a_dead_child_are_ended(child):
    one = child(leave_an_orphan)
    one.start()
    group = one.pid
    wait_until(lambda: one.exit_code is not None, 5)

    one.keep_alive()

    wait_until(lambda: group_is_empty(group), 5)


def test_a_silent_child_is_replaced(child, capsys):
    one = child(sleep_long, beats=True)
    one.start()
    os.utime(pulse.beat_file(one.pid), (0, 0))

    one.keep_alive()

    assert one.process is None
    assert "shows no life" in capsys.readouterr().err


def test_a_child_that_stops_when_asked_is_not_killed(child):
    one = child(sleep_long)
    one.start()
    started_at = time.monotonic()

    one.stop(NeverStop())

    assert time.monotonic() - started_at < 4


def test_a_deaf_child_is_killed_after_its_grace(child):
    one = child(sleep_deaf, grace_seconds=0.5)
    one.start()
    group = one.pid
    time.sleep(0.2)

    one.stop(NeverStop())

    wait_until(lambda: group_is_empty(group), 5)


def test_a_child_that_waits_for_its_restart_is_not_waited_for(child):
    one = child(lambda: os._exit(3))
    one.start()
    wait_until(lambda: one.exit_code is not None, 5)
    one.keep_alive()
    started_at = time.monotonic()

    one.stop(NeverStop())

    assert time.monotonic() - started_at < 1


def test_children_are_stopped_when_the_block_fails(child):
    one = child(sleep_long)

    with pytest.raises(ZeroDivisionError), processes.running([one], NeverStop()):
        1 / 0  # noqa: B018

    assert one.process is None
