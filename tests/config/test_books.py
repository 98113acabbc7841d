"""The check of the books: the command, the queue, and what each kind of reader is shown of it."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django_q.models import OrmQ

from accounts.models import Account
from budgets import ledger
from budgets.models import Budget
from config import books, home, tasks
from config.models import BooksCheck
from tests.budgets.test_repriced import Background
from tests.factories import NOW, fetch, make_account, native, post, reach_of, small_price_book
from tests.people import People, make_people
from tests.serving import wait_until
from usage.models import QuarantinedRow
from usage.rollups.fold import fold, fold_all

quickly = pytest.mark.django_db
commits = pytest.mark.django_db(transaction=True)
PAGE, CHECK = "/admin/books/", "/admin/books/check/"


@pytest.fixture
def people(db: None) -> People:
    """Acme and Globex, with a request and a budget each."""
    small_price_book()
    people = make_people()
    for account, slug in ((people.acme, "research"), (people.globex, "launch")):
        ledger.open_budget(Budget(account=account, name=f"{slug} cap", scope="account"), now=NOW)
        post(account, native(workspace=slug))
    fold_all()
    return people


def check_books(*arguments: str) -> str:
    out = StringIO()
    call_command("check_books", *arguments, stdout=out)
    return out.getvalue()


def tamper(statement: str) -> None:
    assert fetch(f"{statement} RETURNING 1")


def cost_more(account: Account) -> None:
    tamper("UPDATE usage_day_model SET cost = cost + 0.01 WHERE workspace_id IN "
           f"(SELECT id FROM accounts_workspace WHERE account_id = {account.pk})")  # fmt: skip


def checked(by: Any = None, account_ids: list[int] | None = None) -> BooksCheck:
    check = books.ask(by=by, account_ids=account_ids, now=NOW)
    assert check is not None
    books.run(check.pk, now=NOW)
    check.refresh_from_db()
    return check


@quickly
def test_the_command_says_what_was_compared(people):
    assert check_books() == (
        "2 accounts, 3 workspaces: 2 requests (0 not folded yet) on 2 days, and 2 counters.\n"
        "The books balance.\n"
    )
    assert check_books("--account", "globex").startswith("1 account, 1 workspace: 1 request ")


@quickly
def test_the_command_names_every_figure_that_differs_and_fails(people):
    cost_more(people.acme)
    tamper("UPDATE budgets_budgetperiod SET spent = spent + 0.0000000001")
    out = StringIO()

    with pytest.raises(CommandError, match="The books do not balance: 3 differences"):
        call_command("check_books", stdout=out)

    assert out.getvalue().splitlines()[:3] == [
        "acme/research 2026-11-20 usage_day_model cost: expected 0.0035, found 0.0135",
        "acme 2026-11-01 budgets_budgetperiod research cap spent: "
        "expected 0.0035, found 0.0035000001",
        "globex 2026-11-01 budgets_budgetperiod launch cap spent: "
        "expected 0.0035, found 0.0035000001",
    ]


@quickly
def test_an_account_that_is_not_there_is_no_balance(people):
    with pytest.raises(CommandError, match="There is no account 'nobody'"):
        check_books("--account", "nobody")


@quickly
@pytest.mark.parametrize(
    ("statement", "measure"),
    [
        ("UPDATE budgets_budgetperiod SET spent = spent - 0.0000000001", "spent"),
        ("UPDATE budgets_budgetperiod SET estimated = 1", "estimated"),
        ("UPDATE budgets_budgetperiod SET held = 1", "held"),
        ("DELETE FROM budgets_budgetperiod", "spent"),
    ],
)
def test_a_counter_that_was_touched_is_noticed(people, statement, measure):
    tamper(statement)
    findings = books.check([people.acme], now=NOW)
    assert [(line["place"], line["measure"]) for line in findings.differences] == [
        ("budgets_budgetperiod", measure)
    ]


@quickly
def test_a_check_is_a_row_from_asking_to_result(people):
    cost_more(people.acme)
    check = books.ask(by=people.staff, account_ids=None, now=NOW)
    assert (check.state, OrmQ.objects.count()) == ("waiting", 1)

    books.run(check.pk, now=NOW)

    check.refresh_from_db()
    assert (check.state, check.accounts, check.difference_count) == ("unbalanced", 2, 1)
    assert check.compared["requests"] == 2
    assert check.finished_at > check.started_at


@quickly
def test_a_check_that_is_under_way_is_not_asked_for_again(people):
    assert books.ask(by=None, account_ids=None, now=NOW)
    assert books.ask(by=None, account_ids=None, now=NOW) is None
    assert books.ask(by=None, account_ids=[people.acme.pk], now=NOW)
    # Unless nobody can still be at it.
    assert books.ask(by=None, account_ids=None, now=NOW + timedelta(days=1))
    assert list(BooksCheck.objects.order_by("pk").values_list("state", flat=True)) == [
        *("failed", "waiting"),
        "waiting",
    ]


@quickly
def test_a_check_runs_once_however_often_its_task_does(people):
    check = checked()
    books.run(check.pk, now=NOW + timedelta(hours=1))
    assert BooksCheck.objects.get().started_at == NOW


@quickly
def test_a_check_that_fails_says_why(people, monkeypatch):
    monkeypatch.setattr(books, "check", lambda *_, **__: 1 // 0)
    check = books.ask(by=None, account_ids=None, now=NOW)

    with pytest.raises(ZeroDivisionError):
        books.run(check.pk, now=NOW)

    check.refresh_from_db()
    assert (check.state, "ZeroDivisionError" in check.error) == ("failed", True)


@quickly
def test_old_checks_are_forgotten(people, monkeypatch):
    monkeypatch.setattr(books, "KEPT_RUNS", 2)
    kept = [checked().pk for _ in range(4)][2:]
    assert sorted(BooksCheck.objects.values_list("pk", flat=True)) == kept


@quickly
def test_the_nightly_task_asks_for_all_accounts(people):
    tasks.check_all_books()
    check = BooksCheck.objects.get()
    assert (check.account_ids, check.requested_by) == (None, None)
    tasks.check_books(check.pk)
    assert BooksCheck.objects.get().state == "balanced"


@commits
def test_it_balances_at_every_moment_while_others_record_and_fold():
    account = make_account()
    small_price_book()
    ledger.open_budget(Budget(account=account, name="cap", scope="account"), now=NOW)
    post(account, native())

    def check() -> None:
        assert books.check([account], now=NOW).differences == []

    with Background(lambda: post(account, native(), native()), fold, check) as others:
        wait_until(lambda: fetch("SELECT count(*) AS n FROM usage_requestlog")[0]["n"] > 100, 30)
        check()
    assert min(others.times) > 0
    connection.close()


@commits
def test_the_worker_does_what_was_asked_for(live_worker):
    post(make_account(), native())
    check = books.ask(by=None, account_ids=None, now=datetime.now(UTC))
    wait_until(lambda: BooksCheck.objects.get(pk=check.pk).state == "balanced", 60)


# The page.


@quickly
def test_staff_see_every_line_with_a_link(people, client):
    cost_more(people.acme)
    tamper("UPDATE budgets_budgetperiod SET held = 1")
    checked()
    client.force_login(people.staff)

    page = client.get(PAGE).content.decode()

    assert "3 figures do not agree" in page
    assert "account=acme&amp;workspace=research&amp;from=2026-11-20&amp;to=2026-11-21" in page
    assert f"/admin/budgets/budget/{Budget.objects.get(name='launch cap').pk}/change/" in page
    assert "0.0135" in page


@quickly
def test_owners_and_accountants_see_the_lines_of_their_account(people, client):
    cost_more(people.acme)
    cost_more(people.globex)
    checked()
    for user in (people.owner, people.accountant):
        client.force_login(user)
        page = client.get(PAGE).content.decode()
        assert "1 figure does not agree" in page
        assert ("research" in page, "globex" in page, "2 accounts" in page) == (True, False, False)


@quickly
def test_to_whom_nothing_is_wrong_the_books_balance(people, client):
    cost_more(people.globex)
    checked()
    client.force_login(people.owner)
    page = client.get(PAGE).content.decode()
    assert "The books balance." in page
    assert "does not balance" not in page


@quickly
@pytest.mark.parametrize("name", ["manager", "viewer", "support_manager", "newcomer"])
def test_others_see_no_books(people, client, name):
    client.force_login(getattr(people, name))
    assert client.get(PAGE).status_code == 403
    assert client.post(CHECK).status_code == 403
    assert "/admin/books/" not in client.get("/admin/").content.decode()


@quickly
def test_check_now_asks_for_the_accounts_of_whoever_presses(people, client):
    for user, account_ids in ((people.staff, None), (people.accountant, [people.acme.pk])):
        client.force_login(user)
        assert client.post(CHECK).headers["location"] == PAGE
        check = BooksCheck.objects.latest("pk")
        assert (check.account_ids, check.requested_by) == (account_ids, user)
        assert "waiting for the worker" in client.get(PAGE).content.decode()
    client.get(CHECK)
    assert BooksCheck.objects.count() == OrmQ.objects.count() == 2


@quickly
def test_the_page_takes_the_same_queries_for_any_number_of_checks(
    people, client, django_assert_max_num_queries
):
    for _ in range(5):
        checked()
    client.force_login(people.staff)
    with django_assert_max_num_queries(12):
        client.get(PAGE)


# What the dashboard says of it.


def attention(people: People, *, now: datetime = NOW) -> list[str]:
    reach, whose = reach_of(people.research), [people.acme.pk]
    rows = QuarantinedRow.objects.none()
    context = home.dashboard(reach, {}, now=now, quarantine=rows, whose_books=whose)
    return [item.title for item in context["attention"] if item.icon == "balance"]


@quickly
def test_the_dashboard_says_what_is_out_of_balance(people):
    Account.objects.update(created_at=NOW)
    people.acme.refresh_from_db()
    assert attention(people) == []
    cost_more(people.acme)
    cost_more(people.globex)
    checked()
    assert attention(people) == ["1 figure out of balance"]
    tamper("UPDATE usage_day_model SET cost = cost - 0.01")
    checked()
    assert attention(people) == []


@quickly
def test_the_dashboard_says_when_nobody_checks(people):
    checked()
    assert attention(people, now=NOW + timedelta(hours=47)) == []
    assert attention(people, now=NOW + timedelta(hours=49)) == ["Books not checked"]


@quickly
def test_whose_business_the_books_are_not_hears_nothing_of_them(people):
    cost_more(people.acme)
    checked()
    rows = QuarantinedRow.objects.none()
    context = home.dashboard(reach_of(people.research), {}, now=NOW, quarantine=rows)
    assert [item for item in context["attention"] if item.icon == "balance"] == []
