"""A PostgreSQL and a web server that a test may kill: both its own, over a directory of its own."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from config import embedded
from tests import serving
from tests.mailing import free_port
from tests.settings import TEMPORARY


@dataclass
class Stack:
    """What a company runs on one machine, in its shipped configuration: durable commits."""

    directory: Path
    port: int = field(default_factory=free_port)
    database_url: str = ""
    web: serving.Processes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_web(self) -> None:
        environment = {"PORT": str(self.port), "DATABASE_URL": self.database_url}
        self.web = serving.Processes(serving.start("web", LOG_LEVEL="CRITICAL", **environment))
        healthy = f"{self.url}/healthz"
        self.web.wait_until(lambda: serving.answers(healthy), serving.STARTS_SECONDS)

    def kill_web(self) -> None:
        """The leader, its workers and whatever they are at."""
        assert self.web is not None
        self.web.kill()

    def kill_postgres(self) -> None:
        pid = embedded.postmaster_pid(self.directory)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def start_postgres(self) -> None:
        embedded.start(self.directory)


@contextlib.contextmanager
def database_over(directory: Path) -> Iterator[None]:
    """In this thread Django's connection leads to the server whose data lies in `directory`."""
    usual = connections["default"]
    server = usual.settings_dict | embedded.connection(directory)
    connections["default"] = type(usual)(server, "default")
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = usual


@pytest.fixture
def stack(django_db_blocker: Any) -> Iterator[Stack]:
    """Migrated and running. The test's own connection leads there too."""
    serving.collect_static()
    # Not in pytest's own directory: another run beside this one closes that to other users.
    stack = Stack(Path(tempfile.mkdtemp(prefix="faults-", dir=TEMPORARY)) / "postgres")
    with contextlib.ExitStack() as cleaning:
        cleaning.callback(shutil.rmtree, stack.directory.parent, ignore_errors=True)
        cleaning.callback(embedded.stop, stack.directory)
        stack.start_postgres()
        cleaning.enter_context(django_db_blocker.unblock())
        cleaning.enter_context(database_over(stack.directory))
        # Whichever thread starts the server again, it is over this database.
        stack.database_url = serving.database_url()
        call_command("migrate", interactive=False, verbosity=0)
        stack.start_web()
        cleaning.callback(stack.kill_web)
        yield stack
