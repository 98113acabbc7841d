"""Whatever happens in whatever order: counters are the report, and no hard limit is ever passed."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.models import Account, Project, Workspace
from budgets import authorize, changes, ledger
from budgets.check import check_counters
from budgets.models import Budget, BudgetPeriod, Hold
from tests.budgets.conftest import NOON

pytestmark = pytest.mark.django_db

TAGS = ("a", "b")
tags, dollars = st.sampled_from((None, *TAGS)), st.integers(0, 4)
steps = st.one_of(
    *[st.tuples(st.just("ask"), tags, dollars)] * 3,
    *[st.tuples(st.just("log"), st.integers(0, 9), dollars)] * 2,
    st.tuples(st.just("release"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.sampled_from((1, 14, 16, 60 * 13))),
    st.tuples(st.just("raise"), st.integers(0, 9), st.integers(1, 3)),
    st.tuples(st.just("open"), tags, st.integers(0, 9)),
    st.tuples(st.just("archive"), st.integers(0, 9)),
    st.tuples(st.just("restore"), st.integers(0, 9)),
)


@dataclass
class Sequence:
    """A gateway that asks before each call and stays within its hold, and somebody at the form."""

    account: Account
    ask: Any
    spend: Any
    make_budget: Any
    now: datetime = NOON
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    guarded: set[int] = field(default_factory=set)

    def take(self, name: str, *values: Any) -> None:
        getattr(self, f"do_{name}")(*values)

    def do_ask(self, tag: str | None, cost: int) -> None:
        named = {"project": tag} if tag else {}
        call = {"request_id": f"call {next(self.numbers)}", "max_cost": cost}
        self.ask(call | named, now=self.now)

    def do_log(self, place: int, cost: int) -> None:
        """As a call that began when it was let go, and costs no more than it holds."""
        held = Hold.objects.filter(state="open", expires_at__gt=self.now)
        if hold := nth(held.order_by("request_id"), place):
            tag = Project.objects.filter(pk=hold.project_id).first()
            named = {"project": tag.tag} if tag else {}
            cost = min(cost, int(hold.amount))
            self.spend(cost, request_id=hold.request_id, at=hold.created_at, **named)

    def do_release(self, place: int) -> None:
        if hold := nth(Hold.objects.filter(state="open").order_by("request_id"), place):
            authorize.end_holds([str(hold.pk)], "released", now=self.now)

    def do_wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    def do_raise(self, place: int, more: int) -> None:
        if budget := nth(Budget.objects.order_by("pk"), place):
            budget.limit += more
            changes.save(budget, by="test", now=self.now)

    def do_open(self, tag: str | None, limit: int) -> None:
        scope = {"scope": "project", "project": Project.objects.get(tag=tag)} if tag else {}
        period = ("day", "month")[limit % 2]
        more = {"limit": Decimal(limit), "period": period, "hard": True, "now": self.now}
        self.guard(self.make_budget(**scope, **more))

    def do_archive(self, place: int) -> None:
        if budget := nth(Budget.objects.active().order_by("pk"), place):
            Budget.objects.filter(pk=budget.pk).update(archived_at=self.now)
            self.guarded.discard(budget.pk)

    def do_restore(self, place: int) -> None:
        if budget := nth(Budget.objects.exclude(archived_at=None).order_by("pk"), place):
            Budget.objects.filter(pk=budget.pk).update(archived_at=None)
            ledger.adopt_holds(budget, now=self.now)
            self.guard(budget)

    def guard(self, budget: Budget) -> None:
        """From now on nothing may pass it, unless more than it lets was under way already."""
        budget.refresh_from_db()
        if all(consumed(p) <= budget.limit for p in budget.periods.all()):
            self.guarded.add(budget.pk)

    def check(self) -> None:
        _, differences = check_counters(self.account)
        assert differences == []
        for period in BudgetPeriod.objects.filter(budget__in=self.guarded).select_related("budget"):
            assert consumed(period) <= period.budget.limit


def nth(rows: Any, place: int) -> Any:
    found = list(rows)
    return found[place % len(found)] if found else None


def consumed(period: BudgetPeriod) -> Decimal:
    return period.spent + period.estimated + period.held


@settings(
    max_examples=20,
    phases=[Phase.explicit, Phase.generate],  # to shrink what fails takes minutes
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(taken=st.lists(steps, min_size=12, max_size=24))
def test_counters_are_the_report_and_no_hard_limit_is_passed(
    account: Account, workspace: Workspace, known, ask, spend, make_budget, taken
):
    with transaction.atomic():
        sequence = Sequence(account, ask, spend, make_budget)
        sequence.do_open(None, 7)
        for step in taken:
            sequence.take(*step)
            sequence.check()
        transaction.set_rollback(True)


@pytest.fixture
def known(workspace: Workspace, spend) -> None:
    """What processes remember by name is there before the first sequence, and after it."""
    for tag in TAGS:
        Project.objects.create(workspace=workspace, tag=tag)
        spend(0, request_id=f"known {tag}", project=tag)
