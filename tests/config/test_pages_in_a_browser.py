"""The pages as a browser shows them: nothing fails, nothing is fetched from elsewhere, it fits."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from django.urls import reverse

from accounts.models import Account, Member
from budgets.models import Budget
from config.unfold import UNFOLD, address
from tests.config.routes import furnish, key_of
from tests.factories import native, post
from usage.models import Price

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# Beside what the navigation leads to: forms, and pages below pages. One of each shape.
FURTHER = [
    "/admin/?range=today&by=project",
    "/admin/requests/one/?id=long",
    "/admin/prices/unpriced/price/?provider=openai&model=gpt-4o-x",
    "/admin/usage/price/import/",
    "/admin/accounts/accesstoken/add/",
    "/admin/budgets/budget/add/",
    "/admin/exports/export/add/",
    "/admin/second-factor/",
]
CHANGED = (Account, Budget, Price)
LONG = "a-name-that-goes-on-and-on-" * 6


def pages() -> list[str]:
    listed = [
        urlsplit(str(address(item["list"]) if "list" in item else item["link"])).path
        for section in UNFOLD["SIDEBAR"]["navigation"]
        for item in section["items"]
    ]
    # The documentation of the API is Swagger's own page.
    return [path for path in listed if path.startswith("/admin/")] + FURTHER


def forms() -> list[str]:
    """A row of each kind, as its form shows it."""
    return [
        reverse(f"admin:{kind._meta.label_lower.replace('.', '_')}_change", args=[key_of(kind)])
        for kind in CHANGED
    ]


@pytest.fixture
def people(transactional_db):
    people = furnish()
    Member.objects.update(name="Ada")
    names = {"model": LONG, "project": LONG, "member": LONG, "workspace": "research"}
    long = native(request_id="long", occurred_at=None, **names)
    post(people.acme, long, now=datetime.now(UTC))
    return people


def test_every_page_fits_is_accessible_in_light_and_dark_and_fetches_nothing_from_elsewhere(
    people, visitor
):
    visitor = visitor()
    visitor.log_in("stella")

    for path in pages() + forms():
        visitor.open(path)
        visitor.listen()
        visitor.turn(width=390, theme="dark")
        visitor.listen(only=("color-contrast", "scrollable-region-focusable"))
        visitor.keep(f"{path}-390-dark")
        visitor.turn(width=1440, theme="light")

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
