"""Budgets of an account that moves to another time zone: counters are those of the new days."""

import json
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.models import AccessToken, Account, Workspace
from budgets import authorize, ledger
from budgets.check import check_counters
from budgets.models import Alert, Budget, BudgetPeriod
from tests.books import assert_books_balance
from tests.budgets.conftest import NOON
from tests.budgets.test_repriced import Background
from tests.factories import post
from tests.usage import traffic
from usage.rollups import recut
from usage.rollups.fold import fold, fold_all

KOLKATA, NEW_YORK, BERLIN = "Asia/Kolkata", "America/New_York", "Europe/Berlin"
DAYS = [date(2026, 11, 18) - timedelta(days=n) for n in range(4)]

quickly = pytest.mark.django_db
commits = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock(monkeypatch):
    """The moment at which zones are changed."""
    monkeypatch.setattr(recut.timezone, "now", lambda: NOON)


@pytest.fixture
def books(account: Account, make_budget: Any, clock: None) -> Account:
    """Four days around midnights, half of it folded, under budgets of every scope and period."""
    for slug in ("research", "support"):
        Workspace.objects.create(account=account, slug=slug, name=slug)
    research = account.workspaces.get(slug="research")
    alpha = research.projects.create(tag="alpha")
    jane = account.members.create(identifier="jane")
    key = research.api_keys.create(identifier="key-1")
    subjects = {"workspace": research, "project": alpha, "member": jane, "api_key": key}
    for period in Budget.Period.values:
        make_budget(name=period, period=period, now=NOON - timedelta(days=2))
    for scope, subject in subjects.items():
        more = {"scope": scope, scope: subject, "now": NOON - timedelta(days=20)}
        make_budget(name=scope, period="day", **more)
    rows = traffic.rows(150, days=DAYS, zone=BERLIN)
    traffic.record(account, rows + traffic.rows(50, days=DAYS, zone=KOLKATA, seed=3))
    fold(rows_at_once=100)
    return account


def move(account: Account, zone: str) -> None:
    account.time_zone = zone
    account.save()


@quickly
def test_counters_are_those_of_the_new_days(books):
    for zone in (KOLKATA, NEW_YORK, BERLIN):
        before = days()
        move(books, zone)
        assert days() != before
        assert_books_balance()
        assert check_counters(books)[1] == []
        fold(rows_at_once=100)
        assert_books_balance()
    fold_all()
    assert_books_balance()


def days() -> dict[date, Decimal]:
    return dict(BudgetPeriod.objects.filter(budget__name="day").values_list("start_on", "spent"))


@quickly
def test_what_has_no_end_counts_the_same_in_any_zone(books):
    total = BudgetPeriod.objects.get(budget__name="total")
    move(books, KOLKATA)
    assert (total.spent, total.estimated) == BudgetPeriod.objects.values_list(
        "spent", "estimated"
    ).get(pk=total.pk)


@quickly
def test_a_budget_counts_today_also_where_today_is_the_day_before(account, make_budget, spend):
    """Opened on the 18th in Berlin, at a moment that is the 17th in Honolulu."""
    early = datetime(2026, 11, 18, 1, tzinfo=UTC)
    budget = make_budget(period="day", hard=True, limit=Decimal(5), now=early)
    spend(3, request_id="one", at=early)

    account.refresh_from_db()
    account.time_zone = "Pacific/Honolulu"
    moved_at(early, account)

    budget.refresh_from_db()
    assert budget.counted_from == date(2026, 11, 17)
    spend(1, request_id="two", at=early)
    period = BudgetPeriod.objects.get(start_on=date(2026, 11, 17))
    assert period.estimated == 4
    assert_books_balance()


def moved_at(moment: datetime, account: Account) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recut.timezone, "now", lambda: moment)
        account.save()


@quickly
def test_only_the_present_period_sends_alerts(account, make_budget, spend):
    """Two days that were below the limit are one above it, today and a week ago."""
    for week in (0, 7):
        for hours in (14, 10):  # 22:00 and 02:00 in Berlin: one day in New York
            at = datetime(2026, 11, 18, tzinfo=UTC) - timedelta(days=week, hours=hours - 11)
            spend(3, request_id=f"{week} {hours}", at=at)
    make_budget(period="day", limit=Decimal(5), thresholds=[100], now=NOON - timedelta(days=20))
    ledger.recount(Budget.objects.get(), now=NOON)
    Alert.objects.all().delete()

    account.refresh_from_db()
    account.time_zone = NEW_YORK
    moved_at(datetime(2026, 11, 18, 2, tzinfo=UTC), account)

    assert_books_balance()
    assert [alert.period.start_on for alert in Alert.objects.all()] == [date(2026, 11, 17)]


@quickly
def test_a_hold_stays_with_the_period_it_was_taken_in(account, make_budget, token_text, spend):
    make_budget(period="day", hard=True, limit=Decimal(5))
    hold("held", "2")

    account.refresh_from_db()
    account.time_zone = "Pacific/Kiritimati"
    moved_at(NOON, account)

    assert dict(BudgetPeriod.objects.values_list("start_on", "held")) == {
        date(2026, 11, 18): 2,
        date(2026, 11, 19): 0,
    }
    spend(1, request_id="held", at=NOON)
    assert dict(BudgetPeriod.objects.values_list("start_on", "held")) == {
        date(2026, 11, 18): 0,
        date(2026, 11, 19): 0,
    }
    assert_books_balance()


def hold(request_id: str, max_cost: str) -> None:
    token = AccessToken.objects.get()
    ask = {"request_id": request_id, "workspace": "finance", "max_cost": max_cost}
    prepare = authorize.preparer(token=token, now=NOON)
    one = prepare(authorize.decode(json.dumps(ask).encode()))
    authorize.authorize([one], account_id=token.account_id, now=NOON)


@commits
def test_books_balance_at_every_moment_while_others_record_fold_and_ask(books, token_text):
    seeds = iter(range(1_000_000))
    lock = threading.Lock()

    def record() -> None:
        with lock:
            seed = next(seeds)
        post(books, *traffic.rows(20, days=DAYS, zone=BERLIN, seed=seed), now=NOON)

    def ask() -> None:
        with lock:
            number = next(seeds)
        hold(f"hold {number}", "0.01")

    acts = (record, record, ask, lambda: fold(rows_at_once=50), assert_books_balance)
    with Background(*acts) as others:
        account = Account.objects.get()
        for zone in (KOLKATA, NEW_YORK, "Asia/Kathmandu", BERLIN):
            move(account, zone)
    fold_all()
    assert_books_balance()
    assert min(others.times) > 0


@commits
def test_a_session_that_dies_half_way_leaves_the_old_zone_and_its_days(books, monkeypatch):
    fold_all()
    with monkeypatch.context() as dying:
        dying.setattr(recut, "on_recut", [kill_session])
        with pytest.raises(Exception, match=r"terminat|closed"):
            move(Account.objects.get(), KOLKATA)
    connection.close()

    assert Account.objects.get().time_zone == BERLIN
    assert_books_balance()


def kill_session(*args: Any, **more: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
