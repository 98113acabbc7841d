"""A new web server takes over from the old one on the same port, and no caller loses a request."""

import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from accounts.models import Account, Scope
from tests import serving
from tests.books import assert_books_balance
from tests.factories import bearer, count, make_account, native
from tests.faults.gateway import Gateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CALLERS = 4
SETTLES = 30  # calls


@pytest.fixture
def acme() -> Account:
    return make_account()


@pytest.fixture
def token(acme: Account) -> str:
    return bearer(acme, Scope.INGEST)["authorization"].removeprefix("Bearer ")


@pytest.fixture
def old(transactional_db: None) -> Iterator[serving.Server]:
    with serving.web() as server:
        yield server


def row(name: str) -> dict[str, Any]:
    return native(request_id=name, occurred_at="2025-01-15T12:00:00Z")


class Callers:
    """They post all the time, and send again what was not answered."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.answers: Counter[int] = Counter()
        self.sent: set[str] = set()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.call, args=(n,)) for n in range(CALLERS)]

    def __enter__(self) -> "Callers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def call(self, place: int) -> None:
        gateway, n = Gateway(self.url, self.token, answers=self.answers), 0
        while not self.over.wait(0.01):
            n += 1
            gateway.post_until_acknowledged("requests/", [row(f"{place}-{n}")])
            self.sent.add(f"{place}-{n}")

    def wait_for(self, more: int) -> None:
        enough = self.answers[200] + more
        serving.wait_until(lambda: self.answers[200] >= enough, 60)


@contextlib.contextmanager
def told_by(directory: Path) -> Iterator[tuple[str, socket.socket]]:
    """What systemd does: a socket at which a service says that it is ready."""
    path = str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(serving.STARTS_SECONDS)
        yield path, notify


def test_no_caller_meets_an_error_that_trying_again_does_not_mend(token, old, tmp_path):
    port = urlsplit(old.url).port or 0
    with told_by(tmp_path) as (path, notify), Callers(old.url, token) as callers:
        callers.wait_for(SETTLES)
        with serving.web(port=port, NOTIFY_SOCKET=path):
            assert notify.recv(100) == b"READY=1"
            assert old.stop() == 0
            callers.wait_for(SETTLES)
            callers.end()

    assert callers.answers.keys() <= {0, 200}
    assert callers.answers[0] <= 2 * CALLERS  # connections that ended with the old server
    assert count("usage_requestlog") == len(callers.sent)
    assert_books_balance()


def test_what_was_begun_when_the_server_is_asked_to_stop_is_stored_and_answered(token, old):
    body = json.dumps([row(f"r{n}") for n in range(40)]).encode()
    head = (
        "POST /api/v1/requests/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    url = urlsplit(old.url)
    with socket.create_connection(("127.0.0.1", url.port or 0), timeout=20) as client:
        client.sendall(head + body[:1000])
        stopping = threading.Thread(target=old.stop)
        stopping.start()
        serving.wait_until(lambda: not serving.answers(f"{old.url}/healthz"), 20)
        client.sendall(body[1000:])
        answer = client.recv(65536)
        stopping.join()

    assert answer.startswith(b"HTTP/1.1 200")
    assert count("usage_requestlog") == 40
