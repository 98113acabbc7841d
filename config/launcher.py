"""`manage.py up`: everything on one machine, in one command, ended by one Ctrl-C.

Runs as a process of its own that never loads Django (`python -m config.launcher`), so that the
secret key exists before any settings are used, and the supervisor costs little memory.
"""

import contextlib
import errno
import fcntl
import http.client
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from config import embedded, kept, processes
from config.address import Address, BadAddress, address_from_environment
from config.directories import (
    ADMIN_PASSWORD_FILE,
    DATA_DIR,
    DEMO_TOKEN_FILE,
    LOCK_FILE,
    MAIL_DIR,
    POSTGRES_DIR,
    SECRET_KEY_FILE,
)

WEB_STARTS_SECONDS = 60
DATABASE_LOOK_SECONDS = 1
DATABASE_PAUSE_SECONDS = 10
PREPARE_GRACE_SECONDS = 10
WEB_GRACE_SECONDS = 30
WORKER_GRACE_SECONDS = 30


# Of the demo: Ada's laptop works on the checkout.
SAMPLE = {
    "api_key": "ak_700fe98c4b9a",
    "workspace": "engineering",
    "project": "checkout",
    "member": "ada@acme.example",
    "model": "gpt-4o-mini",
    "input_tokens": 1200,
    "output_tokens": 350,
    "latency_ms": 640,
}


class Refusal(Exception):
    """Tokenbook cannot start; the message is one sentence for the operator."""


def main() -> int:
    os.umask(0o027)  # as `manage.py` does
    stop = processes.Stop()
    try:
        run(stop)
    except (Refusal, BadAddress, embedded.EmbeddedError) as refusal:
        print(refusal, file=sys.stderr)
        return 1
    return 0


def run(stop: processes.Stop) -> None:
    address = address_from_environment()
    claim_data_directory(DATA_DIR)
    with locked(LOCK_FILE):
        refuse_taken_port(address)
        keep_secret_key()
        export_environment(address)
        with database() as kept_alive:
            prepare(stop)
            if not stop.requested:
                serve(address, kept_alive, stop)


def claim_data_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise Refusal(
            f"The data directory {directory} cannot be written ({error.strerror}): "
            "set TOKENBOOK_DATA to one that can."
        ) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The kernel frees the lock with the process, however that ends."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refusal(
                f"Tokenbook already runs over {path.parent}: "
                "stop it, or set TOKENBOOK_DATA to another directory."
            ) from error
        yield


def refuse_taken_port(address: Address) -> None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections that linger from the last run do not count as a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Refusal(
                    f"Port {address.port} is taken by another program: "
                    f"choose another, such as PORT={address.port + 1}."
                ) from error
            raise Refusal(
                f"Cannot listen on {address.host} port {address.port} ({error.strerror}): "
                "set HOST and PORT."
            ) from error


def keep_secret_key() -> None:
    if "SECRET_KEY" not in os.environ and not kept.read(SECRET_KEY_FILE):
        kept.keep(SECRET_KEY_FILE, secrets.token_urlsafe(50))


def export_environment(address: Address) -> None:
    """What the children need to know of our decisions."""
    os.environ.setdefault("PUBLIC_URL", address.url)


@contextlib.contextmanager
def database() -> Iterator[list[processes.KeptAlive]]:
    """The embedded server, unless another one is named; that one is not ours to keep alive."""
    if "DATABASE_URL" in os.environ:
        yield []
        return
    try:
        embedded.start(POSTGRES_DIR)
        yield [Database(POSTGRES_DIR)]
    finally:
        embedded.stop(POSTGRES_DIR)


class Database:
    """The embedded server while everything runs: PostgreSQL replaces its own processes, and we the
    first of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.look_at = time.monotonic()

    def keep_alive(self) -> None:
        if time.monotonic() < self.look_at:
            return
        self.look_at = time.monotonic() + DATABASE_LOOK_SECONDS
        if not embedded.is_running(self.directory):
            processes.say("the database ended; starting it again")
            try:
                embedded.start(self.directory)
            except embedded.EmbeddedError as error:
                processes.say(str(error))
                self.look_at = time.monotonic() + DATABASE_PAUSE_SECONDS


def prepare(stop: processes.Stop) -> None:
    """Tables, static files, demo, login: in a process of its own, whose memory goes with it."""
    child = processes.Child(
        "preparation", processes.management_command("prepare"), PREPARE_GRACE_SECONDS
    )
    with processes.running([child], stop):
        while child.exit_code is None and not stop.requested:
            time.sleep(processes.POLL_SECONDS)
        if child.exit_code:
            raise Refusal("Tokenbook does not start: the preparation failed, as told above.")


def serve(address: Address, others: list[processes.KeptAlive], stop: processes.Stop) -> None:
    web_server = processes.Child("web", processes.management_command("web"), WEB_GRACE_SECONDS)
    worker = processes.Child("worker", processes.management_command("worker"), WORKER_GRACE_SECONDS)
    with processes.running([web_server, worker], stop):
        wait_for(web_server, address, stop)
        if not stop.requested:
            print(banner(address), flush=True)
        processes.keep_alive([*others, web_server, worker], stop)


def wait_for(web_server: processes.Child, address: Address, stop: processes.Stop) -> None:
    deadline = time.monotonic() + WEB_STARTS_SECONDS
    while not stop.requested and not answers(address):
        if complaint := web_server.complaint:
            raise Refusal(f"Tokenbook does not start: the web server {complaint}.")
        if time.monotonic() > deadline:
            raise Refusal(f"The web server did not answer within {WEB_STARTS_SECONDS} s.")
        time.sleep(processes.POLL_SECONDS)


def answers(address: Address) -> bool:
    """Any answer will do: with ALLOWED_HOSTS set, ours need not be one of them."""
    connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False


def banner(address: Address) -> str:
    lines = ["", f"Tokenbook runs at {os.environ['PUBLIC_URL']}/  (Ctrl-C stops it)"]
    lines.append(f"Log in as admin, {password_hint()}")
    if token := kept.read(DEMO_TOKEN_FILE):
        lines += ["", "Post a request log:", *sample_request(address, token), ""]
    if "EMAIL_URL" not in os.environ:
        lines.append(f"Mails are files in {MAIL_DIR}")
    return "\n".join([*lines, ""])


def password_hint() -> str:
    if "TOKENBOOK_ADMIN_PASSWORD" in os.environ:
        return "with the password from TOKENBOOK_ADMIN_PASSWORD"
    if password := kept.read(ADMIN_PASSWORD_FILE):
        return f"password {password}"
    return "with the password that you chose"


def sample_request(address: Address, token: str) -> list[str]:
    """Ready to paste, again and again: the shell makes a new request_id each time."""
    body = json.dumps({"request_id": "demo-$(date +%s%N)", **SAMPLE}).replace('"', r"\"")
    return [
        f"curl -X POST {address.url}/api/v1/requests/ \\",
        f"  -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\",
        f'  -d "{body}"',
    ]


if __name__ == "__main__":
    sys.exit(main())
