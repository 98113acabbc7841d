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


@pytest.fixture
def ask(people, client):
    """A call that was let go, under the request id of one that is logged."""

    def ask(request_id):
        asked = {"request_id": request_id, "workspace": "research", "max_cost": "0.25"}
        answer = client.post("/api/v1/authorize/", asked, content_type="application/json",
                             headers=bearer(people.acme))  # fmt: skip
        assert answer.json()["allowed"]

    return ask


def test_what_was_held_for_it_is_told_with_the_budgets_that_it_touched(people, client, ask):
    ask("r2")
    row = native(request_id="r2", workspace="research", occurred_at=None)
    post(people.acme, row, now=datetime.now(UTC))
    client.force_login(people.viewer)

    page = client.get("/admin/requests/one/?id=r2")

    held = page.context["hold"]
    assert (held.hold.state, held.hold.amount) == ("settled", Decimal("0.25"))
    assert [period.budget.name for period in held.periods] == ["everything", "research"]
    assert "$0.25 were held for it" in page.content.decode()


def test_of_a_hold_only_budgets_that_one_may_see_are_named(people, client, ask):
    from tests.factories import make_role

    ask("r2")
    row = native(request_id="r2", workspace="research", occurred_at=None)
    post(people.acme, row, now=datetime.now(UTC))
    make_role(people.newcomer, "viewer", people.acme, people.research)
    client.force_login(people.newcomer)

    held = client.get("/admin/requests/one/?id=r2").context["hold"]

    assert [period.budget.name for period in held.periods] == ["research"]


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
