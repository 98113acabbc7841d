"""What a careful gateway does: it sends each call again and again until it is acknowledged."""

import gzip
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.05
# What a gateway sends again after: nothing is lost by it, because every request is stored once.
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class Refused(Exception):
    """An answer that sending again does not change."""


class Gateway:
    """One client, which keeps its connection while it holds. Each thread has its own.

    `answers` counts statuses, of any number of clients; 0 is no answer at all.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: float = PATIENCE_SECONDS,
        answers: Counter[int] | None = None,
    ) -> None:
        self.host = urlsplit(url).netloc
        self.token = token
        self.patience = patience
        self.answers: Counter[int] = Counter() if answers is None else answers
        self.connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """The answer. Raises OSError or HTTPException where there is none; 5xx is none."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, timeout=20)
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.connection.request("POST", f"/api/v1/{path}", payload, sent)
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self.answers[0] += 1
            self.close()
            raise
        self.answers[response.status] += 1
        if response.status in TRY_AGAIN:
            raise ConnectionError(f"{response.status} {answer[:200]!r}")
        if response.status not in (200, 202):
            raise Refused(f"{response.status} {answer[:500]!r}")
        return json.loads(answer)

    def post_until_acknowledged(self, path: str, body: Any, **headers: str) -> Any:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return self.post(path, body, **headers)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def lines(rows: Sequence[Any]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


def zipped(rows: Sequence[Any]) -> bytes:
    return gzip.compress(json.dumps(rows).encode(), 1)


def in_threads(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each returns, all begun at once; the first error, once all have ended."""
    start = threading.Barrier(len(acts), timeout=30)
    results: list[Any] = [None] * len(acts)
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            start.wait()
            results[place] = acts[place]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
