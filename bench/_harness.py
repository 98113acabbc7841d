"""What every benchmark needs: a durable throw-away database, an account, the real web server.

Run benchmarks with `make bench`. Figures are from one machine on one day: read the ratios.
"""

import contextlib
import os
import platform
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management import call_command
from django.db import connection

from accounts import tokens
from accounts.models import Account, Scope, Workspace
from config import embedded
from config.directories import POSTGRES_DIR
from tests import serving
from usage.models import Price
from usage.pricing.catalogue import import_catalogue


@contextlib.contextmanager
def database(directory: Path = POSTGRES_DIR) -> Iterator[None]:
    """A migrated, durable database with the price book: empty, or as it was left there."""
    embedded.start(directory)
    connection.settings_dict["HOST"] = embedded.connection(directory)["HOST"]
    try:
        call_command("migrate", verbosity=0)
        if not Price.objects.exists():
            import_catalogue(status=Price.Status.APPROVED, now=datetime.now(UTC))
        yield
    finally:
        connection.close()
        embedded.stop(directory)


@dataclass(frozen=True)
class Place:
    account: Account
    workspace: Workspace
    token: str


def make_account(slug: str = "bench") -> Place:
    account = Account.objects.create(name="Bench", slug=slug, time_zone="Europe/Berlin")
    workspace = Workspace.objects.create(account=account, name="Bench", slug="bench")
    _, token = tokens.issue(account=account, name="bench", scopes=Scope.values)
    return Place(account, workspace, token)


class Client:
    """One caller with a connection that it keeps, and hardly any work of its own: on two cores what
    a client spends the server lacks."""

    def __init__(self, url: str, token: str) -> None:
        host = urlsplit(url)
        self.socket = socket.create_connection((host.hostname, host.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = (
            f"Host: {host.netloc}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\n"
        )

    def post(self, path: str, body: bytes) -> bytes:
        head = f"POST {path} HTTP/1.1\r\n{self.head}Content-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        answer = self.socket.recv(65536)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self.socket.recv(65536)
        length = int(CONTENT_LENGTH.search(answer[:end])[1])
        while len(answer) < end + 4 + length:
            answer += self.socket.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:500])
        return answer[end + 4 :]


CONTENT_LENGTH = re.compile(rb"(?i)content-length: (\d+)")


@dataclass(frozen=True)
class Timing:
    """`seconds` in all, and those of each call, sorted."""

    seconds: float
    calls: Sequence[float]

    def percentile(self, percent: float) -> float:
        return self.calls[min(int(len(self.calls) * percent / 100), len(self.calls) - 1)]


def in_parallel(workers: Sequence[Callable[[], None]], calls: Sequence[list[float]]) -> Timing:
    """Run the workers side by side; each appends its calls' seconds to its list."""
    threads = [threading.Thread(target=worker) for worker in workers]
    started_at = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started_at
    return Timing(seconds, sorted(second for one in calls for second in one))


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a Markdown table, each row as it comes."""
    print(f"| {' | '.join(header)} |")
    print(f"|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


median = statistics.median
web = serving.web
worker = serving.worker
