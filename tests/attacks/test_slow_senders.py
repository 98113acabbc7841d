"""Who sends a body drop by drop holds up nobody else, and is given up."""

import contextlib
import select
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests import serving
from tests.factories import bearer, make_account, native
from tests.faults.gateway import Gateway

THREADS = 4


@pytest.fixture(scope="module")
def server(django_db_setup):
    with serving.web(WEB_WORKERS="1", WEB_THREADS=str(THREADS)) as server:
        yield server


@pytest.fixture
def web(transactional_db, server):
    server.forget()
    yield server
    server.asked_at = time.monotonic()


@contextlib.contextmanager
def slow_senders(url, path, header, number):
    """They send a head that promises a body, and no more than its first byte."""
    host, port = urlsplit(url).netloc.split(":")
    with contextlib.ExitStack() as connections:
        senders = [
            connections.enter_context(socket.create_connection((host, int(port)), timeout=60))
            for _ in range(number)
        ]
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n{header}\r\n\r\n"
        )
        for sender in senders:
            sender.sendall(head.encode() + b"[")
        yield senders


def answers_to(senders):
    """All but those for whom half of the threads wait, whichever these are, are answered."""
    answered = set()
    while len(answered) < len(senders) - THREADS // 2:
        readable, _, _ = select.select(set(senders) - answered, [], [], 60)
        assert readable
        answered |= set(readable)
    return {sender.recv(12) for sender in answered}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_slow_senders_leave_half_of_the_threads_to_others(web):
    header = bearer(make_account())["authorization"]
    theirs = bearer(make_account("globex"))["authorization"].removeprefix("Bearer ")
    path, gateway = "/api/v1/requests/", Gateway(web.url, theirs)
    form = "Content-Type: application/x-www-form-urlencoded\r\nCookie: csrftoken=" + "a" * 32

    with slow_senders(web.url, path, f"Authorization: {header}", THREADS + 2) as senders:
        assert answers_to(senders) == {b"HTTP/1.1 429"}
        assert gateway.post_until_acknowledged("requests/", native())["accepted"] == 1
    with slow_senders(web.url, "/admin/login/", form, THREADS + 2) as senders:
        assert answers_to(senders) == {b"HTTP/1.1 400"}
        assert gateway.post_until_acknowledged("requests/", native())["accepted"] == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_slow_senders_of_many_accounts_leave_threads_to_those_who_send_nothing(web):
    path = "/api/v1/requests/"
    headers = [bearer(make_account(name))["authorization"] for name in ("acme", "globex")]

    with contextlib.ExitStack() as both:
        senders = [
            sender
            for header in headers
            for sender in both.enter_context(
                slow_senders(web.url, path, f"Authorization: {header}", THREADS // 2)
            )
        ]
        refused, _, _ = select.select(senders, [], [], 60)
        assert [sender.recv(12) for sender in refused] == [b"HTTP/1.1 429"]
        assert serving.answers(f"{web.url}/healthz")
