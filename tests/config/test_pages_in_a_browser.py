"""The pages as a browser shows them: nothing fails, nothing is fetched from elsewhere, it fits."""

from datetime import UTC, datetime

import pytest

from tests.factories import native, post, small_price_book
from tests.people import make_people

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PAGES = [
    "/admin/",
    "/admin/?range=today",
    "/admin/requests/",
    "/admin/requests/one/?id=long",
    "/admin/usage/price/",
    "/admin/prices/review/",
    "/admin/prices/unpriced/",
    "/admin/prices/unpriced/price/?provider=openai&model=gpt-4o-x",
    "/admin/prices/unpriced/answers/?provider=openai&model=gpt-4o-x",
    "/admin/usage/quarantinedrow/",
    "/admin/accounts/member/",
    "/admin/accounts/accesstoken/add/",
    "/admin/accounts/role/add/",
    "/admin/accounts/apikey/",
    "/admin/explorer/",
    "/admin/budgets/budget/",
    "/admin/budgets/budget/add/",
]
LONG = "a-name-that-goes-on-and-on-" * 6


@pytest.fixture
def people(transactional_db):
    small_price_book()
    people = make_people()
    names = {"model": LONG, "project": LONG, "member": LONG, "workspace": "research"}
    long = native(request_id="long", occurred_at=None, **names)
    post(people.acme, native(workspace="research", occurred_at=None), long, now=datetime.now(UTC))
    post(people.acme, native(input_tokens=-1))
    return people


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_every_page_fits_is_accessible_and_fetches_nothing_from_elsewhere(
    people, visitor, width, theme
):
    visitor = visitor(width=width, theme=theme)
    visitor.log_in("stella")

    for path in PAGES:
        visitor.open(path)
        visitor.keep(f"{path}-{width}-{theme}")
        visitor.listen()

    assert visitor.troubles == []


def test_the_chart_is_drawn(people, visitor):
    visitor = visitor()
    visitor.log_in("vera")

    visitor.open("/admin/")

    # The model without a price is no part of the chart: its spend is not known.
    assert visitor.page.locator("#tb-legend li").all_inner_texts() == ["gpt-4o"]
    assert visitor.page.locator("#tb-spend").bounding_box()["height"] > 200


def test_the_dashboard_refreshes_itself(people, visitor):
    visitor = visitor()
    visitor.page.clock.install()
    visitor.log_in("vera")
    visitor.open("/admin/")
    tile = visitor.page.locator(".tb-tile", has_text="Requests").locator(".tb-tile-value")
    before = tile.inner_text()

    post(people.acme, native(workspace="research", occurred_at=None), now=datetime.now(UTC))
    visitor.page.clock.fast_forward(16_000)
    visitor.page.wait_for_function(
        "() => document.querySelectorAll('.tb-tile-value')[1].textContent === '3'", timeout=10_000
    )

    assert before == "2"
