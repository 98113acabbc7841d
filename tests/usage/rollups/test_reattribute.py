"""History that is moved: everywhere at once, exactly, and once."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from accounts import directory, reattribution
from accounts.models import ApiKey, Member, Project
from budgets.ledger import open_budget
from budgets.models import Budget
from tests.books import assert_books_balance
from tests.factories import (
    NOW,
    fetch,
    make_account,
    make_workspace,
    native,
    post,
    rollup_rows,
    small_price_book,
)
from usage.rollups import reattribute
from usage.rollups.fold import fold_all
from usage.rollups.tables import MEASURES

LATER = NOW + timedelta(seconds=5)
COST = Decimal("0.0035")


@pytest.fixture
def research(db):
    small_price_book()
    return make_workspace(make_account("acme", time_zone="America/New_York"), "research")


def record(research, *, fold=True, **fields):
    days = ("2026-11-18T03:00:00Z", "2026-11-20T11:00:00Z")
    post(research.account, *(native(workspace="research", occurred_at=at, **fields) for at in days))
    if fold:
        fold_all()


def merge(research, tag, *, into):
    projects = {project.tag: project for project in Project.objects.all()}
    asked = reattribution.merge(projects[tag], into=projects[into], by=None, now=NOW)
    directory.forget()  # as every process does within a second
    reattribute.work(now=LATER)
    return asked


def claim(research, *, member):
    key = ApiKey.objects.get(identifier="k1")
    asked = reattribution.claim(key, member=member, with_history=True, by=None, now=NOW)
    directory.forget()  # as every process does within a second
    reattribute.work(now=LATER)
    return asked


def requests_by(column):
    rows = fetch(f"SELECT {column} AS key, count(*) AS n FROM usage_requestlog GROUP BY 1")
    return {row["key"]: row["n"] for row in rows}


def test_a_merged_projects_history_is_the_others(research):
    record(research, project="app", member="ada", api_key="k1")
    record(research, project="App-2", fold=False, model="unheard-of")

    asked = merge(research, "App-2", into="app")

    into = Project.objects.get(tag="app")
    asked.refresh_from_db()
    assert requests_by("project_id") == {into.pk: 4}
    assert (asked.requests, asked.finished_at) == (2, LATER)
    assert_books_balance()
    fold_all()
    assert_books_balance()


def test_roll_ups_are_as_if_it_had_been_one_project_from_the_start(research):
    for tag in ("app", "app-2"):
        for more in ({"member": "ada"}, {"api_key": "k1", "status": 500, "latency_ms": 9}):
            record(research, project=tag, **more)

    merge(research, "app-2", into="app")
    moved = rollup_rows()

    with connection.cursor() as cursor:
        for table in moved:
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute(
            "INSERT INTO usage_batch SELECT batch_id, min(occurred_at), max(occurred_at), "
            "workspace_id, count(*) FROM usage_requestlog GROUP BY workspace_id, batch_id"
        )
        cursor.execute("DELETE FROM usage_day_latency")
    fold_all()
    assert moved == rollup_rows()


def test_totals_of_days_whose_requests_are_gone_move_too(research):
    record(research, project="app")
    record(research, project="app-2", member="ada")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_requestlog")
        cursor.execute("DELETE FROM usage_requestkey")

    merge(research, "app-2", into="app")

    into = Project.objects.get(tag="app")
    for table in ("usage_day", "usage_day_project", "usage_day_key"):
        rows = fetch(f"SELECT project_id, sum(cost) AS cost FROM {table} GROUP BY 1")
        assert rows == [{"project_id": into.pk, "cost": 4 * COST}]


def test_what_still_comes_with_the_old_tag_is_the_others(research):
    record(research, project="app")
    record(research, project="app-2")
    merge(research, "app-2", into="app")

    record(research, project="app-2")

    assert requests_by("project_id") == {Project.objects.get(tag="app").pk: 6}


def test_a_claimed_keys_requests_are_the_members(research):
    ada = Member.objects.create(account=research.account, identifier="ada")
    record(research, api_key="k1")
    record(research, api_key="k1", member="bob", fold=False)
    record(research)

    claim(research, member=ada)

    bob = Member.objects.get(identifier="bob")
    assert requests_by("member_id") == {ada.pk: 2, bob.pk: 2, None: 2}
    assert_books_balance()


def test_a_key_that_goes_to_somebody_else_takes_what_was_its_owners(research):
    ada, eve = (Member.objects.create(account=research.account, identifier=i) for i in ("a", "e"))
    record(research, api_key="k1")
    claim(research, member=ada)
    record(research, api_key="k1")

    claim(research, member=eve)

    assert requests_by("member_id") == {eve.pk: 4}
    assert_books_balance()


def test_budgets_follow_even_into_periods_without_a_counter(research):
    ada = Member.objects.create(account=research.account, identifier="ada")
    account = research.account
    for period in ("day", "total"):
        open_budget(
            Budget(account=account, name=period, scope="member", member=ada, period=period,
                   limit=Decimal(1)), now=NOW - timedelta(days=9),
        )  # fmt: skip
    record(research, api_key="k1", fold=False)
    record(research, api_key="k1", model="unheard-of")

    claim(research, member=ada)

    spent = dict(
        Budget.objects.values_list("period", "periods__spent").filter(periods__spent__gt=0)
    )
    assert spent == {"day": COST, "total": 2 * COST}
    assert_books_balance()


def test_days_whose_books_are_closed_stay(research):
    ada = Member.objects.create(account=research.account, identifier="ada")
    record(research, api_key="k1")
    research.account.books_closed_until = date(2026, 11, 18)
    research.account.save()

    asked = claim(research, member=ada)

    asked.refresh_from_db()
    assert requests_by("member_id") == {ada.pk: 1, None: 1}
    assert (asked.requests, asked.days_closed) == (1, 1)
    assert_books_balance()


def test_doing_it_again_changes_nothing(research):
    record(research, project="app", member="ada")
    record(research, project="app-2")
    asked = merge(research, "app-2", into="app")
    before = rollup_rows()

    reattribute.reattribute(asked, now=LATER)

    assert rollup_rows() == before
    assert all(sum(row[name] for row in before["usage_day"]) >= 0 for name in MEASURES)


def test_it_waits_until_no_process_remembers_the_names(research):
    record(research, project="app")
    record(research, project="app-2")
    projects = Project.objects.order_by("tag")
    reattribution.merge(projects[1], into=projects[0], by=None, now=NOW)

    reattribute.work(now=NOW + timedelta(seconds=2))

    assert len(requests_by("project_id")) == 2
