"""The decision: caps at every level, the same answer when asked again, holds that end."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import tokens
from accounts.models import ApiKey, Project, Scope, Workspace
from budgets import authorize
from budgets.models import BudgetPeriod, Hold
from tests.budgets.conftest import NOON
from usage.ingest.receive import receive
from usage.ingest.schema import RowError

pytestmark = pytest.mark.django_db


def dimes(count, start=0):
    return [{"request_id": f"r{i}", "max_cost": "0.1"} for i in range(start, start + count)]


def held():
    return list(BudgetPeriod.objects.order_by("pk").values_list("held", flat=True))


def test_of_a_thousand_dimes_against_five_dollars_fifty_pass_in_one_array(
    make_budget, ask, workspace: Workspace
):
    make_budget(hard=True)
    answers = ask(*dimes(1000))
    assert [one["allowed"] for one in answers] == [True] * 50 + [False] * 950
    assert held() == [5]


def test_the_tightest_of_nested_budgets_decides_and_is_named(
    make_budget, ask, workspace: Workspace, project: Project
):
    make_budget(name="all", limit=Decimal(5), hard=True)
    make_budget(name="team", scope="workspace", workspace=workspace, limit=Decimal(4), hard=True)
    make_budget(name="tag", scope="project", project=project, limit=Decimal("0.15"), hard=True)
    first, second = ask(*(one | {"project": "ledger"} for one in dimes(2)))
    assert first["allowed"]
    assert not second["allowed"]
    assert second["reason"] == (
        "The project budget 'tag' has $0.05 left of $0.15 this month; the call may cost $0.1. "
        "It resets at 2026-11-30T23:00:00Z."
    )
    assert second["hold_id"] is None
    assert held() == [Decimal("0.1")] * 3


def test_a_refusal_holds_nothing_anywhere(make_budget, ask, workspace: Workspace):
    make_budget(name="wide", limit=Decimal(100), hard=True)
    make_budget(name="shut", limit=Decimal(0), hard=True)
    (answer,) = ask({"request_id": "r", "max_cost": "0"})
    assert not answer["allowed"]
    assert held() == [0, 0]
    assert not Hold.objects.exists()


def test_asked_again_with_the_same_id_it_holds_once(make_budget, ask, workspace: Workspace):
    make_budget(hard=True)
    answers = ask(*dimes(1)) + ask(*dimes(1), *dimes(1))
    assert len({one["hold_id"] for one in answers}) == 1
    assert held() == [Decimal("0.1")]


def test_a_soft_budget_lets_pass_and_so_does_a_workspace_that_does_not_enforce(
    make_budget, ask, workspace: Workspace
):
    make_budget(name="soft", limit=Decimal("0.05"))
    make_budget(scope="workspace", workspace=workspace, limit=Decimal("0.05"), hard=True)
    Workspace.objects.update(enforce_hard_limits=False)
    (answer,) = ask(*dimes(1))
    assert answer["allowed"]
    assert [one["hard"] for one in answer["budgets"]] == [False, False]


def test_no_budget_means_no_limit(ask, workspace: Workspace):
    (answer,) = ask(*dimes(1))
    assert (answer["allowed"], answer["reason"]) == (True, "No budget applies.")


def test_the_log_settles_the_hold_to_the_real_cost(make_budget, ask, spend, workspace: Workspace):
    make_budget(hard=True)
    ask({"request_id": "call", "max_cost": "2"})
    spend(3, request_id="call")
    period = BudgetPeriod.objects.get()
    assert (period.held, period.estimated) == (0, 3)
    assert Hold.objects.get().state == "settled"


def test_a_log_with_another_id_settles_by_the_holds_id(
    make_budget, ask, spend, workspace: Workspace
):
    make_budget(hard=True)
    (answer,) = ask({"request_id": "asked as this", "max_cost": "2"})
    spend(1, request_id="logged as that", hold_id=answer["hold_id"])
    assert held() == [0]


def test_another_workspaces_hold_is_not_settled_by_its_id(
    make_budget, ask, spend, workspace: Workspace
):
    make_budget(hard=True)
    (answer,) = ask({"request_id": "mine", "max_cost": "2", "workspace": "research"})
    spend(1, request_id="theirs", hold_id=answer["hold_id"])
    assert held() == [2]


def test_an_expired_hold_is_freed_by_the_next_decision(make_budget, ask, workspace: Workspace):
    make_budget(hard=True)
    ask({"request_id": "lost", "max_cost": "5"})
    later = NOON + timedelta(hours=1)
    assert [one["allowed"] for one in ask(*dimes(1), now=later)] == [True]
    assert held() == [Decimal("0.1")]
    assert Hold.objects.get(request_id="lost").state == "expired"


def test_a_hold_taken_before_the_period_ended_does_not_burden_the_next(
    make_budget, ask, spend, workspace: Workspace
):
    make_budget(period="day", hard=True)
    ask({"request_id": "late call", "max_cost": "5"})
    tomorrow = NOON + timedelta(hours=24)
    (answer,) = ask({"request_id": "early call", "max_cost": "5"}, now=tomorrow)
    assert answer["allowed"]
    spend(4, request_id="late call", at=tomorrow)
    assert list(BudgetPeriod.objects.order_by("start_on").values_list("held", "estimated")) == [
        (0, 0),
        (5, 4),
    ]


def test_expired_holds_free_themselves_without_a_decision(make_budget, ask, workspace: Workspace):
    make_budget(hard=True)
    ask(*dimes(3))
    assert authorize.release_expired(now=NOON) == 0
    assert authorize.release_expired(now=NOON + timedelta(hours=1)) == 3
    assert held() == [0]


def test_an_unpriced_model_is_held_at_the_ceiling(make_budget, ask, spend, workspace: Workspace):
    make_budget(hard=True)
    tokens = {"model": "new-model", "input_tokens": 4, "max_output_tokens": 100}
    ask({"request_id": "r"} | tokens)
    assert held() == [4]


def test_an_ask_that_cannot_be_priced_says_what_to_send(ask, workspace: Workspace):
    with pytest.raises(RowError, match="Send max_cost, or model with input_tokens"):
        ask({"request_id": "r", "model": "gpt-4o"})


def test_an_ask_that_may_cost_more_than_can_be_held_is_told_so(ask, spend, workspace: Workspace):
    tokens = {"model": "new-model", "input_tokens": 10**9, "max_output_tokens": 1}
    with pytest.raises(RowError, match=r"So many tokens may cost more than \$100,000,000"):
        ask({"request_id": "r"} | tokens)


def test_a_disabled_key_is_refused_with_its_reason(make_budget, ask, workspace: Workspace):
    ApiKey.objects.create(workspace=workspace, identifier="key-1", disabled_at=timezone.now())
    first, second = ask(
        {"request_id": "a", "max_cost": "1", "api_key": "key-1"},
        {"request_id": "b", "max_cost": "1"},
    )
    assert (first["allowed"], first["reason"]) == (False, "The API key is disabled.")
    assert second["allowed"]


def test_asked_again_for_more_only_what_fits_is_held(make_budget, ask, workspace: Workspace):
    make_budget(limit=Decimal(1), hard=True)
    first, more, too_much = ask(
        {"request_id": "s", "max_cost": "0.01"},
        {"request_id": "s", "max_cost": "0.6"},
        {"request_id": "s", "max_cost": "1000"},
    )
    assert [one["allowed"] for one in (first, more, too_much)] == [True, True, False]
    assert held() == [Decimal("0.6")]


def test_asked_again_for_another_project_the_hold_moves(make_budget, ask, workspace: Workspace):
    for tag in ("a", "b"):
        project = Project.objects.create(workspace=workspace, tag=tag)
        make_budget(name=tag, scope="project", project=project, limit=Decimal(1), hard=True)
    ask({"request_id": "s", "max_cost": "0.5", "project": "a"})
    ask({"request_id": "s", "max_cost": "0.7", "project": "b"})
    assert held() == [0, Decimal("0.7")]
    assert authorize.release_expired(now=NOON + timedelta(hours=1)) == 1
    assert held() == [0, 0]


def test_sums_beyond_ten_thousand_million_are_counted(make_budget, ask, workspace: Workspace):
    make_budget(limit=None)
    asks = [{"request_id": f"r{i}", "max_cost": "100000000"} for i in range(200)]
    assert all(one["allowed"] for one in ask(*asks))
    assert held() == [200 * 10**8]


def test_a_failed_attempt_leaves_the_hold_to_its_fallback(
    make_budget, ask, account, workspace: Workspace
):
    make_budget(hard=True)
    ask({"request_id": "call", "max_cost": "2"})
    event = {"id": "x", "model": "gpt-4o", "litellm_call_id": "call", "status": "failure"}
    team = {"metadata": {"user_api_key_team_id": "finance"}}

    def log(**more):
        raw = json.dumps(event | team | more).encode()
        answer = receive([raw], source="litellm", account=account, token=None, now=NOON)
        assert answer.accepted == 1

    log(error_information={"error_code": "500"})
    assert held() == [2]
    log(id="y", status="success")
    assert held() == [0]


def test_a_failed_attempt_under_an_id_of_its_own_leaves_the_hold_to_its_fallback(
    make_budget, ask, spend, workspace: Workspace
):
    make_budget(hard=True)
    (answer,) = ask({"request_id": "call", "max_cost": "2"})
    attempt = {"hold_id": answer["hold_id"], "at": NOON}
    spend(0, request_id="first try", status=503, **attempt)
    assert held() == [2]
    spend(1, request_id="second try", **attempt)
    spend(1, request_id="sent twice", **attempt)
    period = BudgetPeriod.objects.get()
    assert (period.held, period.estimated) == (0, 2)


def test_a_failed_call_under_the_holds_own_id_frees_it(
    make_budget, ask, spend, workspace: Workspace
):
    make_budget(hard=True)
    (answer,) = ask({"request_id": "call", "max_cost": "2"})
    spend(0, request_id="call", status=503, hold_id=answer["hold_id"])
    assert held() == [0]


def test_an_ask_that_comes_after_its_log_holds_nothing(
    make_budget, ask, spend, workspace: Workspace
):
    make_budget(hard=True)
    spend(1, request_id="call")
    (answer,) = ask({"request_id": "call", "max_cost": "2"})
    assert (answer["allowed"], answer["hold_id"], answer["expires_at"]) == (True, None, None)
    assert answer["reason"] == (
        "Within every budget. The request is logged already, so that nothing is held."
    )
    (answer,) = ask({"request_id": "call", "max_cost": "4.5"})
    assert not answer["allowed"]
    assert held() == [0]


def test_a_new_budget_sets_aside_what_is_under_way_under_it(
    make_budget, ask, spend, workspace: Workspace, project: Project
):
    ask({"request_id": "in it", "max_cost": "2", "project": "ledger"})
    ask({"request_id": "beside it", "max_cost": "1"})
    make_budget(name="all", hard=True)
    make_budget(name="tag", scope="project", project=project, hard=True)
    assert held() == [3, 2]
    spend(1, request_id="in it", project="ledger")
    spend(1, request_id="beside it")
    assert held() == [0, 0]


def test_a_hold_that_is_over_is_not_set_aside_in_a_new_budget(
    make_budget, ask, workspace: Workspace
):
    ask({"request_id": "lost", "max_cost": "2"})
    make_budget(hard=True, now=NOON + timedelta(hours=1))
    assert held() == [0]


def test_a_caller_of_one_workspace_learns_nothing_of_what_the_account_spends(
    account, make_budget, ask, spend, workspace: Workspace
):
    make_budget(name="all of it", limit=Decimal(5), hard=True)
    make_budget(name="ours", scope="workspace", workspace=workspace, limit=Decimal(100))
    spend(3, request_id="spent")
    tokens.issue(account=account, name="n", scopes=[Scope.AUTHORIZE], workspaces=[workspace])
    yes, no = ask(
        {"request_id": "a", "max_cost": "1"}, {"request_id": "b", "max_cost": "2"}, asker="n"
    )
    assert [one["name"] for one in yes["budgets"] + no["budgets"]] == ["ours", "ours"]
    assert no["reason"] == (
        "A hard account budget above this access token's workspaces is in the way. "
        "It resets at 2026-11-30T23:00:00Z."
    )


@pytest.mark.django_db(transaction=True)
def test_the_same_id_at_once_under_other_counters_passes_no_hard_budget_by(
    make_budget, ask, workspace: Workspace
):
    """Answered with the other one's hold, it would hold nothing where it will be spent."""
    projects = [Project.objects.create(workspace=workspace, tag=tag) for tag in ("one", "two")]
    for project in projects:
        make_budget(name=project.tag, scope="project", project=project, hard=True)
    asks = [{"request_id": "r", "max_cost": cost, "project": p.tag}
            for cost, p in zip(("0.1", "5"), projects, strict=True)]  # fmt: skip

    def meanwhile():
        try:
            return ask(asks[1])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ask(asks[0])
            other = pool.submit(meanwhile)
            wait_for_a_lock()
        (answer,) = other.result()

    assert answer["allowed"]
    assert held() == [0, 5]


@pytest.mark.django_db(transaction=True)
def test_an_ask_that_overlaps_its_own_log_leaves_no_hold(
    make_budget, ask, spend, workspace: Workspace
):
    """The log has looked for its hold before, and waits for the counter that the ask has locked."""
    now = timezone.now()
    make_budget(hard=True, now=now)

    def log():
        spend(1, request_id="call", at=now)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            (answer,) = ask({"request_id": "call", "max_cost": "2"}, now=now)
            logged = pool.submit(log)
            wait_for_a_lock()
        logged.result()

    assert answer["hold_id"]
    assert Hold.objects.get().state == "settled"
    period = BudgetPeriod.objects.get()
    assert (period.held, period.estimated) == (0, 1)


def wait_for_a_lock():
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)


def rows_read(table: str) -> int:
    """In this transaction, by whatever index or none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(seq_tup_read + idx_tup_fetch, 0) FROM pg_stat_xact_user_tables "
            "WHERE relname = %s",
            [table],
        )
        return cursor.fetchone()[0]


@pytest.mark.parametrize("table", ["budgets_hold", "usage_requestkey"])
def test_a_decision_reads_as_much_of_ten_rows_as_of_hundreds(
    make_budget, ask, spend, account, workspace: Workspace, table
):
    make_budget(limit=None)
    ask(*dimes(10))  # which plans for few
    ask(*dimes(300))
    logged = [json.dumps({"request_id": f"logged {i}", "model": "m"}).encode() for i in range(300)]
    receive(logged, source="native", account=account, token=None, now=NOON)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")  # what is read after it is planned anew
    before = rows_read(table)
    ask(*dimes(1, start=500))
    assert rows_read(table) - before <= 5
