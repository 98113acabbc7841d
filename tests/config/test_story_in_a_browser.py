"""What people do all day, in a browser: from a figure to its requests, and what they may not."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts import directory
from accounts.models import ApiKey, Member
from tests.factories import (
    bearer,
    make_price,
    make_role,
    native,
    post,
    save_prices,
    small_price_book,
)
from tests.people import make_people
from usage.rollups import reattribute

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def people(transactional_db):
    small_price_book()
    people = make_people()
    Member.objects.create(account=people.acme, identifier="ada@acme.test", name="Ada")
    row = {"workspace": "research", "project": "apollo", "api_key": "k1", "occurred_at": None}
    post(people.acme, *(native(**row) for _ in range(3)), now=datetime.now(UTC))
    post(people.acme, native(workspace="support", occurred_at=None), now=datetime.now(UTC))
    return people


def test_from_a_tile_to_the_request_behind_it(people, visitor):
    visitor = visitor()
    visitor.log_in("vera")
    page = visitor.page

    page.click("text=30 days")
    assert "range=30d" in page.url
    spend = page.locator(".tb-tile-value").first.inner_text()
    page.locator(".tb-tile").first.click()
    page.wait_for_load_state("networkidle")
    assert "/admin/explorer/" in page.url
    assert spend in page.content()
    visitor.keep("story-explorer")
    page.go_back()
    page.click(".tb-top >> text=apollo")
    page.wait_for_load_state("networkidle")
    assert "3 requests, $0.0105" in page.locator(".tb-summary").inner_text()
    page.locator(".tb-log tbody a").first.click()
    page.wait_for_selector(".tb-bill")

    assert "$0.0035" in page.locator(".tb-tiles").inner_text()
    visitor.keep("story-request")
    assert visitor.troubles == []


def test_a_key_is_claimed_with_its_history(people, visitor):
    visitor = visitor()
    visitor.log_in("marcus")
    page = visitor.page

    visitor.open(f"/admin/accounts/apikey/{ApiKey.objects.get(identifier='k1').pk}/change/")
    page.click("text=Give to a member")
    page.wait_for_selector("text=3 requests")
    page.select_option("select[name=member]", label="Ada")
    visitor.keep("story-claim")
    page.click("button:has-text('Give')")
    page.wait_for_selector("text=Given to Ada")
    directory.forget()
    reattribute.work(now=datetime.now(UTC) + timedelta(seconds=5))
    visitor.open("/admin/")

    members = page.locator(".tb-card", has_text="Members").locator("tbody tr").first.inner_text()
    assert members.split()[0] == "Ada"
    assert visitor.troubles == []


def test_a_budget_is_made_after_a_mistake_and_refuses_the_next_call(people, visitor):
    visitor = visitor()
    visitor.log_in("marcus")
    page = visitor.page

    visitor.open("/admin/budgets/budget/add/")
    page.fill("#id_name", "Small")
    page.fill("#id_limit", "-1")
    page.click("button[name=_save]")
    page.wait_for_selector("text=greater than or equal to 0")
    page.fill("#id_limit", "0.01")
    page.check("#id_hard", force=True)
    page.click("text=Look at what was recorded")
    page.wait_for_selector("text=would have been refused")
    visitor.keep("story-budget")
    page.click("button[name=_save]")
    page.wait_for_selector("text=was added successfully")
    assert "$0.014 spent" in page.locator("#result_list").inner_text()
    answer = page.request.post(
        f"{visitor.url}/api/v1/authorize/",
        headers=bearer(people.acme),
        data={"request_id": "r2", "workspace": "research", "max_cost": "0.01"},
    ).json()

    assert not answer["allowed"]
    assert "account budget 'Small' has" in answer["reason"]
    assert visitor.troubles == []


def test_a_price_is_approved_and_the_requests_that_waited_for_it_are_billed(people, visitor):
    row = native(model="new-model", workspace="support", occurred_at=None)
    post(people.acme, row, now=datetime.now(UTC))
    draft = make_price("input", "4", model="new-model", status="draft", account=people.acme)
    save_prices(draft)
    visitor = visitor()
    visitor.log_in("amina")
    page = visitor.page

    visitor.open("/admin/prices/review/")
    page.check("input[name=price]")
    page.click("button[value=approve]")
    page.wait_for_selector("text=1 price approved")
    visitor.keep("story-price")
    visitor.open("/admin/prices/unpriced/")
    page.click("text=Re-price >> nth=0")

    page.wait_for_selector("text=new-model")
    assert visitor.troubles == []


def test_who_views_one_workspace_meets_nothing_of_another(people, visitor):
    make_role(people.newcomer, "viewer", people.acme, people.support)
    visitor = visitor(width=390, theme="dark")
    visitor.log_in("nadia")

    visitor.open("/admin/?workspace=research")
    assert visitor.page.locator(".tb-tile-value").nth(1).inner_text() == "1"
    assert "apollo" not in visitor.page.content()
    assert visitor.troubles == []
    visitor.page.goto(f"{visitor.url}/admin/accounts/accesstoken/")

    assert "not yours to see" in visitor.page.inner_text("main")
    visitor.keep("story-refused")
