"""The admin's pages over many requests: how long until the last byte, how many queries and bytes.

`--rows N` makes N requests in 90 days. Pages are fetched over HTTP from the real web server, one
after another, by somebody who reaches all of it; queries are counted in process; bytes are what a
browser loads at its first visit, with nothing cached, from the page to its last script.
"""

import argparse
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from bench import _harness as harness
from bench import _traffic
from bench._traffic import Traffic
from bench.reports import make, scratch, tidy_up
from tests.browsing import chromium
from usage import requests
from usage.rollups.fold import fold_all

PAGE_THOUSAND = 999 * requests.PAGE_SIZE


def pages(traffic: Traffic) -> dict[str, str]:
    largest = f"account={traffic.account.slug}&workspace={traffic.workspaces[0].slug}"
    return {
        "home, 7 days": "/admin/",
        "home, 30 days": "/admin/?range=30d",
        "home, 90 days": "/admin/?range=90d",
        "home, today": "/admin/?range=today",
        "home, 30 days by project": "/admin/?range=30d&by=project",
        "home, 30 days, largest workspace": f"/admin/?range=30d&{largest}",
        "request log, page 1": "/admin/requests/",
        "request log, page 1,000": f"/admin/requests/?{urlencode({'cursor': cursor_of()})}",
        "request log, errors of 7 days": "/admin/requests/?status_class=5xx",
        "request log, one model and member": "/admin/requests/?model=gpt-4o&member=member-1",
    }


def cursor_of() -> str:
    """Where page 1,000 begins: found once by counting, which the page itself never does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT occurred_at, workspace_id, request_id FROM usage_requestlog "
            "ORDER BY occurred_at DESC, request_id DESC, workspace_id DESC OFFSET %s LIMIT 1",
            [PAGE_THOUSAND],
        )
        row = dict(
            zip(("occurred_at", "workspace_id", "request_id"), cursor.fetchone(), strict=True)
        )
    return requests.make_cursor(row, backwards=False)


def session_of(user: User) -> str:
    """The key of a session in which the user is logged in."""
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return store.session_key


def fetcher(url: str, session: str) -> Callable[[str], float]:
    def fetch(path: str) -> float:
        asked = urllib.request.Request(
            url + path, headers={"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
        )
        started_at = time.perf_counter()
        with closing(urllib.request.urlopen(asked)) as answer:
            text = answer.read()
        seconds = time.perf_counter() - started_at
        if b"tb-live" not in text and b"tb-log" not in text:
            raise RuntimeError(f"{path} is not the page")
        return seconds

    return fetch


def queries_of(user: User, path: str) -> int:
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    return len(queries)


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


def measure(traffic: Traffic, *, repeats: int) -> None:
    user = User.objects.create_superuser("bench", password="correct horse")
    with harness.web() as server:
        session = session_of(user)
        fetch = fetcher(server.url, session)
        rows = []
        for name, path in pages(traffic).items():
            fetch(path)
            seconds = sorted(fetch(path) for _ in range(repeats))
            median, slowest = (f"{1000 * s:,.0f}" for s in (harness.median(seconds), seconds[-1]))
            rows.append((name, median, slowest, queries_of(user, path)))
        harness.table(("page", "median ms", "slowest ms", "queries"), rows)
        for name, path in (("home", "/admin/"), ("request log", "/admin/requests/")):
            size = first_load(server.url, session, path)
            print(f"\n{name}: {size / 1000:,.0f} kB over the wire on first load", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests in the log")
    parser.add_argument("--repeats", type=int, default=9, help="fetches of each page")
    options = parser.parse_args()
    print(f"\n## Pages ({harness.machine()}; {options.rows:,} requests in 90 days)\n", flush=True)
    with scratch(), harness.database():
        place = harness.make_account()
        now = datetime.now(UTC)
        traffic = _traffic.prepare(place.account, place.workspace, rows=options.rows, now=now)
        make(traffic)
        fold_all()
        tidy_up()
        measure(traffic, repeats=options.repeats)


if __name__ == "__main__":
    main()
