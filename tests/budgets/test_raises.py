"""Limits that change: raised for a while or for good, lowered, in force from and until a day."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.access import reach_of_token
from accounts.models import AccessToken, Workspace
from budgets import alerts, changes
from budgets.blocks import blocks
from budgets.models import Alert, Budget, BudgetChange
from budgets.standing import State, standings
from tests.budgets.conftest import NOON

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def raised(budget: Budget, to: int, *, until, reason="launch week", now=NOON) -> None:
    budget.raised_limit, budget.raised_until = Decimal(to), until
    budget.raised_reason = reason
    budget.full_clean()
    changes.save(budget, by="olivia", now=now)


def told() -> list[tuple[int, Decimal]]:
    return list(Alert.objects.order_by("pk").values_list("threshold", "limit"))


def passes(ask, request_id: str, *, cost="1", now=NOON) -> bool:
    (answer,) = ask({"request_id": request_id, "max_cost": cost}, now=now)
    return bool(answer["allowed"])


def test_a_raise_lets_more_pass_until_it_ends_by_the_clock(
    make_budget, ask, spend, workspace: Workspace
):
    budget = make_budget(hard=True)
    spend(5, request_id="used up")
    assert not passes(ask, "a")
    raised(budget, 10, until=NOON + HOUR)
    assert passes(ask, "b", cost="5")
    assert not passes(ask, "c", now=NOON + HOUR)


def test_what_is_paused_goes_on_under_a_raise(
    make_budget, ask, spend, workspace: Workspace, token_text
):
    budget = make_budget(hard=True)
    spend(5, request_id="used up")
    reach = reach_of_token(AccessToken.objects.get())
    (standing,) = standings(reach, now=NOON)
    assert (standing.state, len(blocks(reach, now=NOON))) == (State.PAUSED, 1)
    raised(budget, 10, until=NOON + HOUR)
    (standing,) = standings(reach, now=NOON)
    assert (standing.limit, standing.usual_limit) == (10, 5)
    assert (standing.state, blocks(reach, now=NOON)) == (State.OK, [])
    assert len(blocks(reach, now=NOON + HOUR)) == 1


def test_raised_and_crossed_again_it_is_told_again_and_says_why(
    make_budget, spend, workspace: Workspace
):
    now = timezone.now()
    budget = make_budget(now=now)
    spend(5, request_id="all of it", at=now)
    raised(budget, 10, until=now + HOUR, now=now)
    spend(3, request_id="four fifths", at=now)
    assert told() == [(80, 5), (100, 5), (80, 10)]
    assert alerts.why_again(Alert.objects.latest("pk")) == (
        "It was told before under a limit of $5.00, which was raised since by olivia: launch week."
    )
    assert alerts.why_again(Alert.objects.earliest("pk")) == ""


def test_a_lowered_limit_that_is_reached_already_is_told_at_once(
    make_budget, spend, workspace: Workspace
):
    now = timezone.now()
    budget = make_budget(limit=Decimal(100), now=now)
    spend(9, request_id="nine", at=now)
    budget.limit = Decimal(10)
    changes.save(budget, by="olivia", now=now)
    assert told() == [(80, 10)]


def test_a_raise_that_ends_is_told_without_a_request(make_budget, spend, workspace: Workspace):
    now = timezone.now()
    budget = make_budget(now=now)
    raised(budget, 100, until=now + HOUR, now=now)
    spend(6, request_id="under the raise", at=now)
    alerts.make_by_the_clock(now=now)
    assert told() == []
    alerts.make_by_the_clock(now=now + HOUR)
    alerts.make_by_the_clock(now=now + HOUR)
    assert told() == [(80, 5), (100, 5)]


def test_every_change_is_kept_with_who_made_it_and_why(make_budget, workspace: Workspace):
    budget = make_budget()
    budget.limit, budget.hard = Decimal("7.5"), True
    raised(budget, 10, until=NOON + HOUR)
    kept = BudgetChange.objects.order_by("pk").values_list("what", "before", "after", "reason")
    assert list(kept) == [
        ("limit", "$5.00", "$7.50", ""),
        ("raise", "none", "$10.00 until 2026-11-18 13:00", "launch week"),
        ("hard", "soft", "hard", ""),
    ]
    assert set(BudgetChange.objects.values_list("changed_by", flat=True)) == {"olivia"}


@pytest.mark.parametrize(
    "raise_",
    [
        {"raised_limit": Decimal(10)},
        {"raised_limit": Decimal(10), "raised_until": NOON},
        {"raised_limit": Decimal(5), "raised_until": NOON, "raised_reason": "as it was"},
        {"raised_until": NOON, "raised_reason": "no figure"},
    ],
)
def test_a_raise_is_more_than_the_limit_with_an_end_and_a_reason(make_budget, raise_):
    budget = make_budget()
    for name, value in raise_.items():
        setattr(budget, name, value)
    with pytest.raises(ValidationError):
        budget.clean()


@pytest.mark.parametrize(
    ("first", "last", "refuses"),
    [
        (None, None, True),
        (date(2026, 11, 18), None, True),
        (date(2026, 11, 19), None, False),
        (None, date(2026, 11, 19), True),
        (None, date(2026, 11, 18), False),
    ],
)
def test_a_budget_refuses_from_its_first_day_until_its_last(
    make_budget, ask, token_text, workspace: Workspace, first, last, refuses
):
    make_budget(limit=Decimal(0), hard=True, in_force_from=first, in_force_until=last)
    assert passes(ask, "a", cost="0") is not refuses
    reach = reach_of_token(AccessToken.objects.get())
    assert bool(blocks(reach, now=NOON)) is refuses
    (standing,) = standings(reach, now=NOON)
    assert standing.state == (State.PAUSED if refuses else State.NOT_IN_FORCE)


def test_out_of_force_it_counts_on_and_is_not_told(make_budget, ask, spend, workspace: Workspace):
    budget = make_budget(hard=True, in_force_from=timezone.now().date() + timedelta(days=3))
    ask({"request_id": "held", "max_cost": "1"})
    spend(6, request_id="spent")
    period = budget.periods.get()
    assert (period.estimated, period.held) == (6, 1)
    assert told() == []
