"""One request, and the budgets above it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from budgets.ledger import open_budget
from budgets.models import Budget
from tests.factories import bearer, native, post, small_price_book
from tests.people import make_people

PAGE = "/admin/requests/one/?id=r1"


@pytest.fixture
def people(db):
    small_price_book()
    people = make_people()
    now = datetime.now(UTC)
    scopes = {"research": people.research, "support": people.support}
    for name, workspace in scopes.items():
        budget = Budget(account=people.acme, name=name, workspace=workspace, limit=Decimal(5))
        budget.scope = "workspace"
        open_budget(budget, now=now)
    open_budget(Budget(account=people.acme, name="everything", scope="account"), now=now)
    tags = {"streams": True, "route": {"region": "eu"}}
    row = native(request_id="r1", workspace="research", occurred_at=None, tags=tags)
    post(people.acme, row, now=now)
    return people


def test_it_names_the_budgets_that_count_it_and_what_they_spent(people, client):
    client.force_login(people.viewer)

    page = client.get(PAGE)

    above = [(budget.name, budget.consumed) for budget in page.context["budgets"]]
    assert above == [("research", Decimal("0.0035")), ("everything", Decimal("0.0035"))]
    assert page.context["hold"] is None


def test_what_is_still_held_for_it_is_told(people, client):
    ask = {"request_id": "r1", "workspace": "research", "model": "gpt-4o", "input_tokens": 10}
    client.post("/api/v1/authorize/", ask | {"max_output_tokens": 10},
                content_type="application/json", headers=bearer(people.acme))  # fmt: skip
    client.force_login(people.owner)

    hold = client.get(PAGE).context["hold"]

    assert hold is None or hold.request_id == "r1"


def test_only_budgets_that_one_may_see_are_named(people, client):
    from tests.factories import make_role

    make_role(people.newcomer, "viewer", people.acme, people.research)
    client.force_login(people.newcomer)

    assert [budget.name for budget in client.get(PAGE).context["budgets"]] == ["research"]


def test_tags_read_as_they_were_sent_and_not_as_python_has_them(people, client):
    client.force_login(people.viewer)

    text = client.get(PAGE).content.decode()

    assert "<dd>true</dd>" in text
    assert "{&quot;region&quot;: &quot;eu&quot;}" in text
