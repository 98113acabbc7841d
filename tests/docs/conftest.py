"""The plug-in for LiteLLM over a real server; one server for all of these tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts import tokens
from accounts.models import Account
from tests import serving
from tests.docs import litellm_standin as standin
from tests.emptying import empty_tables
from tests.factories import make_account, numbers
from tests.usage.ingest.recorded import price_book


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any) -> Iterator[serving.Server]:
    """What is committed while it runs goes at the end; each test has an account of its own."""
    with django_db_blocker.unblock():
        try:
            price_book()
            with serving.web(WEB_WORKERS="1") as running:
                yield running
        finally:
            empty_tables()


@pytest.fixture
def transactional_db(server: serving.Server) -> None:
    """The server's database: what a test writes is committed, and stays until the server ends."""


@pytest.fixture
def account(transactional_db: None) -> Account:
    return make_account(f"acme-{next(numbers)}")


@pytest.fixture
def token(account: Account) -> str:
    return tokens.issue(account=account, name="litellm", scopes=["authorize", "ingest"])[1]


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The plug-in's module, loaded once; its own instance is put to rest."""
    spool = tmp_path_factory.mktemp("spool")
    environment = {"TOKENBOOK_URL": "http://127.0.0.1:9", "TOKENBOOK_TOKEN": "tb_none"}
    module = standin.load(spool, **environment)
    module.proxy_handler_instance.close()
    return module


@pytest.fixture
def make_logger(plugin: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Instances of the plug-in that lose no time, on one spool."""
    made = []

    def make(url: str, token: str | None = None, **settings: Any) -> Any:
        quick = {
            "spool_dir": str(tmp_path / "spool"),
            "batch_seconds": 0.01,
            "first_wait_seconds": 0.01,
            "longest_wait_seconds": 0.05,
            "authorize_seconds": 10,
            "shutdown_seconds": 0.2,
        }
        given = plugin.Settings(url=url, token=token or "tb_none", **quick | settings)
        made.append(plugin.TokenbookLogger(given))
        return made[-1]

    yield make
    for logger in made:
        logger.close()
