"""Budgets follow what is re-priced, in the same transaction and whoever records meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.models import Account, Workspace
from budgets.models import Alert, Budget, BudgetPeriod
from tests.books import assert_books_balance
from tests.budgets.conftest import NOON
from tests.factories import make_price, post, save_prices
from tests.serving import wait_until
from tests.usage import traffic
from tests.usage.pricing.repricings import (
    applied,
    correct,
    lines,
    new_model_prices,
    previewed,
    worked,
)
from usage.models import Repricing
from usage.pricing import ratecard, rebill, reprice, repricing_work
from usage.rollups.fold import fold

DAY = date(2026, 11, 18)
DAYS = [DAY - timedelta(days=n) for n in range(3)]
COSTLY = {"model": "costly", "provider": "openai"}

quickly = pytest.mark.django_db
commits = pytest.mark.django_db(transaction=True)


@pytest.fixture
def books(account: Account, make_budget: Callable[..., Budget]) -> Account:
    """Random traffic of three days, some of it folded, under budgets of every kind."""
    for slug in ("research", "support"):
        Workspace.objects.create(account=account, slug=slug, name=slug)
    research = account.workspaces.get(slug="research")
    long_ago = NOON - timedelta(days=20)
    for period in Budget.Period.values:
        make_budget(name=period, period=period, now=long_ago)
    make_budget(name="research", scope="workspace", workspace=research, now=long_ago)
    alpha = research.projects.create(tag="alpha")
    make_budget(name="alpha", scope="project", project=alpha, now=long_ago)
    jane = account.members.create(identifier="jane")
    make_budget(name="jane", scope="member", member=jane, now=long_ago)
    traffic.record(account, traffic.rows(150, days=DAYS, zone="Europe/Berlin"))
    fold(rows_at_once=100)
    return account


def counters() -> dict[str, tuple[Decimal, Decimal]]:
    """What each budget's period has spent and estimated."""
    rows = BudgetPeriod.objects.values_list("budget__name", "start_on", "spent", "estimated")
    return {f"{name} from {start_on}": (spent, seen) for name, start_on, spent, seen in rows}


def price_costly(unit_price: str) -> None:
    """So many dollars a token, in and out."""
    save_prices(*(make_price(m, unit_price, per=1, model="costly") for m in ("input", "output")))


@quickly
@pytest.mark.parametrize("unit_price", ["1", "40"])
def test_counters_are_what_the_log_and_the_report_say(books, unit_price):
    before = counters()
    new_model_prices()
    correct("input", unit_price)

    applied(books)

    assert_books_balance()
    after = counters()
    assert len(after) == len(before) > 12
    assert all(before[name] != now for name, now in after.items() if any(now))


@quickly
def test_what_was_estimated_is_spent(make_budget, spend):
    make_budget(limit=None)
    spend(50, request_id="one", **COSTLY)
    price_costly("0.5")

    applied(Account.objects.get(), only_unpriced=True)

    assert counters() == {"Budget from 2026-11-01": (25, 0)}


@quickly
def test_a_threshold_that_re_pricing_reaches_is_alerted_once(make_budget, spend):
    make_budget()
    spend(1, request_id="one", **COSTLY)
    price_costly("4.5")
    applied(Account.objects.get())
    assert list(Alert.objects.values_list("threshold", "consumed")) == [(80, Decimal("4.5"))]

    correct("input", "6", model="costly")
    applied(Account.objects.get())

    assert list(Alert.objects.order_by("pk").values_list("threshold", "consumed")) == [
        (80, Decimal("4.5")),
        (100, Decimal(6)),
    ]


@quickly
def test_what_falls_below_a_threshold_unsends_nothing_and_sends_nothing_again(make_budget, spend):
    make_budget()
    spend(4, request_id="one", **COSTLY)
    price_costly("0.5")
    for unit_price in ("0.5", "1", "0.1", "1"):
        correct("input", unit_price, model="costly")
        applied(Account.objects.get())

    assert list(Alert.objects.values_list("threshold", "consumed")) == [(80, 4)]
    assert counters() == {"Budget from 2026-11-01": (4, 0)}


@quickly
def test_days_before_a_budget_was_counted_leave_it_alone(make_budget, spend):
    spend(3, request_id="before", at=NOON - timedelta(days=1), **COSTLY)
    make_budget(period="day")
    price_costly("1")

    applied(Account.objects.get())

    assert counters() == {"Budget from 2026-11-18": (0, 0)}


@quickly
def test_a_counter_that_never_counted_a_row_is_set_to_what_the_report_says(make_budget, spend):
    tomorrow = NOON + timedelta(hours=20)
    spend(3, request_id="early", at=tomorrow, **COSTLY)
    make_budget(period="day")
    spend(1, request_id="on the day", at=tomorrow, **COSTLY)
    price_costly("1")

    applied(Account.objects.get(), end_on=date(2026, 11, 20))

    assert counters()["Budget from 2026-11-19"] == (4, 0)
    assert_books_balance()


@quickly
def test_a_day_that_fails_half_way_moves_no_counter(books, monkeypatch):
    new_model_prices()
    shown = previewed(books)
    reprice.apply(shown, reason="new price", by=None, now=NOON)
    before = counters()
    monkeypatch.setattr(repricing_work, "advance", fail)

    with pytest.raises(ZeroDivisionError):
        repricing_work.work()

    assert counters() == before
    assert_books_balance()


def fail(*args: Any, **more: Any) -> None:
    raise ZeroDivisionError


class Background:
    """Functions that are called again and again, each in a thread of its own, until all is done."""

    def __init__(self, *acts: Callable[[], Any]) -> None:
        self.acts, self.over = acts, threading.Event()

    def run(self, act: Callable[[], Any]) -> int:
        times = 0
        try:
            while not self.over.is_set():
                act()
                times += 1
        finally:
            self.over.set()
            connection.close()
        return times

    def __enter__(self) -> "Background":
        self.pool = ThreadPoolExecutor(len(self.acts))
        self.futures = [self.pool.submit(self.run, act) for act in self.acts]
        return self

    def __exit__(self, *error: Any) -> None:
        self.over.set()
        self.pool.shutdown()
        self.times = [future.result() for future in self.futures]


@commits
def test_books_balance_at_every_moment_while_others_record_fold_and_ask(books, monkeypatch):
    monkeypatch.setattr(rebill, "ROWS_AT_ONCE", 20)
    new_model_prices()
    seeds = iter(range(1_000_000))
    lock = threading.Lock()

    def record() -> None:
        with lock:
            seed = next(seeds)
        post(books, *traffic.rows(20, days=DAYS, zone="Europe/Berlin", seed=seed), now=NOON)

    with Background(record, record, fold, assert_books_balance) as others:
        for unit_price in ("1", "30"):
            correct("input", unit_price)
            ratecard.forget()
            done = applied(books)
            assert done.state == Repricing.State.DONE, done.error
    assert_books_balance()
    assert min(others.times) > 0
    assert done.lines.filter(applied=True).totals()["changed"] > 0


@commits
def test_two_workers_share_the_work_and_count_every_day_once(books):
    new_model_prices()
    shown = previewed(books)
    reprice.apply(shown, reason="new price", by=None, now=NOON)

    with Background(*[lambda: repricing_work.work(seconds=0)] * 3) as others:
        until_done(shown, others)

    assert shown.state == Repricing.State.DONE
    assert (shown.days_done, lines(shown, applied=True)) == (
        shown.days_total,
        lines(shown, applied=False),
    )
    assert_books_balance()


def until_done(repricing: Repricing, others: Background) -> None:
    def is_over() -> bool:
        repricing.refresh_from_db()
        return not repricing.is_at_work or others.over.is_set()

    wait_until(is_over, 60)


@commits
def test_a_session_that_dies_in_mid_day_leaves_that_day_to_the_next_worker(books, monkeypatch):
    new_model_prices()
    shown = previewed(books)
    reprice.apply(shown, reason="new price", by=None, now=NOON)
    repricing_work.work(seconds=0)
    with monkeypatch.context() as dying:
        dying.setattr(repricing_work, "advance", kill_session)
        with pytest.raises(Exception, match=r"terminat|closed"):
            repricing_work.work()
    connection.close()
    assert_books_balance()

    worked(shown)

    assert lines(shown, applied=True) == lines(shown, applied=False)
    assert_books_balance()


def kill_session(*args: Any, **more: Any) -> None:
    """As the loss of the database, or of the worker, in the middle of a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@commits
def test_a_budget_that_is_opened_meanwhile_counts_every_cost_once(books, make_budget):
    new_model_prices()
    shown = previewed(books)
    reprice.apply(shown, reason="new price", by=None, now=NOON)
    numbers = iter(range(1000))

    def open_one() -> None:
        make_budget(name=f"late {next(numbers)}", period="month")

    with Background(lambda: repricing_work.work(seconds=0), open_one) as others:
        until_done(shown, others)

    assert shown.state == Repricing.State.DONE
    assert_books_balance()
