"""Starts the real web server and the real worker as processes, over a given database."""

import contextlib
import fcntl
import os
import shutil
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

from accounts import versions
from accounts.directory import DIRECTORY_VERSION
from accounts.models import TOKENS_VERSION, CacheVersion
from config.preparation import static_sources
from tests.mailing import free_port
from usage.ingest.resolve import ENDPOINTS, MODELS, PROVIDERS
from usage.pricing.ratecard import PRICES_VERSION

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
KEPT_STATIC = settings.BASE_DIR / ".pytest_cache" / "static-files"
NAMES = [names.versioned.name for names in (ENDPOINTS, MODELS, PROVIDERS)]
REMEMBERED = [DIRECTORY_VERSION, PRICES_VERSION, TOKENS_VERSION, *NAMES]
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
    asked_at: float = 0.0

    def forget(self) -> None:
        """Of the rows of a former test it remembers nothing from now on."""
        for name in REMEMBERED:
            CacheVersion.objects.update_or_create(name=name, defaults={"version": time.time_ns()})
        wait_until(lambda: time.monotonic() - self.asked_at > versions.CHECK_EVERY_SECONDS, 5)


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
    """Once a run: the real settings serve files by the names in their manifest.

    Compressing them takes seconds: they are kept for the runs beside this one and after it.
    """
    if (settings.STATIC_ROOT / "staticfiles.json").exists():
        return
    KEPT_STATIC.mkdir(parents=True, exist_ok=True)
    stamp, sources = KEPT_STATIC / "sources", static_sources()
    with (KEPT_STATIC / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != sources:
            command = [*MANAGE, "collectstatic", "--no-input", "--clear", "--verbosity=0"]
            env = real_environment() | {"TOKENBOOK_DATA": str(KEPT_STATIC)}
            subprocess.run(command, env=env, check=True)
            stamp.write_text(sources)
        shutil.copytree(KEPT_STATIC / "static", settings.STATIC_ROOT, dirs_exist_ok=True)


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
