"""Fixtures for all tests: the throw-away database, a real web server, a mail server, a browser."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection, connections
from django.test import TransactionTestCase

from config import embedded
from config.directories import POSTGRES_DIR
from tests import browsing, emptying, mailing, serving
from tests.settings import TEMPORARY

# A machine that loses power loses the test run anyway.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[None]:
    """One server for the whole run, started when the first test needs it."""
    try:
        embedded.start(POSTGRES_DIR, overrides=CARELESS)
        yield
    finally:
        embedded.stop(POSTGRES_DIR)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: None) -> None:
    """pytest-django asks for this before it makes the test database."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Between tests that commit everything is emptied, which nobody may do to the audit log."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER audit_is_never_emptied ON config_auditentry")
    connections.close_all()
    TransactionTestCase._fixture_teardown = lambda _: emptying.empty_tables()  # type: ignore[attr-defined]


def pytest_unconfigure() -> None:
    shutil.rmtree(TEMPORARY, ignore_errors=True)


@pytest.fixture
def without_menus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without their navigation, which is the same on all and half of their cost."""
    for menu in ("get_sidebar_list", "get_app_list"):
        monkeypatch.setattr(admin.site, menu, lambda *_, **__: [])


@pytest.fixture(autouse=True)
def forgetful_processes() -> None:
    """What a process remembers of the rows of one test is gone with them."""
    from tests.factories import forget

    forget()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Time stands still for copies in memory: they look for changes when a test says so."""
    from accounts import versions
    from tests.factories import Clock

    clock = Clock()
    monkeypatch.setattr(versions, "time", clock)
    return clock


@pytest.fixture(scope="session")
def one_web(django_db_setup: None) -> Iterator[serving.Server]:
    """Starting it costs seconds: one for all tests that neither stop it nor set it up otherwise."""
    with serving.web() as server:
        yield server


@pytest.fixture
def live_web(transactional_db: None, one_web: serving.Server) -> Iterator[serving.Server]:
    """The real web server, as processes of its own, over the test database."""
    one_web.forget()
    yield one_web
    one_web.asked_at = time.monotonic()


@pytest.fixture
def live_worker(transactional_db: None) -> Iterator[serving.Processes]:
    """The real worker over the test database."""
    with serving.worker() as worker:
        yield worker


@pytest.fixture
def smtp_server(settings: Any) -> Iterator[mailing.MailServer]:
    """A mail server on this machine, to which Django's mails go."""
    with contextlib.closing(mailing.MailServer()) as server:
        server.start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        yield server


@pytest.fixture(scope="session")
def browser(django_db_setup: None) -> Iterator[Any]:
    """A Chromium without a window; a test opens `browser.new_page()` or its own context."""
    # Playwright keeps an event loop running in this thread. In there Django would refuse its
    # database, and keeps other connections than outside, which nobody else closes.
    with pytest.MonkeyPatch.context() as environment, browsing.chromium() as chromium:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield chromium
        connections.close_all()
