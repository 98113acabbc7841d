"""What stands in for LiteLLM: a base class, a key, calls and their events. And a faulty network."""

import asyncio
import contextlib
import importlib.util
import json
import sys
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

from django.conf import settings

from tests.usage.ingest.recorded import EVENTS, KEY

PLUGIN = settings.BASE_DIR / "docs/gateways/tokenbook_litellm.py"
RECORDED = json.loads(EVENTS["proxy_virtualkey_1_acompletion_gpt-4o-mini"])
LONG_AGO = 1_736_942_400.0  # before any clock that this runs under
SECRET_TEXT = "the merger is called off"


class CustomLogger:
    """The part of LiteLLM's base class that an integration sees."""

    def __init__(self, turn_off_message_logging: bool = False, **kwargs: Any) -> None:
        self.turn_off_message_logging = turn_off_message_logging


def load(spool: Path, **environment: str) -> ModuleType:
    """The plug-in, as LiteLLM loads it from the file beside its configuration."""
    modules = {name: ModuleType(name) for name in ("litellm", "litellm.integrations")}
    base = ModuleType("litellm.integrations.custom_logger")
    base.CustomLogger = CustomLogger  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("tokenbook_litellm", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    variables = {"TOKENBOOK_SPOOL_DIR": str(spool)} | environment
    with (
        mock.patch.dict(sys.modules, modules | {base.__name__: base}),
        mock.patch.dict("os.environ", variables),
    ):
        spec.loader.exec_module(plugin)
    return plugin


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """In a loop of its own, in a thread of its own: a browser's test leaves one in this thread."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()


def jane(**fields: Any) -> SimpleNamespace:
    """The key of the recorded call, as LiteLLM knows it before the call."""
    return SimpleNamespace(
        **{
            "api_key": KEY,
            "key_alias": "svc-billing-bot",
            "team_id": "team-uuid-1",
            "team_alias": "Finance",
            "user_id": "user-1",
            "user_email": "jane@example.com",
            "project_id": "proj-9",
            "project_alias": None,
        }
        | fields
    )


def call(call_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """What a call looks like before it: 3,000 bytes to ask, 1,000 tokens to answer at most."""
    return {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "x" * 3000}],
        "max_tokens": 1000,
        "metadata": {},
        "litellm_call_id": call_id,
    } | fields


def event(call_id: str, **fields: Any) -> dict[str, Any]:
    """The event of a call that was answered, prompt and answer included."""
    return (
        RECORDED
        | {
            "id": f"answer-{call_id}",
            "litellm_call_id": call_id,
            "startTime": LONG_AGO,
            "endTime": LONG_AGO + 1,
            "completionStartTime": LONG_AGO + 1,
            "messages": [{"role": "user", "content": SECRET_TEXT}],
            "response": {
                "choices": [{"message": {"content": SECRET_TEXT}}],
                "service_tier": "default",
            },
        }
        | fields
    )


def failure(call_id: str, error_class: str, **fields: Any) -> dict[str, Any]:
    return (
        event(call_id)
        | {
            "id": call_id,
            "status": "failure",
            "error_str": SECRET_TEXT,
            "error_information": {
                "error_code": "429",
                "error_class": error_class,
                "error_message": SECRET_TEXT,
                "traceback": SECRET_TEXT,
                "llm_provider": "",
            },
        }
        | fields
    )


def ask(logger: Any, data: dict[str, Any], key: Any = None, call_type: str = "acompletion") -> None:
    run(logger.async_pre_call_hook(key or jane(), None, data, call_type))


def log(logger: Any, *events: Any) -> None:
    async def all_of_them() -> None:
        for one in events:
            hook = logger.async_log_success_event
            if one and one["status"] == "failure":
                hook = logger.async_log_failure_event
            await hook({"standard_logging_object": one}, None, None, None)

    run(all_of_them())


def fail(logger: Any, data: dict[str, Any], error: Exception) -> None:
    """LiteLLM has no attempt left."""
    run(logger.async_post_call_failure_hook(data, error, jane(), traceback_str=""))


class Network(ThreadingHTTPServer):
    """Between the plug-in and a server (or none): does to each call what its script says.

    A step is a status to answer with (or a pair: with headers), `drop` (hang up at once), `lose`
    (pass it on, and hang up instead of answering), `late` (answer once `told`), or nothing: pass
    it on.
    """

    daemon_threads = True

    def __init__(self, url: str | None, *script: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.script = url, deque(script)
        self.always: Any = None
        self.calls: list[tuple[str, str, int | None]] = []
        self.told = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def step(self, body: bytes) -> Any:
        step = self.script.popleft() if self.script else self.always
        return step(body) if callable(step) else step

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Hanging up is meant."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Network

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        step = self.server.step(body)
        if step == "drop":
            self.note(None)
            self.close_connection = True
            return
        if isinstance(step, int | tuple):
            status, headers = step if isinstance(step, tuple) else (step, {})
            self.answer(status, b'{"error": {"message": "scripted"}}', headers)
            return
        status, text = self.passed_on(body)
        if step == "lose":
            self.note(None)
            self.close_connection = True
            return
        if step == "late":
            self.server.told.wait(30)
        self.answer(status, text, {})

    do_DELETE = do_POST

    def passed_on(self, body: bytes) -> tuple[int, bytes]:
        if self.server.upstream is None:
            return 200, b'{"accepted": 1, "duplicates": 0, "rejected": []}'
        headers = {name: self.headers[name] for name in self.headers if name != "Host"}
        request = urllib.request.Request(
            self.server.upstream + self.path, body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def answer(self, status: int, text: bytes, headers: dict[str, str]) -> None:
        self.note(status)
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(text))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def note(self, status: int | None) -> None:
        self.server.calls.append((self.command, self.path, status))

    def log_message(self, *values: Any) -> None:
        """Silent."""


@contextlib.contextmanager
def network(url: str | None, *script: Any) -> Iterator[Network]:
    between = Network(url, *script)
    thread = threading.Thread(target=between.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield between
    finally:
        between.told.set()
        between.shutdown()
        between.server_close()
