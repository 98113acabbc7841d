"""Starts the real web server and the real worker as processes, over a given database."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection

from tests.mailing import free_port

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
STARTS_SECONDS = 60
STOPS_SECONDS = 30


@dataclass
class Processes:
    """A management command with all it started: one process group."""

    leader: subprocess.Popen[bytes]

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Gives up at once when the command has ended."""
        wait_until(lambda: condition() or self.leader.poll() is not None, seconds)
        if self.leader.poll() is not None:
            raise ChildProcessError(f"{self.leader.args} ended with {self.leader.returncode}")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.leader.pid, signal.SIGKILL)
        self.leader.wait()

    def stop(self) -> int:
        self.leader.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.leader.wait(STOPS_SECONDS)
        self.kill()
        return self.leader.returncode


@dataclass
class Server(Processes):
    url: str


@contextlib.contextmanager
def web(*, port: int = 0, **environment: str) -> Iterator[Server]:
    """Runs until the block ends; `environment` overrides what the settings read."""
    collect_static()
    port = port or free_port()
    leader = start("web", PORT=str(port), **environment)
    server = Server(leader, url=f"http://127.0.0.1:{port}")
    try:
        server.wait_until(lambda: answers(f"{server.url}/healthz"), STARTS_SECONDS)
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def worker(**environment: str) -> Iterator[Processes]:
    processes = Processes(start("worker", **environment))
    try:
        yield processes
    finally:
        processes.stop()


def collect_static() -> None:
    """Once a run: the real settings serve files by the names in their manifest."""
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        command = [*MANAGE, "collectstatic", "--no-input", "--verbosity=0"]
        subprocess.run(command, env=real_environment(), check=True)


def start(command: str, **environment: str) -> subprocess.Popen[bytes]:
    env = real_environment() | {"DATABASE_URL": database_url()} | environment
    return subprocess.Popen([*MANAGE, command], env=env, process_group=0)


def real_environment() -> dict[str, str]:
    return os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}


def database_url() -> str:
    """Of the database that the tests use now: its socket is a directory, hence a query argument."""
    database = connection.settings_dict
    return f"postgres://{database['USER']}@/{database['NAME']}?" + urlencode(
        {"host": database["HOST"]}
    )


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.1)
