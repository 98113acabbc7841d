"""A client that dies in mid-sentence: nothing it began is stored, and nobody else notices."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from accounts.models import Account, Scope
from tests import serving
from tests.books import assert_books_balance
from tests.factories import bearer, count, make_account, native
from tests.faults.gateway import Gateway, lines, zipped

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

RST = struct.pack("ii", 1, 0)  # no goodbye: as a machine that lost its power


@pytest.fixture
def acme() -> Account:
    return make_account()


@pytest.fixture
def token(acme: Account) -> str:
    return bearer(acme, Scope.INGEST)["authorization"].removeprefix("Bearer ")


@pytest.fixture(scope="module")
def one_thread(django_db_setup: None) -> Iterator[serving.Server]:
    with serving.web(WEB_WORKERS="1", WEB_THREADS="1") as server:
        yield server


@pytest.fixture
def web(transactional_db: None, one_thread: serving.Server) -> Iterator[serving.Server]:
    """One thread: who is answered knows that all before were answered or given up."""
    one_thread.forget()
    yield one_thread
    one_thread.asked_at = time.monotonic()


def rows() -> list[dict[str, Any]]:
    return [native(request_id=f"r{n}", occurred_at="2025-01-15T12:00:00Z") for n in range(40)]


def body_of(form: str) -> bytes:
    if form == "gzip":
        return zipped(rows())
    return lines(rows()) if form == "lines" else json.dumps(rows()).encode()


def head_of(form: str, token: str, length: int) -> bytes:
    kind = "application/x-ndjson" if form == "lines" else "application/json"
    encoding = "Content-Encoding: gzip\r\n" if form == "gzip" else ""
    return (
        "POST /api/v1/requests/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: {kind}\r\n{encoding}"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def half_of(form: str, body: bytes) -> bytes:
    """About a half; of lines the half that ends with a whole line."""
    half = len(body) // 2
    return body[: body.index(b"\n", half) + 1] if form == "lines" else body[:half]


def connected(url: str) -> socket.socket:
    host, port = urlsplit(url).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def assert_nothing_happened() -> None:
    for table in ("requestlog", "requestkey", "batch", "quarantinedrow"):
        assert count(f"usage_{table}") == 0


FORMS = ["array", "lines", "gzip"]


def test_a_body_that_breaks_off_is_not_stored_in_part(acme, token, web):
    for form in FORMS:
        body = body_of(form)
        for goodbye in (True, False):
            with connected(web.url) as client:
                client.sendall(head_of(form, token, len(body)) + half_of(form, body))
                if not goodbye:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        Gateway(web.url, token).post("requests/", [])

    assert_nothing_happened()


def test_who_stops_talking_but_listens_is_not_told_that_all_was_stored(acme, token, web):
    for form in FORMS:
        body = body_of(form)
        with connected(web.url) as client:
            client.sendall(head_of(form, token, len(body)) + half_of(form, body))
            client.shutdown(socket.SHUT_WR)
            answer = read_all(client)
        assert not answer.startswith(b"HTTP/1.1 2")

    assert_nothing_happened()


def in_chunks_without_an_end(url: str, token: str, form: str, body: bytes) -> bytes:
    """The answer to a body of unknown length whose last chunk never comes."""
    head = head_of(form, token, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with connected(url) as client:
        client.sendall(head + f"{len(body):x}\r\n".encode() + body + b"\r\n")
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def test_of_an_array_in_chunks_without_an_end_nothing_is_stored(acme, token, web):
    for form in ("array", "gzip"):
        half = half_of(form, body_of(form))
        answer = in_chunks_without_an_end(web.url, token, form, half)
        assert not answer.startswith(b"HTTP/1.1 2")

    assert_nothing_happened()


def test_of_lines_in_chunks_without_an_end_each_is_stored_once_all_the_same(acme, token, web):
    """No server tells its application that chunks broke off; whole lines are whole requests."""
    in_chunks_without_an_end(web.url, token, "lines", lines(rows()[:20]) + b"\n")
    stored = count("usage_requestlog")
    again = Gateway(web.url, token).post("requests/", body_of("lines"))

    assert stored in (0, 20)
    assert (again["accepted"], again["duplicates"]) == (40 - stored, stored)
    assert_books_balance()


def test_what_broke_off_is_stored_when_it_is_sent_again(acme, token, web):
    body = body_of("array")
    with connected(web.url) as client:
        client.sendall(head_of("array", token, len(body)) + half_of("array", body))
    gateway = Gateway(web.url, token)

    assert gateway.post("requests/", body)["accepted"] == 40
    assert gateway.post("requests/", body)["duplicates"] == 40
    assert_books_balance()


def test_who_leaves_before_the_answer_has_sent_it_all_the_same(acme, token, web):
    body = body_of("array")
    with connected(web.url) as client:
        client.sendall(head_of("array", token, len(body)) + body)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
    again = Gateway(web.url, token).post("requests/", body)

    assert again["accepted"] + again["duplicates"] == count("usage_requestlog") == 40
    assert_books_balance()
