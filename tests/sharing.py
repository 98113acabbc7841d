"""Several runs of pytest side by side that share the tests out among themselves (`make test`).

Each collects all of them and takes the next module's tests that no other has taken, so that none is
idle while another still has much to do. Those that take long come first.
"""

import hashlib
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

SHARED = "TESTS_SHARED"  # the variable with the name of an empty directory
Tests = list[pytest.Item]


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """As pytest's own, over what this run takes."""
    if session.config.option.collectonly or session.testsfailed:
        return None  # pytest says what is wrong
    taken = ours(session.items, Path(os.environ[SHARED]))
    item = next(taken, None)
    while item is not None:
        following = next(taken, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def ours(items: Tests, shared: Path) -> Iterator[pytest.Item]:
    by_module = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    for tests in sorted(by_module, key=lambda tests: not any_is_slow(tests)):
        if is_free(tests, shared):
            yield from tests


def any_is_slow(tests: Tests) -> bool:
    return any(item.get_closest_marker("slow") for item in tests)


def is_free(tests: Tests, shared: Path) -> bool:
    """Whoever makes the file has the tests. Modules may have several runs of them, as those that
    commit come later."""
    names = "\n".join(sorted(item.nodeid for item in tests))
    claim = shared / hashlib.sha256(names.encode()).hexdigest()
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
