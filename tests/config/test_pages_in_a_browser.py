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
    "/admin/budgets/budget/",
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


class Visitor:
    """Somebody logged in, and all that went wrong on the way."""

    def __init__(self, browser, url, *, width, theme):
        self.url, self.troubles = url, []
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.page.on("console", lambda m: m.type == "error" and self.troubles.append(m.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self.check_host)

    def check_host(self, request):
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(request.url)

    def log_in(self, username):
        self.page.goto(f"{self.url}/admin/login/")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", "correct horse")
        self.page.click("button[type=submit]")

    def open(self, path):
        self.page.goto(self.url + path, wait_until="networkidle")
        wide = "document.documentElement.scrollWidth - window.innerWidth"
        if (excess := self.page.evaluate(wide)) > 0:
            self.troubles.append(f"{path} is {excess} px too wide")


@pytest.fixture
def visitor(browser, live_web):
    visitors = []

    def make(*, width=1440, theme="light"):
        visitors.append(Visitor(browser, live_web.url, width=width, theme=theme))
        return visitors[-1]

    yield make
    for each in visitors:
        each.page.close()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_every_page_fits_and_fetches_nothing_from_elsewhere(people, visitor, width, theme):
    visitor = visitor(width=width, theme=theme)
    visitor.log_in("stella")

    for path in PAGES:
        visitor.open(path)

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
