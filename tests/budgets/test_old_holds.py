from datetime import timedelta

import pytest

from budgets import old_holds, tasks
from budgets.models import Hold
from tests.budgets.conftest import NOON
from tests.factories import make_account, make_workspace

LONG_AGO = NOON - timedelta(days=91)


@pytest.fixture
def make_hold(workspace):
    def make(request_id, *, ended_at=LONG_AGO, state="expired", of=workspace):
        return Hold.objects.create(
            account=of.account, workspace=of, request_id=request_id, amount=1, period_ids=[],
            state=state, created_at=LONG_AGO, expires_at=LONG_AGO, ended_at=ended_at,
        )  # fmt: skip

    return make


def kept():
    return list(Hold.objects.order_by("request_id").values_list("request_id", flat=True))


def test_holds_past_the_retention_are_forgotten_in_steps(workspace, make_hold):
    for number in range(7):
        make_hold(f"old-{number}")
        make_hold("old-3")
    make_hold("recent", ended_at=NOON - timedelta(days=workspace.retention_days - 1))

    assert old_holds.forget(workspace, now=NOON, at_once=3) == 14
    assert kept() == ["recent"]
    assert old_holds.forget(workspace, now=NOON) == 0


def test_a_hold_is_kept_as_long_as_its_request(workspace, make_hold, spend):
    spend(1, request_id="logged", workspace=workspace.slug)
    make_hold("logged", state="settled")
    make_hold("never-logged")

    assert old_holds.forget(workspace, now=NOON) == 1
    assert kept() == ["logged"]


def test_an_open_hold_is_never_forgotten(workspace, make_hold):
    make_hold("open", state="open", ended_at=None)

    assert old_holds.forget(workspace, now=NOON) == 0
    assert kept() == ["open"]


def test_each_workspace_has_its_own_turn(workspace, make_hold, monkeypatch):
    other = make_workspace(make_account("other"))
    make_hold("ours")
    make_hold("theirs", of=other)
    monkeypatch.setattr(tasks, "async_task", lambda _, pk: tasks.forget_holds_of(pk))

    tasks.forget_holds()

    assert kept() == []
