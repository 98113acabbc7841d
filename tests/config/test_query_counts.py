"""How many queries the pages of analytics ask: a number for each, however much there is to show."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Project
from budgets import ledger
from budgets.models import Budget
from tests.factories import make_workspace, native, post, small_price_book
from tests.people import People, make_people

pytestmark = pytest.mark.django_db

FEW, MANY = 2, 20
MOST_QUERIES = {
    "/admin/?range=30d": 9,
    "/admin/explorer/?group_by=workspace,project,member&metrics=cost": 7,
    "/admin/explorer/?group_by=project&columns=model&metrics=cost,latency_ms_p95": 12,
    "/admin/requests/": 9,
    "/admin/budgets/budget/": 9,
}


@pytest.fixture
def people() -> People:
    small_price_book()
    return make_people()


def add(people: People, numbers: range) -> None:
    """For each a workspace, project, member, key, model, budget and request of their own."""
    rows = []
    for n in numbers:
        make_workspace(people.acme, f"team-{n}")
        names = {"project": f"p{n}", "member": f"m{n}@acme.test", "api_key": f"k{n}"}
        rows.append(native(workspace=f"team-{n}", model=f"model-{n}", occurred_at=None, **names))
    now = timezone.now()
    post(people.acme, *rows, now=now)
    for project in Project.objects.filter(tag__in=[f"p{n}" for n in numbers]):
        budget = Budget(account=people.acme, name=project.tag, scope="project", project=project)
        budget.limit = Decimal(10)
        ledger.open_budget(budget, now=now)


def counted(client) -> dict[str, int]:
    found = {}
    for address in MOST_QUERIES:
        client.get(address)  # what is asked only once a process, or once a minute
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
            found[address] = len(queries)
    return found


def test_pages_ask_as_much_of_twenty_as_of_two(client, people):
    client.force_login(people.staff)
    add(people, range(FEW))
    few = counted(client)
    add(people, range(FEW, MANY))

    assert counted(client) == few
    assert {address: few[address] for address in few if few[address] > MOST_QUERIES[address]} == {}
