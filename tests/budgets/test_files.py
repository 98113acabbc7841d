"""Files of budgets: what comes in, what is refused in words, and what goes out and in again."""

from decimal import Decimal

import pytest
import tablib
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Member, Project
from budgets.models import Budget, BudgetChange, BudgetPeriod
from budgets.resources import BudgetResource
from tests.people import People, make_people

pytestmark = pytest.mark.django_db

ROW = {"account": "acme", "name": "Team", "scope": "workspace", "key": "research", "limit": "12.50"}


@pytest.fixture
def people() -> People:
    return make_people()


def bring(people: People, *rows: dict[str, str], narrowed: bool = False):
    names = list(dict.fromkeys(name for row in rows for name in ROW | row))
    lines = [[(ROW | row).get(name, "") for name in names] for row in rows]
    accounts, workspaces = [people.acme.pk], [people.research.pk, people.support.pk]
    reach = {"accounts": [] if narrowed else accounts, "workspaces": workspaces}
    return BudgetResource(**reach).import_data(tablib.Dataset(*lines, headers=names))


def problems(result) -> dict[str, str]:
    assert not result.row_errors()
    [row] = result.invalid_rows
    return {name: " ".join(found) for name, found in row.field_specific_errors.items()}


def test_a_row_becomes_a_budget_with_its_counter(people):
    bring(people, {"hard": "yes", "thresholds": "50, 90%", "recipients": "a@acme.test b@acme.test"})
    budget = Budget.objects.get()
    assert (budget.workspace, budget.limit, budget.period) == (
        people.research,
        Decimal("12.5"),
        "month",
    )
    assert (budget.hard, budget.thresholds) == (True, [50, 90])
    assert budget.recipients == ["a@acme.test", "b@acme.test"]
    assert BudgetPeriod.objects.get().budget == budget


def test_the_same_row_again_changes_nothing_and_another_limit_only_that(people):
    bring(people, {})
    assert bring(people, {}).totals["skip"] == 1
    bring(people, {"limit": "20"})
    assert Budget.objects.get().limit == 20
    assert BudgetChange.objects.values_list("what", "after").get() == ("limit", "$20.00")


@pytest.mark.parametrize(
    ("cells", "field", "words"),
    [
        ({"account": "globex"}, "account", "whose budgets you may change"),
        ({"key": "nowhere"}, "key", "There is no workspace 'nowhere' that you may cap."),
        ({"key": "launch"}, "key", "There is no workspace 'launch'"),
        ({"scope": "galaxy"}, "scope", "one of account, workspace, project"),
        ({"limit": "1,500"}, "limit", "write US dollars such as 1500"),
        ({"limit": "-1"}, "limit", "0 or more"),
        ({"period": "fortnight"}, "period", "one of day, week, month"),
        ({"hard": "maybe"}, "hard", "neither yes nor no"),
        ({"thresholds": "all"}, "thresholds", "write percents"),
        ({"recipients": "not-an-address"}, "recipients", "valid email address"),
        ({"in_force_from": "soon"}, "in_force_from", "2026-01-31"),
        ({"name": ""}, "name", "cannot be blank"),
    ],
)
def test_what_cannot_be_taken_says_in_words_what_to_change(people, cells, field, words):
    result = bring(people, cells)
    assert words in problems(result)[field]
    assert not Budget.objects.exists()


def test_a_tag_in_two_workspaces_asks_for_the_workspace(people):
    for workspace in (people.research, people.support):
        Project.objects.create(workspace=workspace, tag="chat")
    row = {"scope": "project", "key": "chat"}
    assert "name the workspace" in problems(bring(people, row))["workspace"]
    bring(people, row | {"workspace": "support"})
    assert Budget.objects.get().project.workspace == people.support


def test_who_manages_but_workspaces_caps_neither_account_nor_member(people):
    Member.objects.create(account=people.acme, identifier="jane")
    for row in ({"scope": "account", "key": ""}, {"scope": "member", "key": "jane"}):
        assert "role in the whole account" in problems(bring(people, row, narrowed=True))["scope"]


def test_what_goes_out_comes_in_again_unchanged(people):
    bring(people, {}, {"scope": "account", "key": "", "limit": "", "name": "All"})
    data = BudgetResource().export(Budget.objects.order_by("name"))
    assert data.dict[1]["key"] == "research"
    reach = {"accounts": [people.acme.pk], "workspaces": [people.research.pk]}
    again = BudgetResource(**reach).import_data(data)
    assert (again.totals["skip"], Budget.objects.count()) == (2, 2)


def test_the_admin_previews_a_file_and_takes_it_once_confirmed(people):
    client = Client()
    client.force_login(people.owner)
    body = f"{','.join(ROW)}\n{','.join(ROW.values())}\n"
    upload = SimpleUploadedFile("budgets.csv", body.encode(), content_type="text/csv")
    page = client.post("/admin/budgets/budget/import/", {"import_file": upload, "format": "0"})
    assert page.status_code == 200
    assert not Budget.objects.exists()
    form = page.context["confirm_form"]
    client.post("/admin/budgets/budget/process_import/", form.initial)
    assert Budget.objects.get().name == "Team"


@pytest.mark.parametrize(("who", "status"), [("viewer", 403), ("newcomer", 403), ("owner", 200)])
def test_who_may_bring_files_in(people, who, status):
    client = Client()
    client.force_login(getattr(people, who))
    assert client.get("/admin/budgets/budget/import/").status_code == status
