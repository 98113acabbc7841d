"""Tokenbook for the LiteLLM proxy: no call over its budgets, and no event lost. One file.

Put it beside the proxy's configuration, name it there, and set two variables:

    litellm_settings:
      callbacks: tokenbook_litellm.proxy_handler_instance

    TOKENBOOK_URL=https://tokenbook.example.com
    TOKENBOOK_TOKEN=tb_...            an access token with the scopes `authorize` and `ingest`

Before a call Tokenbook is asked whether it may go; a refusal is a 429 with the reason in words.
After it, the event is delivered: in batches, again and again until Tokenbook has it, from disk
where it takes long. Prompts and answers are cut off before an event is kept anywhere.

The other variables, with their defaults:

    TOKENBOOK_AUTHORIZE=1             0: do not ask, only deliver
    TOKENBOOK_FAIL_OPEN=0             1: let calls go while Tokenbook cannot be asked; 0: 503
    TOKENBOOK_AUTHORIZE_SECONDS=2     how long a call waits for the decision
    TOKENBOOK_AUTHORIZE_THREADS=16    decisions asked for at once
    TOKENBOOK_OUTPUT_TOKENS=4096      what a call answers at most where it sets no limit
    TOKENBOOK_ATTACHMENT_TOKENS=2000  what an image counts; other attachments count this or more
    TOKENBOOK_MODEL_NAMES=            alias=model,alias=model: what your model names stand for
    TOKENBOOK_BATCH_EVENTS=500        at most so many events a call,
    TOKENBOOK_BATCH_SECONDS=1         after at most so long
    TOKENBOOK_SEND_SECONDS=30         how long a delivery may take
    TOKENBOOK_FIRST_WAIT_SECONDS=0.5  between attempts, doubling up to the longest, with jitter
    TOKENBOOK_LONGEST_WAIT_SECONDS=60
    TOKENBOOK_MEMORY_BYTES=33554432   past this, events wait on disk
    TOKENBOOK_SPOOL_DIR=~/.tokenbook/spool  survives restarts of the proxy where it is a volume
    TOKENBOOK_SPOOL_FILE_BYTES=16777216     a file of the spool has about so much
    TOKENBOOK_SPOOL_ALWAYS=0          1: every event is on disk before LiteLLM goes on
    TOKENBOOK_SHUTDOWN_SECONDS=5      to deliver what is left; the rest goes to the spool

What is lost when: nothing, if the process ends by itself or on a signal that LiteLLM's server
handles. Killed with SIGKILL it loses what it had in memory (`TOKENBOOK_BATCH_SECONDS` of events,
more while Tokenbook is down), or nothing with TOKENBOOK_SPOOL_ALWAYS=1. What Tokenbook refuses for
good is appended to `rejected.jsonl` in the spool with the answer, for you to look at. Events are
told apart by their ids, so one that is sent twice counts once. The spool has no bound but the disk.

The tokens of a prompt are estimated as a third of its bytes in UTF-8: some more than it has. A
model that Tokenbook has no price for counts at the account's ceiling, which is much; so name in
TOKENBOOK_MODEL_NAMES what your aliases stand for. Files, batches, vector stores and MCP tools are
not asked about.

Needs Python 3.10 and nothing beside its own library; proxies of the environment are not used.
Delivery is a thread of its own, because LiteLLM calls from whichever event loop it happens to run,
and a thread neither dies with a loop nor holds one up.
"""

import asyncio
import atexit
import contextlib
import email.utils
import gzip
import hashlib
import http.client
import json
import logging
import math
import os
import random
import re
import ssl
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

try:
    import fcntl
except ImportError:  # Windows: spools of dead processes are then left where they are
    fcntl = None  # type: ignore[assignment]

try:
    from litellm.integrations.custom_logger import CustomLogger
except ImportError:  # outside of a proxy
    CustomLogger = object

try:
    from fastapi import HTTPException
except ImportError:

    class HTTPException(Exception):  # type: ignore[no-redef]
        def __init__(
            self, status_code: int, detail: Any = None, headers: dict[str, str] | None = None
        ) -> None:
            super().__init__(detail)
            self.status_code, self.detail, self.headers = status_code, detail, headers


log = logging.getLogger("tokenbook")

AUTHORIZE, INGEST, HOLDS = "/api/v1/authorize/", "/api/v1/ingest/litellm/", "/api/v1/holds/"

# The fields of LiteLLM's StandardLoggingPayload that Tokenbook uses; none of them is a prompt.
EVENT_FIELDS = (
    *("id", "litellm_call_id", "trace_id", "call_type", "status", "model", "model_group"),
    *("custom_llm_provider", "model_parameters", "stream", "cache_hit", "response"),
    *("startTime", "endTime", "completionStartTime", "response_time"),
    *("prompt_tokens", "completion_tokens", "response_cost"),
    *("request_tags", "end_user", "metadata", "error_information"),
)
PART_FIELDS = {
    "metadata": (
        *("user_api_key_hash", "user_api_key_alias", "user_api_key_request_route"),
        *("user_api_key_team_id", "user_api_key_team_alias"),
        *("user_api_key_user_id", "user_api_key_user_email"),
        *("user_api_key_project_id", "user_api_key_project_alias"),
        *("spend_logs_metadata", "usage_object"),
    ),
    "error_information": (
        *("error_code", "error_class", "llm_provider", "normalized_error"),
        *("error_rate_limit_category", "error_rate_limit_type"),
    ),
    "model_parameters": ("service_tier", "stream"),
    "response": ("service_tier",),
}
MOST_LEVELS = 60

# What a call is made of, wherever its route puts it.
PROMPT_FIELDS = (
    *("messages", "prompt", "input", "system", "instructions", "contents", "systemInstruction"),
    *("tools", "functions", "response_format", "documents", "query"),
)
NO_ANSWER = frozenset(
    {"embedding", "aembedding", "embeddings", "moderation", "amoderation", "rerank", "arerank"}
)
# Parts of the names of routes that are not asked about: they answer without a model.
NOT_ASKED = ("file", "batch", "mcp", "vector_store")
# Whatever is put into the data of these goes on to the provider.
PASSED_THROUGH = frozenset({"pass_through_endpoint", "allm_passthrough_route"})
BYTES_PER_TOKEN = 3
BYTES_PER_OBJECT = 12  # names, roles and separators
ATTACHED_BYTES_PER_TOKEN = 100  # of sounds and documents in base64
MOST_TOKENS = 2_000_000_000

MASTER_KEY = "litellm_proxy_master_key"
NOBODY = frozenset({"default_user_id", ""})
PROJECT_TAG = re.compile(r"^(?:project|proj)[:=](?P<tag>.+)$", re.IGNORECASE)
PROJECT_FIELDS = ("project", "project_tag", "project_id")

MOST_BATCH_BYTES = 8 * 1024 * 1024
MOST_ANSWER_BYTES = 4 * 1024 * 1024
MOST_RETRY_AFTER_SECONDS = 3600
MOST_HOLDS = 100_000
LATE_SECONDS = 10  # how long a decision that nobody waits for any more is waited for
COMPLAIN_EVERY_SECONDS = 60
ADOPT_EVERY_SECONDS = 60

RETRIED = frozenset({408, 425, 429})
# The wrong address or token: for the operator to mend, and nothing is the matter with the events.
MISCONFIGURED = frozenset({401, 403, 404, 405, 407})
# Of a decision: the call itself cannot be understood, so it does not go, whatever FAIL_OPEN says.
UNDECIDABLE = frozenset({400, 413, 422})


class TokenbookRefused(HTTPException):
    """The call is over a budget. LiteLLM logs this class's name, by which Tokenbook knows it."""

    def __init__(self, reason: str, *, resets_at: str | None = None, status: int = 429) -> None:
        detail = {"error": reason, "resets_at": resets_at}
        # Clients that retry a 429 by themselves would only be refused again.
        super().__init__(status_code=status, detail=detail, headers={"x-should-retry": "false"})
        self.message, self.type = reason, "budget_exceeded"


class TokenbookUnavailable(HTTPException):
    """Nobody could say whether the call is within its budgets, and the operator fails closed."""

    def __init__(self) -> None:
        reason = "Tokenbook cannot be asked whether this call is within its budgets. Try again."
        super().__init__(status_code=503, detail={"error": reason}, headers={"retry-after": "5"})
        self.message, self.type = reason, "service_unavailable"


class Unreachable(Exception):
    """Tokenbook gave no answer, or none that can be used."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    url: str
    token: str = field(repr=False)
    authorize: bool = True
    fail_open: bool = False
    authorize_seconds: float = 2
    authorize_threads: int = 16
    output_tokens: int = 4096
    attachment_tokens: int = 2000
    model_names: Mapping[str, str] = field(default_factory=dict)
    batch_events: int = 500
    batch_seconds: float = 1
    send_seconds: float = 30
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 60
    memory_bytes: int = 32 * 1024 * 1024
    spool_dir: str = "~/.tokenbook/spool"
    spool_file_bytes: int = 16 * 1024 * 1024
    spool_always: bool = False
    shutdown_seconds: float = 5


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises ValueError that names the variable."""
    values = {}
    for name, kind in Settings.__annotations__.items():
        variable = f"TOKENBOOK_{name.upper()}"
        text = environment.get(variable, "").strip()
        if text:
            try:
                values[name] = READ[kind](text)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}") from None
        elif name in ("url", "token"):
            raise ValueError(f"{variable} is not set")
    parts = urlsplit(values["url"])
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("TOKENBOOK_URL must be like https://tokenbook.example.com")
    return Settings(**values)


def read_switch(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True}
    known |= {"0": False, "false": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither 1 nor 0")
    return known[text.lower()]


def read_number(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(f"{text!r} is no number of seconds")
    return number


def read_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is no whole number from 1")
    return int(text)


def read_names(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(alias.strip() and model.strip() for alias, _, model in pairs):
        raise ValueError(f"{text!r} is not alias=model,alias=model")
    return {alias.strip(): model.strip() for alias, _, model in pairs}


READ: dict[Any, Any] = {
    str: str,
    bool: read_switch,
    float: read_number,
    int: read_count,
    Mapping[str, str]: read_names,
}


class Complaints:
    """Warnings that are said once a minute, however often there is reason."""

    def __init__(self) -> None:
        self.said: dict[str, float] = {}

    def say(self, about: str, message: str, *values: object) -> None:
        now = time.monotonic()
        if now - self.said.get(about, -math.inf) >= COMPLAIN_EVERY_SECONDS:
            self.said[about] = now
            log.error(message, *values)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    retry_after_seconds: float = 0

    def json(self) -> dict[str, Any]:
        """Raises Unreachable where it is no object of JSON: somebody else answered."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unreachable(f"{self.status} without JSON; is TOKENBOOK_URL right?")
        return value

    def reason(self) -> str:
        """The message of an error, in the shape that all of Tokenbook's errors have."""
        try:
            return str(self.json()["error"]["message"])
        except (Unreachable, KeyError, TypeError):
            return f"status {self.status}"


class Tokenbook:
    """Calls Tokenbook, over a connection that each thread keeps."""

    def __init__(self, settings: Settings) -> None:
        self.parts = urlsplit(settings.url)
        self.headers = {
            "Authorization": f"Bearer {settings.token}",
            "Content-Type": "application/json",
            "User-Agent": "tokenbook-litellm",
        }
        self.local = threading.local()

    def call(
        self, method: str, path: str, body: bytes = b"", *, seconds: float, **headers: str
    ) -> Answer:
        """Raises Unreachable. A kept connection that had gone meanwhile is made anew, once:
        every call may be made twice.
        """
        kept = getattr(self.local, "connection", None)
        if kept is not None:
            try:
                return self._call(kept, method, path, body, seconds, headers)
            except TimeoutError as error:
                self._drop()
                raise Unreachable(f"no answer within {seconds:g} s") from error
            except (OSError, http.client.HTTPException):
                self._drop()
        self.local.connection = self._connection(seconds)
        try:
            return self._call(self.local.connection, method, path, body, seconds, headers)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    def _call(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        seconds: float,
        headers: dict[str, str],
    ) -> Answer:
        connection.timeout = seconds
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, self.parts.path.rstrip("/") + path, body, self.headers | headers)
        response = connection.getresponse()
        text = response.read(MOST_ANSWER_BYTES)
        if not response.isclosed():
            self._drop()
        return Answer(response.status, text, retry_after(response.getheader("Retry-After")))

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self.parts.hostname or "", self.parts.port
        if self.parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=seconds)

    def _drop(self) -> None:
        connection, self.local.connection = self.local.connection, None
        if connection is not None:
            connection.close()


def retry_after(header: str | None) -> float:
    """Seconds, from a number or a date; 0 where nothing of use is said."""
    try:
        seconds = float(header or 0)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header or "").timestamp() - time.time()
        except ValueError:
            return 0
    return min(max(seconds, 0), MOST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else 0


class Spool:
    """Events on disk, in a directory of this process's own: lines of JSON, forced to the disk.

    A file goes when all of it was delivered. The directory is locked as long as the process lives;
    whoever finds it unlocked takes the files over.
    """

    def __init__(self, root: Path, *, file_bytes: int) -> None:
        self.root, self.file_bytes = root, file_bytes
        self.own = root / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.lock = threading.Lock()
        self.claim: int | None = None
        self.writing: int | None = None
        self.last = 0
        self.paths: deque[Path] = deque()  # the last is being written while `writing` is set

    def append(self, events: Iterable[bytes]) -> None:
        """Raises OSError."""
        with self.lock:
            if self.writing is None:
                self._open()
            write_all(self.writing, b"".join(event + b"\n" for event in events))
            if os.fstat(self.writing).st_size >= self.file_bytes:
                self._close_file()

    def oldest(self) -> Path | None:
        """The file to deliver next; nothing is written to it any more."""
        with self.lock:
            if len(self.paths) == 1:
                self._close_file()
            return self.paths[0] if self.paths else None

    def delete(self, path: Path) -> None:
        with self.lock:
            self.paths.remove(path)
            path.unlink(missing_ok=True)

    def adopt(self) -> None:
        """Take over what processes that are gone have left behind."""
        if fcntl is None or not self.root.is_dir():
            return
        for left in sorted(self.root.glob("*-????????")):
            if left != self.own:
                with contextlib.suppress(OSError), claimed(left / "lock"):
                    self._take_over(left)

    def close(self) -> None:
        with self.lock:
            self._close_file()
            if self.claim is not None and not self.paths:
                with contextlib.suppress(OSError):
                    (self.own / "lock").unlink()
                    self.own.rmdir()
            self.abandon()

    def abandon(self) -> None:
        """Give the lock up, and leave the files. A fork's child shares it with its parent."""
        if self.claim is not None:
            os.close(self.claim)
            self.claim = None

    def _take_over(self, left: Path) -> None:
        with self.lock:
            for path in sorted(left.glob("*.jsonl")):
                self._close_file()
                target = self._next_path()
                path.rename(target)
                self.paths.append(target)
            (left / "lock").unlink(missing_ok=True)
            left.rmdir()

    def _open(self) -> None:
        path = self._next_path()
        try:
            self.writing = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except FileNotFoundError:  # somebody took the directory for one that was left behind
            self.abandon()
            raise
        self.paths.append(path)
        sync_directory(self.own)

    def _next_path(self) -> Path:
        if self.claim is None:
            make_private(self.root)
            make_private(self.own)
            self.claim = lock_file(self.own / "lock")
        self.last += 1
        return self.own / f"{self.last:08}.jsonl"

    def _close_file(self) -> None:
        if self.writing is not None:
            os.close(self.writing)
            self.writing = None


def write_all(descriptor: int, data: bytes) -> None:
    """All of it and on the disk, or (OSError) as it was before."""
    before = os.fstat(descriptor).st_size
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)


def sync_directory(directory: Path) -> None:
    """A new file's name outlives a loss of power only with this."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock_file(path: Path) -> int:
    """The descriptor that holds the lock, until it is closed. Raises OSError: it is another's."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    descriptor = lock_file(path)
    try:
        yield
    finally:
        os.close(descriptor)


def lines_of(path: Path) -> list[bytes]:
    """The file's events; a line that was cut off as the process died was never kept."""
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # the operator's doing
        return []
    return lines


class Courier:
    """Delivers events and releases holds in a thread of its own. `put` never waits."""

    def __init__(self, settings: Settings, complaints: Complaints) -> None:
        self.settings, self.complaints = settings, complaints
        self.tokenbook = Tokenbook(settings)
        root = Path(settings.spool_dir).expanduser()
        self.rejected_path = root / "rejected.jsonl"
        self.spool = Spool(root, file_bytes=settings.spool_file_bytes)
        self.changed = threading.Condition()
        self.queue: deque[bytes] = deque()
        self.queued_bytes = 0
        self.in_hand: list[bytes] = []
        self.replayed: deque[bytes] = deque()  # what is left of the spool's oldest file
        self.replaying: Path | None = None
        self.holds: deque[str] = deque(maxlen=MOST_HOLDS)
        self.failures = 0
        self.batch_at = self.replay_at = self.retry_at = self.spill_at = self.adopt_at = 0.0
        self.stop_at: float | None = None
        self.thread = threading.Thread(target=self._run, name="tokenbook", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def put(self, event: bytes) -> None:
        with self.changed:
            if not self.queue:
                self.batch_at = time.monotonic() + self.settings.batch_seconds
            self.queue.append(event)
            self.queued_bytes += len(event)
            full = self.queued_bytes > self.settings.memory_bytes
            if full or len(self.queue) in (1, self.settings.batch_events):
                self.changed.notify()

    def keep(self, event: bytes) -> None:
        """On the disk when this returns, or in memory where the disk takes nothing."""
        waiting = bool(self.spool.paths)
        if not self._spooled([event]):
            self.put(event)
        elif not waiting:
            with self.changed:
                self.replay_at = time.monotonic() + self.settings.batch_seconds
                self.changed.notify()

    def release(self, hold_id: str) -> None:
        with self.changed:
            self.holds.append(hold_id)
            self.changed.notify()

    def close(self) -> None:
        """Deliver what is left while there is time, and put the rest to the disk."""
        with self.changed:
            if self.stop_at is not None:
                return
            self.stop_at = time.monotonic() + self.settings.shutdown_seconds
            self.changed.notify()
        if self.thread.is_alive():
            self.thread.join(self.settings.shutdown_seconds + 0.5)
        # Where the thread hangs in a call its batch is both there and here: it counts once.
        left = self.in_hand + self._take(None)
        if left and not self._spooled(left):
            log.error("%d events are lost: the spool cannot be written", len(left))
        self.spool.close()

    def _run(self) -> None:
        while self.stop_at is None:
            try:
                self._wait()
                self._round()
            except Exception:  # whatever it is, the next event must still be delivered
                log.exception("The delivery to Tokenbook stumbled and goes on")
                self._put_back()
                self._wait_longer()
        self._release_holds()
        while time.monotonic() < self.stop_at and self._deliver_queue() and self.queue:
            pass

    def _wait(self) -> None:
        """Until there is something to do, or the stop."""
        with self.changed:
            while self.stop_at is None and (seconds := self._due()) > 0:
                self.changed.wait(seconds)

    def _due(self) -> float:
        """In how many seconds there is something to do."""
        moments = [self.adopt_at]
        if self._is_full():
            moments.append(self.spill_at)
        if self.queue:
            is_batch = len(self.queue) >= self.settings.batch_events
            moments.append(max(self.retry_at, 0 if is_batch else self.batch_at))
        if self.replayed or self.spool.paths:
            moments.append(max(self.retry_at, self.replay_at))
        if self.holds:
            moments.append(self.retry_at)
        return min(moments) - time.monotonic()

    def _is_full(self) -> bool:
        return self.queued_bytes > self.settings.memory_bytes

    def _round(self) -> None:
        now = time.monotonic()
        if self._is_full() and now >= self.spill_at:
            self._spill()
        if now >= self.adopt_at:
            self.adopt_at = now + ADOPT_EVERY_SECONDS
            self.spool.adopt()
        if now >= self.retry_at:
            self._release_holds()
            if self._deliver_queue() and now >= self.replay_at:
                self._replay()

    def _deliver_queue(self) -> bool:
        """One batch out of memory; whether more may be sent now."""
        self.in_hand = self._take(self.settings.batch_events)
        self.in_hand = self._deliver(self.in_hand)
        delivered = not self.in_hand
        self._put_back()
        return delivered

    def _replay(self) -> None:
        """One batch off the disk."""
        if not self.replayed:
            self.replaying = self.spool.oldest()
            if self.replaying is None:
                return
            self.replayed.extend(lines_of(self.replaying))
        left = self._deliver(take(self.replayed, self.settings.batch_events))
        self.replayed.extendleft(reversed(left))
        if not self.replayed and self.replaying is not None:
            self.spool.delete(self.replaying)

    def _deliver(self, events: list[bytes]) -> list[bytes]:
        """What of the events must be sent again."""
        if not events:
            return []
        try:
            answer = self._post(events)
            if 200 <= answer.status < 300:
                self._accepted(answer, len(events))
                return []
        except Unreachable as error:
            self.complaints.say("down", "Tokenbook takes no events, they are kept: %s", error)
            self._wait_longer()
            return events
        if answer.status < 400 or answer.status in MISCONFIGURED:
            self.complaints.say(
                "configuration",
                "Tokenbook takes no events (%s). They are kept; check TOKENBOOK_URL and "
                "TOKENBOOK_TOKEN, which needs the scope `ingest`",
                answer.reason(),
            )
            self._wait_longer(at_least=self.settings.longest_wait_seconds)
            return events
        if answer.status >= 500 or answer.status in RETRIED:
            self.complaints.say("busy", "Tokenbook is busy, events wait: %s", answer.reason())
            self._wait_longer(at_least=answer.retry_after_seconds)
            return events
        if len(events) > 1:
            half = len(events) // 2
            left = self._deliver(events[:half])
            return left + events[half:] if left else self._deliver(events[half:])
        return [] if self._rejected(events[0], answer) else events

    def _post(self, events: list[bytes]) -> Answer:
        seconds = self.settings.send_seconds
        if self.stop_at is not None:
            seconds = max(min(seconds, self.stop_at - time.monotonic()), 0.1)
        body = gzip.compress(b"[" + b",".join(events) + b"]", 5)
        return self.tokenbook.call("POST", INGEST, body, seconds=seconds, Content_Encoding="gzip")

    def _accepted(self, answer: Answer, sent: int) -> None:
        """Raises Unreachable where it was not Tokenbook who said so."""
        counts = answer.json()
        if "accepted" not in counts:
            raise Unreachable(f"{answer.status} without a count; is TOKENBOOK_URL right?")
        self.failures, self.retry_at = 0, 0
        if rejected := counts.get("rejected"):
            log.warning("Tokenbook set %d of %d events aside", len(rejected), sent)

    def _rejected(self, event: bytes, answer: Answer) -> bool:
        """Whether the event is in the file of those that Tokenbook refuses for good."""
        head = {"at": time.time(), "status": answer.status, "reason": answer.reason()}
        line = json.dumps(head).encode()[:-1] + b', "event": ' + event + b"}\n"
        try:
            make_private(self.rejected_path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self.rejected_path, flags, 0o600)
            try:
                write_all(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.complaints.say("disk", "The spool cannot be written: %s", error)
            self._wait_longer()
            return False
        log.error("Tokenbook refused an event for good; it is in %s", self.rejected_path)
        return True

    def _release_holds(self) -> None:
        """Best effort: a hold that nobody releases expires."""
        while self.holds:
            try:
                path = f"{HOLDS}{self.holds[0]}/"
                answer = self.tokenbook.call("DELETE", path, seconds=self.settings.send_seconds)
            except Unreachable:
                self._wait_longer()
                return
            if answer.status >= 500 or answer.status in RETRIED:
                self._wait_longer(at_least=answer.retry_after_seconds)
                return
            self.holds.popleft()

    def _wait_longer(self, *, at_least: float = 0) -> None:
        self.failures += 1
        longest = self.settings.longest_wait_seconds
        wait = min(self.settings.first_wait_seconds * 2 ** min(self.failures - 1, 30), longest)
        wait *= random.uniform(0.5, 1)  # noqa: S311 (so that proxies do not come back at once)
        self.retry_at = time.monotonic() + max(wait, at_least)

    def _spill(self) -> None:
        self.in_hand = self._take(None)
        if self._spooled(self.in_hand):
            self.in_hand = []
        else:
            self._put_back()
            self.spill_at = time.monotonic() + self.settings.longest_wait_seconds

    def _spooled(self, events: list[bytes]) -> bool:
        try:
            self.spool.append(events)
        except OSError as error:
            self.complaints.say("disk", "The spool cannot be written: %s", error)
            return False
        return True

    def _take(self, most: int | None) -> list[bytes]:
        with self.changed:
            events = take(self.queue, most)
            self.queued_bytes -= sum(map(len, events))
            return events

    def _put_back(self) -> None:
        with self.changed:
            self.queue.extendleft(reversed(self.in_hand))
            self.queued_bytes += sum(map(len, self.in_hand))
            self.in_hand = []


def take(queue: deque[bytes], most: int | None) -> list[bytes]:
    """The first events, as many as may be sent at once; without `most`, all."""
    if most is None:
        taken = list(queue)
        queue.clear()
        return taken
    taken, size = [], 0
    while queue and len(taken) < most and (not taken or size + len(queue[0]) <= MOST_BATCH_BYTES):
        size += len(queue[0])
        taken.append(queue.popleft())
    return taken


def stripped(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Of an event the fields that Tokenbook uses, as plain values. No prompt and no answer."""
    event = {}
    for name in EVENT_FIELDS:
        value = payload.get(name)
        if name not in PART_FIELDS:
            event[name] = plain(value)
        elif isinstance(value, Mapping):
            event[name] = {one: plain(value[one]) for one in PART_FIELDS[name] if one in value}
    return event


def plain(value: Any, levels: int = MOST_LEVELS) -> Any:
    """The value as JSON can say it. What is nested too deep for Tokenbook is cut off."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if levels == 0:
        return None
    if isinstance(value, Mapping):
        return {str(name): plain(inner, levels - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, levels - 1) for inner in value]
    return str(value)


def input_tokens_of(data: Mapping[str, Any], *, attachment_tokens: int) -> int:
    """Rather more than the tokens of a call's prompt: a third of its bytes, and its attachments."""
    size = attached = 0
    waiting = [data[name] for name in PROMPT_FIELDS if name in data]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            size += bytes_of(part)
        elif isinstance(part, list | tuple):
            waiting.extend(part)
        elif isinstance(part, Mapping) and (kind := attachment_kind(part)):
            tokens = 0 if kind == "image" else longest_text(part) // ATTACHED_BYTES_PER_TOKEN
            attached += max(tokens, attachment_tokens)
        elif isinstance(part, Mapping):
            size += BYTES_PER_OBJECT
            waiting.extend(part.values())
        elif part is not None:
            size += BYTES_PER_TOKEN  # a number: a token by its id
    return min(size // BYTES_PER_TOKEN + 1 + attached, MOST_TOKENS)


def bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def attachment_kind(part: Mapping[str, Any]) -> str | None:
    """What a part of a prompt is that is no text: `image`, or anything else."""
    inline = part.get("inline_data") or part.get("inlineData") or {}
    source = part.get("source") or inline
    media = ""
    if isinstance(source, Mapping):
        names = ("media_type", "mime_type", "mimeType")
        media = " ".join(str(source[name]) for name in names if name in source)
    kind = f"{part.get('type')} {media}".lower()
    if "image" in kind:
        return "image"
    is_other = any(word in kind for word in ("audio", "video", "file", "document", "application/"))
    return "other" if is_other or inline else None


def longest_text(part: Mapping[str, Any]) -> int:
    longest, waiting = 0, list(part.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            longest = max(longest, len(value))
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    return longest


def output_tokens_of(data: Mapping[str, Any], call_type: str, *, default: int) -> int:
    """What a call may answer at most: its own limit, where its route knows one by that name."""
    if call_type in NO_ANSWER:
        return 0
    config = data.get("generationConfig") or data.get("config") or {}
    if "responses" in call_type:
        limits = [data.get("max_output_tokens")]
    elif "generate_content" in call_type and isinstance(config, Mapping):
        limits = [config.get("maxOutputTokens"), config.get("max_output_tokens")]
    else:
        limits = [data.get("max_completion_tokens"), data.get("max_tokens")]
    known = [limit for limit in limits if is_count(limit)]
    answers = data.get("n")
    return min(max(known, default=default) * (answers if is_count(answers) else 1), MOST_TOKENS)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def metadata_of(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Where a request's own tags may be, depending on its route; LiteLLM looks in this order."""
    found = (data.get("metadata"), data.get("litellm_metadata"))
    return [metadata for metadata in found if isinstance(metadata, Mapping)]


def project_of(data: Mapping[str, Any], key: Any) -> str | None:
    """As Tokenbook reads it from the event: a tag `project:x`, else `project` in the metadata for
    the spend log, else LiteLLM's own project of the key.
    """
    places = metadata_of(data)
    tags = next((p["tags"] for p in places if isinstance(p.get("tags"), list) and p["tags"]), [])
    for tag in tags:
        if match := PROJECT_TAG.match(str(tag)):
            return match["tag"].strip()[:200] or None
    spend = next((p["spend_logs_metadata"] for p in places if "spend_logs_metadata" in p), None)
    for name in PROJECT_FIELDS if isinstance(spend, Mapping) else ():
        if isinstance(value := spend.get(name), str | int) and str(value):
            return str(value)[:200]
    return text_of(key, "project_alias") or text_of(key, "project_id")


def text_of(key: Any, name: str) -> str | None:
    value = getattr(key, name, None)
    return str(value) if value else None


def key_of(key: Any) -> str | None:
    """The hash that LiteLLM logs. Should a secret stand there, nobody but its hash leaves."""
    found = text_of(key, "api_key")
    if found == MASTER_KEY:
        return "master-key"
    if found and found.startswith("sk-"):
        return hashlib.sha256(found.encode()).hexdigest()
    return found


def owner_of(data: Mapping[str, Any], key: Any) -> dict[str, str]:
    """Whom the call belongs to, as the event will say it. Who the caller is, only LiteLLM's own
    record of the key says: `metadata` may come from the caller.
    """
    address, user = text_of(key, "user_email"), text_of(key, "user_id")
    names = {
        "api_key": key_of(key),
        "api_key_name": (text_of(key, "key_alias") or "")[:200],
        "workspace": text_of(key, "team_id") or text_of(key, "team_alias"),
        "workspace_name": (text_of(key, "team_alias") or "")[:200],
        "member": address or (user if user not in NOBODY else None),
        "member_email": address if address and len(address) <= 254 else None,
        "project": project_of(data, key),
    }
    return {name: value for name, value in names.items() if value}


class Holds:
    """The holds of the calls in flight, by call id. Clients choose ids, so calls may share one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: OrderedDict[str, list[str]] = OrderedDict()

    def remember(self, call_id: str, hold_id: str) -> None:
        with self.lock:
            self.open.setdefault(call_id, []).append(hold_id)
            if len(self.open) > MOST_HOLDS:
                self.open.popitem(last=False)

    def take(self, call_id: str | None) -> str | None:
        with self.lock:
            holds = self.open.get(call_id or "")
            if not holds:
                return None
            hold = holds.pop(0)
            if not holds:
                del self.open[call_id or ""]
            return hold

    def has(self, call_id: str) -> bool:
        with self.lock:
            return call_id in self.open


class Question:
    """One call's question to Tokenbook: either somebody still waits for the answer or not."""

    def __init__(self, ask: Mapping[str, Any], call_id: str) -> None:
        self.body, self.call_id = json.dumps(ask).encode(), call_id
        self.lock = threading.Lock()
        self.answer: Answer | None = None
        self.given_up = self.goes_anyway = False

    def answered(self, answer: Answer) -> bool:
        """Whether anybody waits for it."""
        with self.lock:
            self.answer = answer
            return not self.given_up

    def give_up(self, *, goes_anyway: bool) -> Answer | None:
        """The answer, if it came at the last moment."""
        with self.lock:
            self.given_up, self.goes_anyway = self.answer is None, goes_anyway
            return self.answer


def hold_of(answer: Answer) -> str | None:
    with contextlib.suppress(Unreachable):
        return answer.json().get("hold_id") if answer.status == 200 else None
    return None


def resets_at(decision: Mapping[str, Any]) -> str | None:
    """When the budget that the reason names begins anew."""
    for budget in decision.get("budgets") or ():
        if f"budget {budget['name']!r} " in decision["reason"]:
            return budget["resets_at"]
    return None


def is_charged(data: Mapping[str, Any], call_type: str) -> bool:
    """Whether the route asks a model, and not for a list of files."""
    if any(word in call_type for word in NOT_ASKED):
        return False
    return any(data.get(name) for name in ("model", *PROMPT_FIELDS))


def call_id_of(data: Mapping[str, Any]) -> str | None:
    """A call's own id: in its data, or with what LiteLLM logs it by."""
    logged = getattr(data.get("litellm_logging_obj"), "litellm_call_id", None)
    call_id = data.get("litellm_call_id") or logged
    return str(call_id) if call_id else None


class TokenbookLogger(CustomLogger):
    """What LiteLLM calls: before a call, and with the event of each attempt."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._begin()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin(self) -> None:
        self.holds, self.complaints = Holds(), Complaints()
        self.tokenbook = Tokenbook(self.settings)
        self.courier = Courier(self.settings, self.complaints)
        threads = self.settings.authorize_threads
        self.asking = ThreadPoolExecutor(threads, thread_name_prefix="tokenbook-authorize")
        self.writing = ThreadPoolExecutor(1, thread_name_prefix="tokenbook-spool")
        self.courier.start()

    def _begin_in_child(self) -> None:
        """Threads, locks and connections stay behind in the parent, and so do its events."""
        if self.courier.stop_at is None:
            self.courier.spool.abandon()
            self._begin()

    def close(self) -> None:
        self.courier.close()

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Raises TokenbookRefused and TokenbookUnavailable."""
        if not self.settings.authorize or not is_charged(data, call_type):
            return
        call_id = call_id_of(data) or str(uuid.uuid4())
        if call_type not in PASSED_THROUGH:
            data["litellm_call_id"] = call_id
        ask = self._ask_of(data, user_api_key_dict, call_type, call_id)
        try:
            answer = await self._answer_to(Question(ask, call_id))
        except Unreachable as error:
            self._undecided(error)
        else:
            self._obey(answer, call_id)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        await self._log(kwargs)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        await self._log(kwargs)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """No attempt is left: what was held is free again. A call that was refused held nothing,
        and what is held under its id is another's.
        """
        if isinstance(original_exception, TokenbookRefused | TokenbookUnavailable):
            return
        if hold := self.holds.take(call_id_of(request_data)):
            self.courier.release(hold)

    def _ask_of(
        self, data: dict[str, Any], key: Any, call_type: str, call_id: str
    ) -> dict[str, Any]:
        settings = self.settings
        model = str(data.get("model") or "unknown")
        ask = owner_of(data, key) | {
            # A client that chooses its calls' ids may choose one for all of them, and would then
            # have them all under one hold.
            "request_id": f"litellm:{uuid.uuid4()}" if self._is_shared(data, call_id) else call_id,
            "model": settings.model_names.get(model, model),
            "input_tokens": input_tokens_of(data, attachment_tokens=settings.attachment_tokens),
            "max_output_tokens": output_tokens_of(data, call_type, default=settings.output_tokens),
        }
        tier = data.get("service_tier")
        return ask | ({"service_tier": tier} if tier and isinstance(tier, str) else {})

    def _is_shared(self, data: dict[str, Any], call_id: str) -> bool:
        request = data.get("proxy_server_request")
        headers = request.get("headers") if isinstance(request, Mapping) else None
        chosen = isinstance(headers, Mapping) and "x-litellm-call-id" in map(str.lower, headers)
        return chosen or self.holds.has(call_id)

    async def _answer_to(self, question: Question) -> Answer:
        """Raises Unreachable."""
        seconds = self.settings.authorize_seconds
        asked = self.asking.submit(self._put, question)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(asked), seconds)
        except asyncio.TimeoutError:  # noqa: UP041 (another one before Python 3.11)
            late = question.give_up(goes_anyway=self.settings.fail_open)
            if late is None:
                raise Unreachable(f"no decision within {seconds:g} s") from None
            answer = late
        except asyncio.CancelledError:  # the client has gone
            if late := question.give_up(goes_anyway=False):
                self._release(late)
            raise
        if answer.status not in UNDECIDABLE and not (
            answer.status == 200 and isinstance(answer.json().get("allowed"), bool)
        ):
            raise Unreachable(answer.reason())
        return answer

    def _put(self, question: Question) -> Answer:
        """In a thread. An answer that comes too late still holds money, so it is waited for."""
        answer = self.tokenbook.call(
            "POST",
            AUTHORIZE,
            question.body,
            seconds=self.settings.authorize_seconds + LATE_SECONDS,
        )
        if not question.answered(answer):
            if not question.goes_anyway:
                self._release(answer)
            elif hold := hold_of(answer):
                self.holds.remember(question.call_id, hold)
        return answer

    def _release(self, answer: Answer) -> None:
        if hold := hold_of(answer):
            self.courier.release(hold)

    def _obey(self, answer: Answer, call_id: str) -> None:
        """Raises TokenbookRefused."""
        if answer.status in UNDECIDABLE:
            reason = f"Tokenbook cannot decide about this call: {answer.reason()}"
            raise TokenbookRefused(reason, status=400)
        decision = answer.json()
        if not decision["allowed"]:
            raise TokenbookRefused(decision["reason"], resets_at=resets_at(decision))
        if hold := decision.get("hold_id"):
            self.holds.remember(call_id, hold)

    def _undecided(self, error: Unreachable) -> None:
        """Raises TokenbookUnavailable, unless calls go all the same."""
        goes = "calls go unchecked" if self.settings.fail_open else "calls are refused with 503"
        self.complaints.say("undecided", "Tokenbook cannot be asked, %s: %s", goes, error)
        if not self.settings.fail_open:
            raise TokenbookUnavailable

    async def _log(self, kwargs: Mapping[str, Any]) -> None:
        payload = kwargs.get("standard_logging_object")
        if not isinstance(payload, Mapping):
            self.complaints.say("payload", "LiteLLM gave no standard_logging_object of a call")
            return
        event = stripped(payload)
        # Of a call with several attempts only the last one can be a success.
        if event.get("status") == "success" and (hold := self.holds.take(call_id_of(event))):
            event["tokenbook_hold_id"] = hold
        raw = json.dumps(event).encode()
        if self.settings.spool_always:
            # Written even if LiteLLM's task is cancelled meanwhile.
            await asyncio.shield(asyncio.wrap_future(self._written(raw)))
        else:
            self.courier.put(raw)

    def _written(self, event: bytes) -> "Future[None]":
        try:
            return self.writing.submit(self.courier.keep, event)
        except RuntimeError:  # the interpreter is going down and starts no threads any more
            done: Future[None] = Future()
            done.set_result(self.courier.keep(event))
            return done


proxy_handler_instance = TokenbookLogger(settings_from(os.environ))
