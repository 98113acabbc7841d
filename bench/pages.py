"""The admin's pages over many requests: when they come, how many queries and how many bytes.

`--rows N` makes N requests in 90 days; with `--data DIRECTORY` in a database that is kept there, or
that an earlier run left there. Pages are fetched over HTTP from the real web server, one after
another, by somebody who reaches all of it. Queries are counted in process, and so are milliseconds
of processor time, of Python and of PostgreSQL, which hardly change while others use the machine.
Bytes are those of the page alone, compressed, and then what a browser loads at its first visit,
with nothing cached, from the page to its last script.

It ends with 1 where a page misses what is wanted of it.
"""

import argparse
import contextlib
import http.client
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, User
from bench import _harness as harness
from bench import _traffic
from bench._engines import backend_seconds
from bench._page_list import HOME_BYTES, Page, furnish, pages
from bench._traffic import Traffic
from bench.reports import make, scratch, tidy_up
from config import embedded
from config.directories import POSTGRES_DIR
from tests.browsing import chromium
from usage.rollups.fold import fold_all

NAME = "bench"
FIRST_LOADS = {"home": "/admin/", "explorer": "/admin/explorer/", "request log": "/admin/requests/"}


def session_of(user: User) -> str:
    """The key of a session in which the user is logged in."""
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return store.session_key


@dataclass(frozen=True)
class Fetched:
    """Seconds until the first and the last byte, and how many bytes came."""

    first: float
    last: float
    size: int


class Reader:
    """A browser's connection: kept, logged in, and asking for compressed pages."""

    def __init__(self, url: str, session: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self.headers = {
            "Cookie": f"{settings.SESSION_COOKIE_NAME}={session}",
            "Accept-Encoding": "gzip",
        }

    def fetch(self, path: str) -> Fetched:
        started_at = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read(1)
        first = time.perf_counter() - started_at
        body += answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answers {answer.status}: {answer.headers}")
        return Fetched(first, time.perf_counter() - started_at, len(body))


@dataclass(frozen=True)
class Figures:
    first_ms: float
    last_ms: float
    slowest_ms: float
    python_ms: float
    sql_ms: float
    queries: int
    size: int

    def misses(self, page: Page) -> bool:
        too_slow = page.most_ms is not None and self.last_ms > page.most_ms
        return too_slow or (page.most_queries is not None and self.queries > page.most_queries)

    def shown(self, page: Page) -> tuple[str, ...]:
        goal = "" if page.most_ms is None else f"{page.most_ms:,}"
        goal += "" if page.most_queries is None else f", {page.most_queries} queries"
        times = (self.first_ms, self.last_ms, self.slowest_ms, self.python_ms, self.sql_ms)
        size = f"{self.size / 1000:,.1f}"
        star = " *" * self.misses(page)
        return (page.name, *(f"{ms:,.0f}" for ms in times), str(self.queries), size, goal + star)


HEADER = (
    *("page", "first byte ms", "last byte ms", "slowest", "Python's processor ms"),
    *("PostgreSQL's", "queries", "kB compressed", "goal"),
)


def measured(reader: Reader, client: Client, page: Page, *, repeats: int) -> Figures:
    """Medians; once before for what each process and connection does only once."""
    reader.connection.close()  # the server has closed it if the page before took long to count
    reader.fetch(page.path)
    found = [reader.fetch(page.path) for _ in range(repeats)]
    python, sql, queries = in_process(client, page, repeats=repeats)
    return Figures(
        first_ms=1000 * harness.median(one.first for one in found),
        last_ms=1000 * harness.median(one.last for one in found),
        slowest_ms=1000 * max(one.last for one in found),
        python_ms=1000 * python,
        sql_ms=1000 * sql,
        queries=queries,
        size=found[-1].size,
    )


def in_process(client: Client, page: Page, *, repeats: int) -> tuple[float, float, int]:
    """Seconds of processor time of Python and of PostgreSQL, the least; and how many queries."""
    with CaptureQueriesContext(connection) as captured:
        client.get(page.path)
        queries = len(captured)
    python, sql = [], []
    for _ in range(repeats):
        before = time.process_time(), postgres_seconds()
        client.get(page.path)
        python.append(time.process_time() - before[0])
        sql.append(postgres_seconds() - before[1])
    return min(python), min(sql), queries


def postgres_seconds() -> float:
    """Of this connection's backend and of parallel workers that ended."""
    spent = psutil.Process(postmaster_pid()).cpu_times()
    return backend_seconds() + spent.children_user + spent.children_system


@lru_cache
def postmaster_pid() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        return embedded.postmaster_pid(Path(cursor.fetchone()[0]))


def first_load(url: str, session: str, path: str) -> int:
    """Bytes over the wire, as the browser counts them, of a page and all that it loads."""
    with chromium() as browser:
        context = browser.new_context()
        cookie: Any = {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}
        context.add_cookies([cookie])
        page = context.new_page()
        sizes: list[float] = []
        watcher = context.new_cdp_session(page)
        watcher.send("Network.enable")
        watcher.on("Network.loadingFinished", lambda e: sizes.append(e["encodedDataLength"]))
        page.goto(url + path, wait_until="networkidle")
    return int(sum(sizes))


def measure(traffic: Traffic, *, repeats: int, only: str, browser: bool) -> list[str]:
    """The names of what misses its goal."""
    user, _ = User.objects.get_or_create(
        username=NAME, defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    missed: list[str] = []
    with harness.web() as server:
        session = session_of(user)
        reader = Reader(server.url, session)

        def rows() -> Iterator[tuple[str, ...]]:
            for page in (one for one in pages(traffic) if only in one.name):
                figures = measured(reader, client, page, repeats=repeats)
                missed.extend([page.name] if figures.misses(page) else [])
                yield figures.shown(page)

        harness.table(HEADER, rows())
        for name, path in FIRST_LOADS.items() if browser else ():
            size = first_load(server.url, session, path)
            print(f"\n{name}: {size / 1000:,.0f} kB over the wire on first load", flush=True)
            missed += [f"{name}, bytes"] if name == "home" and size > HOME_BYTES else []
    return missed


@contextlib.contextmanager
def requests_in(directory: Path, *, rows: int) -> Iterator[Traffic]:
    """A database with so many requests, or with those that it has already."""
    with harness.database(directory):
        if Account.objects.filter(slug=NAME).exists():
            yield _traffic.found(Account.objects.get(slug=NAME))
            return
        place = harness.make_account()
        now = datetime.now(UTC)
        traffic = _traffic.prepare(place.account, place.workspace, rows=rows, now=now)
        make(traffic)
        fold_all()
        tidy_up()
        yield traffic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests in the log")
    parser.add_argument("--data", type=Path, default=POSTGRES_DIR, help="where they are kept")
    parser.add_argument("--repeats", type=int, default=9, help="fetches of each page")
    parser.add_argument("--only", default="", help="pages with this in their names")
    parser.add_argument("--no-browser", action="store_true", help="count no first loads")
    options = parser.parse_args()
    with scratch(), requests_in(options.data, rows=options.rows) as traffic:
        print(f"\n## Pages ({harness.machine()}; {traffic.rows:,} requests in 90 days)\n")
        furnish(traffic)
        missed = measure(
            traffic, repeats=options.repeats, only=options.only, browser=not options.no_browser
        )
    print(f"\nMissed their goals (*): {', '.join(missed) or 'none'}", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
