"""One web server from its first page to its end; the tests run in this order."""

import signal
import subprocess
import sys

import psutil
import pytest

from tests import serving
from tests.serving import answers, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(scope="module")
def web(django_db_setup):
    with serving.web() as server:
        yield server


def test_the_real_server_serves_pages_and_their_files(web, browser):
    page = browser.new_page()
    failed = []
    page.on("response", lambda response: response.ok or failed.append(response.url))

    page.goto(f"{web.url}/admin/login/")

    assert page.locator("input[name=username]").is_visible()
    assert failed == []
    page.close()


def test_a_killed_web_process_is_replaced_while_the_others_serve(web):
    first, *others = psutil.Process(web.leader.pid).children()

    first.kill()
    first.wait()

    assert others
    assert answers(f"{web.url}/healthz")
    wait_until(lambda: len(psutil.Process(web.leader.pid).children()) == 1 + len(others), 20)


def test_a_web_server_that_is_asked_to_stop_leaves_nothing_behind(web):
    family = psutil.Process(web.leader.pid).children(recursive=True)

    assert web.stop() == 0
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


WORKER = """
import os, signal
from config.web import let_workers_hear_every_stop
signal.signal(signal.SIGTERM, lambda *_: None)  # as granian's own process does
let_workers_hear_every_stop()
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
{does}
os._exit(0)
"""


def exit_code_of_worker(*, that: str) -> int:
    script = WORKER.format(does=that)
    return subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode


def test_a_worker_that_is_asked_to_stop_while_it_starts_does_not_go_on_to_serve():
    assert exit_code_of_worker(that="signal.raise_signal(signal.SIGTERM)") == 256 - signal.SIGTERM


def test_a_worker_wakes_up_now_and_then_to_look_for_signals_that_did_not_wake_it():
    assert exit_code_of_worker(that="signal.pause()") == 0
