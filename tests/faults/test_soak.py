"""Whatever happens to a company's processes, nothing is lost or doubled and all of it comes back.

A few things happen here; `make soak` has all of them happen, again and again, for SOAK_MINUTES.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from config import embedded
from tests.books import assert_books_balance
from tests.faults import menu, soak
from tests.faults.company import Company, company
from tests.faults.conftest import database_over
from tests.faults.soak import Soak

MINUTES = float(os.environ.get("SOAK_MINUTES") or 0)
TABLE = os.environ.get("SOAK_TABLE", "")

pytestmark = pytest.mark.slow


@pytest.fixture
def acme(django_db_blocker: Any) -> Iterator[Company]:
    """Migrated, not started; this test's connection leads to its database."""
    with ExitStack() as stack:
        made = stack.enter_context(company(with_storage=MINUTES > 0, with_disk=MINUTES > 0))
        embedded.start(made.postgres)
        stack.enter_context(django_db_blocker.unblock())
        stack.enter_context(database_over(made.postgres))
        yield made


def test_whatever_happens_nothing_is_lost_or_doubled_and_all_comes_back(acme: Company):
    traffic = soak.prepare(acme)
    run = Soak(acme, traffic, beats=2 if MINUTES else 1)
    soak.start(acme)
    faults = soak.in_any_order(menu.ALL, MINUTES) if MINUTES else menu.QUICK
    gateways = traffic.run()
    watching = threading.Thread(target=acme.watch)
    watching.start()
    try:
        run.inflict(faults)
    finally:
        traffic.over.set()
        for thread in gateways:
            thread.join()
        run.settle()
        acme.ended.set()
        watching.join()
        tell(run)

    assert not run.wrong
    assert traffic.answers[0] > 0  # or nothing was broken
    assert_books_balance()
    assert acme.stop() == 0
    assert acme.family() == []


def tell(run: Soak) -> None:
    table = run.table()
    print(f"\n{table}")
    if TABLE:
        Path(TABLE).write_text(table + "\n")
        Path(TABLE).with_suffix(".log").write_text(run.company.output)
