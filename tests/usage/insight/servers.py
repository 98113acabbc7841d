"""Servers on this machine that answer as providers do on bad days."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from tests.mailing import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BROKEN = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
GARBAGE = b"\x00\x01\x02 not a server of anything\r\n\r\n"


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@contextlib.contextmanager
def answering(answer: bytes | Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """An address that answers each connection so, until the block ends."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                client.recv(4096)
                if isinstance(answer, bytes):
                    client.sendall(answer)
                else:
                    answer(client, over)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/v1/models"
        finally:
            over.set()


def silent(client: socket.socket, over: threading.Event) -> None:
    """Takes the call and says nothing."""
    over.wait()


def dripping(client: socket.socket, over: threading.Event) -> None:
    """A byte now and then, so that no single read ever takes too long."""
    while not over.wait(0.2):
        client.sendall(b"H")


def dead() -> str:
    return f"http://127.0.0.1:{free_port()}/"
