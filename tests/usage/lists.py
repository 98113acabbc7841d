"""Lists of the log, as tests ask for them."""

from typing import Any

from django.http import QueryDict

from accounts.access import Reach
from accounts.models import Workspace
from tests.factories import reach_of
from usage.requests import Page, page, parse


def reach() -> Reach:
    return reach_of(*Workspace.objects.select_related("account").order_by("name"))


def listed(query: str = "", **more: Any) -> Page:
    return page(parse(QueryDict(query), reach()), **more)


def ids(found: Page) -> list[str]:
    return [row["request_id"] for row in found.rows]


def places(found: Page) -> list[tuple[str, str]]:
    return [(row["workspace"], row["request_id"]) for row in found.rows]


def all_pages(size: int, query: str = "") -> list[Page]:
    pages = [listed(query, size=size)]
    while pages[-1].next:
        pages.append(listed(query, size=size, cursor=pages[-1].next))
    return pages
