from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.serving import Server
from tests.visiting import Visitor


@pytest.fixture
def visitor(browser: Browser, live_web: Server) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def make(*, width: int = 1440, theme: str = "light") -> Visitor:
        visitors.append(Visitor(browser, live_web.url, width=width, theme=theme))
        return visitors[-1]

    yield make
    for each in visitors:
        each.page.close()
