"""Ask providers whether they answer: all at once, each within its time, following no redirect."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from usage.availability_models import ProviderCheck
from usage.insight import addresses

AGENT = "Tokenbook availability check"


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found: `status` and `milliseconds` are null where nothing was answered."""

    is_ok: bool
    status: int | None = None
    milliseconds: int | None = None
    error: str = ""


class Connection(http.client.HTTPConnection):
    """To an address that was looked at, whatever the name stands for by now."""

    def __init__(self, parts: addresses.Parts, address: str, timeout: float) -> None:
        super().__init__(parts.host, parts.port, timeout=timeout)
        self.parts = parts
        self.address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((self.address, self.port), self.timeout)
        if self.parts.is_tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.parts.host)


def ask(check: ProviderCheck) -> Result:
    """One GET, of which only the status is read. A redirect is an answer, and not followed."""
    started_at = time.monotonic()
    try:
        parts = addresses.parts_of(check.url)
        address = addresses.resolved(parts.host, parts.port)
        status = status_of(Connection(parts, address, check.timeout_seconds), parts.path)
    except addresses.BadAddress as error:
        return Result(False, error=str(error)[:200])
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Result(False, error=said(error))
    milliseconds = round((time.monotonic() - started_at) * 1000)
    is_ok = status == check.expected_status
    wrong = "" if is_ok else f"It answered {status}, not {check.expected_status}."
    return Result(is_ok, status, milliseconds, wrong)


def status_of(connection: Connection, path: str) -> int:
    try:
        connection.request("GET", path, headers={"User-Agent": AGENT, "Accept": "*/*"})
        return connection.getresponse().status
    finally:
        connection.close()


def said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "It did not answer in time."
    if isinstance(error, ConnectionRefusedError):
        return "It refused the connection."
    if isinstance(error, socket.gaierror):
        return "Its host's name is not known."
    if isinstance(error, http.client.HTTPException):
        return "What it answered is not HTTP."
    return f"{type(error).__name__}: {error}"[:200]


def ask_all(
    checks: Sequence[ProviderCheck], *, ask: Callable[[ProviderCheck], Result] = ask
) -> dict[int, Result]:
    """Each check's result by its id, in the time of the slowest, and never longer than it may take.

    Threads of their own and no pool: one that hangs in a name server is left behind.
    """
    results: dict[int, Result] = {}

    def run(check: ProviderCheck) -> None:
        results[check.pk] = ask(check)

    threads = [threading.Thread(target=run, args=(check,), daemon=True) for check in checks]
    deadline = time.monotonic() + max((c.timeout_seconds for c in checks), default=0)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    late = Result(False, error="It did not answer in time.")
    return {check.pk: results.get(check.pk, late) for check in checks}
