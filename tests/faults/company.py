"""Everything that a company runs, as real processes that a test may ill-treat: `manage.py up` with
web, worker and PostgreSQL, a mail server, S3-compatible storage, and gates before all of them."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from config import embedded, preparation
from tests import serving
from tests.faults.gates import Gate
from tests.faults.moved_clock import MovedClock, moved_clock
from tests.mailing import MailServer, free_port
from tests.settings import TEMPORARY

BUCKET = "files"
STARTS_SECONDS = 120
STOPS_SECONDS = 90
PROBE_SECONDS = 0.3
DISK_BYTES = 3 * 1024**3
HOLDS_LAST_SECONDS = 30 * 86400  # whatever the clock is moved to, no hold expires


@dataclass
class Probe:
    """What `/readyz` said; status 0 where nothing came in time."""

    asked_at: float
    answered_at: float
    status: int
    reasons: list[str]


@dataclass
class Company:
    directory: Path
    clock: MovedClock
    disk_is_ours: bool
    with_storage: bool
    port: int = field(default_factory=free_port)
    mail: MailServer = field(default_factory=MailServer)
    launcher: subprocess.Popen[bytes] | None = None
    probes: list[Probe] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.mail_gate, self.web_gate = Gate(self.mail.port), Gate(self.port)
        self.storage_gate = Gate(self.storage.port) if self.with_storage else None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def url(self) -> str:
        """For gateways; whoever watches asks the server itself."""
        return f"http://127.0.0.1:{self.web_gate.port}"

    @property
    def output(self) -> str:
        return (self.directory / "output.log").read_text(errors="replace")

    @cached_property
    def storage(self) -> "Storage":
        return Storage()

    def start(self) -> None:
        with (self.directory / "output.log").open("ab") as output:
            self.launcher = subprocess.Popen(
                [sys.executable, "-m", "config.launcher"],
                cwd=settings.BASE_DIR,
                env=self.environment(),
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def environment(self) -> dict[str, str]:
        foreign = {"DATABASE_URL", "DJANGO_ALLOW_ASYNC_UNSAFE"}
        env = {name: value for name, value in os.environ.items() if name not in foreign}
        env |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "TOKENBOOK_DATA": str(self.data),
            "PORT": str(self.port),
            "EMAIL_URL": f"smtp://127.0.0.1:{self.mail_gate.port}",
            "HOLD_TTL_SECONDS": str(HOLDS_LAST_SECONDS),
            "TOKENBOOK_ADMIN_PASSWORD": "for these tests only",
            **self.clock.environment,
        }
        if self.storage_gate is not None:
            endpoint = f"http://127.0.0.1:{self.storage_gate.port}"
            env |= {"EXPORTS_URL": f"s3://{BUCKET}?endpoint={endpoint}", **Storage.KEYS}
        return env

    def stop(self) -> int:
        assert self.launcher is not None
        self.launcher.send_signal(signal.SIGTERM)
        return self.launcher.wait(STOPS_SECONDS)

    def kill(self) -> None:
        """Whatever is left of us, wherever it went."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                process.kill()
        embedded.stop(self.postgres)

    # Who is who: the launcher has web, worker and, through pg_ctl, PostgreSQL.

    def family(self) -> list[psutil.Process]:
        """The launcher and what it started, also where it has died itself."""
        marks = str(self.data)
        return [p for p in psutil.process_iter() if _environment(p) == marks]

    def web(self) -> psutil.Process:
        return self._child("web")

    def worker(self) -> psutil.Process:
        return self._child("worker")

    def queue(self) -> psutil.Process:
        """django-q2's cluster: of the worker's two children the one that has children."""
        return self._of_worker(has_children=True)

    def ticks(self) -> psutil.Process:
        return self._of_worker(has_children=False)

    def postmaster(self) -> psutil.Process:
        pid = embedded.postmaster_pid(self.postgres)
        if pid is None:
            raise psutil.NoSuchProcess(0)
        return psutil.Process(pid)

    def backends(self) -> list[psutil.Process]:
        return [p for p in self.postmaster().children() if "[local]" in " ".join(p.cmdline())]

    def _child(self, name: str) -> psutil.Process:
        assert self.launcher is not None
        for child in psutil.Process(self.launcher.pid).children():
            if child.cmdline()[-1:] == [name]:
                return child
        raise psutil.NoSuchProcess(0, name)

    def _of_worker(self, *, has_children: bool) -> psutil.Process:
        for child in self.worker().children():
            if bool(child.children()) == has_children:
                return child
        raise psutil.NoSuchProcess(0, "a part of the worker")

    # Is it ready?

    def look(self) -> Probe:
        asked_at = time.monotonic()
        status, answer = self.ask("/readyz")
        reasons = answer.get("reasons", []) if isinstance(answer, dict) else []
        return Probe(asked_at, time.monotonic(), status, reasons)

    def ask(self, path: str, seconds: float = 3) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, json.loads(response.read() or b"null")
            except (OSError, ValueError, http.client.HTTPException):
                return 0, None

    def is_ready(self) -> bool:
        return self.look().status == 200

    def watch(self) -> None:
        while not self.ended.wait(PROBE_SECONDS):
            self.probes.append(self.look())


class Storage:
    """S3-compatible, in this process."""

    KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    def __init__(self) -> None:
        import boto3
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, self.port = self.server.get_host_and_port()
        keys = {name.lower(): value for name, value in self.KEYS.items()}
        url = f"http://{host}:{self.port}"
        self.client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        self.client.create_bucket(Bucket=BUCKET)

    def size_of(self, key: str) -> int:
        """In bytes; -1 where there is no such file."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", [])
        return next((file["Size"] for file in found if file["Key"] == key), -1)


def _environment(process: psutil.Process) -> str | None:
    """The data directory that a process was started for."""
    try:
        return process.environ().get("TOKENBOOK_DATA")
    except (psutil.Error, OSError):
        return None


@contextlib.contextmanager
def company(*, with_storage: bool, with_disk: bool) -> Iterator[Company]:
    """Directories, a disk of its own where we may mount one, and the servers around; not started.

    Whatever happens, nothing of it is left.
    """
    serving.collect_static()
    # Not in pytest's own directory: another run beside this one closes that to other users.
    directory = Path(tempfile.mkdtemp(prefix="soak-", dir=TEMPORARY))
    with contextlib.ExitStack() as cleaning:
        cleaning.callback(shutil.rmtree, directory, ignore_errors=True)
        (directory / "data").mkdir()
        disk_is_ours = with_disk and _mount(directory / "data")
        if disk_is_ours:
            cleaning.callback(_run, "umount", "--lazy", str(directory / "data"))
        made = Company(directory, moved_clock(directory), disk_is_ours, with_storage)
        for gate in (made.mail_gate, made.web_gate, made.storage_gate):
            if gate is not None:
                cleaning.callback(gate.close)
        made.mail.start()
        cleaning.callback(made.mail.close)
        cleaning.callback(made.kill)
        _give_static_files(made)
        yield made


def _mount(directory: Path) -> bool:
    options = f"size={DISK_BYTES},mode=0755"
    return _run("mount", "-t", "tmpfs", "-o", options, "tokenbook-tests", str(directory))


def fill(directory: Path) -> None:
    """A disk that is no larger than what is on it, within a megabyte, is full."""
    for _ in range(20):  # meanwhile others write on it
        if resize(directory, shutil.disk_usage(directory).used + 1024**2):
            return
    raise OSError(f"{directory} cannot be filled")


def resize(directory: Path, size: int) -> bool:
    return _run("mount", "-o", f"remount,size={size}", str(directory))


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _give_static_files(made: Company) -> None:
    """Those that this run has collected already, which takes seconds."""
    static = made.data / "static"
    shutil.copytree(settings.STATIC_ROOT, static)
    (static / ".sources").write_text(preparation.static_sources())
