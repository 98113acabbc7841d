"""Re-pricing: what the log, every roll-up and the record of it say afterwards."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.books import assert_books_balance
from tests.factories import (
    NOW,
    fetch,
    log,
    make_account,
    make_price,
    native,
    post,
    rollup_rows,
    save_prices,
    small_price_book,
)
from tests.usage import traffic
from tests.usage.pricing.repricings import (
    AFTER,
    FIRST,
    LAST,
    applied,
    apply,
    correct,
    figures,
    lines,
    new_model_prices,
    previewed,
    worked,
)
from usage.models import Repricing
from usage.pricing import ratecard, rebill, reprice, repricing_work
from usage.rollups.fold import fold, fold_all

pytestmark = pytest.mark.django_db

DAYS = [date(2026, 11, 14), date(2026, 11, 16), LAST]
State = Repricing.State


@pytest.fixture
def half_folded(account):
    """Two hundred requests of every kind on three days; a third has no price; half is folded."""
    traffic.record(account, traffic.rows(200, days=DAYS))
    fold(rows_at_once=100)
    return account


def costs():
    return {row["request_id"]: row["cost"] for row in log()}


def test_what_had_no_price_has_one_in_the_log_and_in_every_sum(half_folded):
    new_model_prices()

    done = applied(half_folded, only_unpriced=True)

    unmeasured = [r for r in log() if r["cost"] is None]
    assert (done.state, unmeasured) == (State.DONE, [])
    assert_books_balance()
    fold_all()
    assert_books_balance()


def test_a_row_that_is_priced_later_costs_what_it_would_have_cost_at_once(account):
    small_price_book()
    later, requests = make_account("later"), traffic.rows(200, days=DAYS)
    post(later, *requests)
    new_model_prices()
    applied(later, only_unpriced=True)
    ratecard.forget()
    post(account, *requests)

    costs = defaultdict(set)
    for row in log():
        costs[row["request_id"]].add((row["cost"], row["ceiling_cost"]))
    assert {len(found) for found in costs.values()} == {1}
    assert len(costs) == 200


@pytest.mark.parametrize("unit_price", ["1.25", "5"])
def test_a_corrected_price_moves_every_sum_down_or_up(half_folded, unit_price):
    before = costs()
    correct("input", unit_price)

    done = applied(half_folded, only_unpriced=False)

    changed = {name for name, cost in costs().items() if cost != before[name]}
    assert sum(line[1] for line in figures(done).values()) == len(changed) > 50
    assert_books_balance()


def test_the_same_prices_change_nothing(half_folded):
    before, sums = log(), rollup_rows()

    done = applied(half_folded)

    assert (log(), rollup_rows()) == (before, sums)
    assert {line[1] for line in figures(done).values()} == {0}


def test_running_twice_changes_nothing_more(half_folded):
    new_model_prices()
    applied(half_folded)
    fold_all()
    before, sums = log(), rollup_rows()

    again = applied(half_folded)

    assert (log(), rollup_rows()) == (before, sums)
    assert {line[1] for line in figures(again).values()} == {0}


def test_a_preview_writes_nothing_and_is_what_applying_then_does(half_folded):
    new_model_prices()
    correct("output", "20")
    before, sums = log(), rollup_rows()

    shown = previewed(half_folded)
    assert (log(), rollup_rows()) == (before, sums)
    apply(shown)

    assert lines(shown, applied=False) == lines(shown, applied=True)
    assert shown.lines.totals()["changed"] > 0


def test_the_record_says_who_what_and_by_how_much(account):
    small_price_book()
    for model in ("brand-new", "brand-new", "unheard-of", "gpt-4o"):
        post(account, native(model=model, occurred_at=f"{LAST}T12:00:00Z"))
    new_model_prices()

    done = applied(account, only_unpriced=True, reason="", by=None)

    assert figures(done) == {
        "brand-new": (2, 2, 2, 0, 0, Decimal("0.0088")),
        "unheard-of": (1, 0, 1, 1, 0, 0),
    }
    assert (done.reason, done.days_done, done.days_total) == ("the price has come", 1, 1)


def test_a_cost_stands_where_its_price_is_no_longer_in_force(account):
    small_price_book()
    post(account, native(occurred_at=f"{LAST}T12:00:00Z"))
    fetch("UPDATE usage_price SET valid_to = '2026-11-01' RETURNING 1")

    done = applied(account)

    assert figures(done) == {"gpt-4o": (1, 0, 0, 0, Decimal("0.0035"), Decimal("0.0035"))}


def test_only_the_chosen_days_models_and_workspaces_change(account):
    for slug, model, day in (
        ("research", "brand-new", LAST),
        ("support", "brand-new", LAST),
        ("research", "other-new", LAST),
        ("research", "brand-new", AFTER),
    ):
        name = f"{slug} {model} {day}"
        about = {"workspace": slug, "model": model, "occurred_at": f"{day}T12:00:00Z"}
        post(account, native(request_id=name, **about))
    new_model_prices()
    for meter in ("input", "output"):
        save_prices(make_price(meter, "1", model="other-new"))
    row = next(row for row in log() if row["model"] == "brand-new")

    applied(account, workspace_ids=[row["workspace_id"]], model_ids=[row["model_id"]])

    assert [r["request_id"] for r in log() if r["cost"] is not None] == [
        f"research brand-new {LAST}"
    ]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"])
def test_days_are_the_accounts_days(zone):
    account = make_account(time_zone=zone)
    traffic.record(account, traffic.rows(200, days=DAYS, zone=zone))
    fold_all()
    new_model_prices()

    applied(account, start_on=LAST, end_on=LAST + timedelta(1))

    priced = {traffic.bucket(row["occurred_at"], "day", zone) for row in log()
              if row["model"] == "brand-new" and row["cost"] is not None}  # fmt: skip
    assert priced == {LAST}
    assert_books_balance()


def test_another_accounts_requests_are_not_touched(account, outsiders_workspace):
    for owner in (account, outsiders_workspace.account):
        post(
            owner, native(request_id=owner.slug, model="brand-new", occurred_at=f"{LAST}T12:00:00Z")
        )
    new_model_prices()

    applied(account)

    assert [r["request_id"] for r in log() if r["cost"] is None] == ["globex"]
    with pytest.raises(reprice.CannotReprice, match="not in the account"):
        previewed(account, workspace_ids=[outsiders_workspace.pk])


def test_closed_days_are_refused_at_the_preview(account):
    account.books_closed_until = date(2026, 11, 16)

    with pytest.raises(reprice.PeriodIsClosed, match="closed before 2026-11-16"):
        previewed(account, start_on=date(2026, 11, 15))
    assert previewed(account, start_on=date(2026, 11, 16)).state == State.PREVIEWED


def test_closed_days_are_refused_when_it_is_applied(half_folded):
    new_model_prices()
    shown = previewed(half_folded)
    half_folded.books_closed_until = LAST
    half_folded.save()

    with pytest.raises(reprice.PeriodIsClosed):
        apply(shown)


def test_books_that_are_closed_while_it_is_applied_are_left_alone(half_folded, monkeypatch):
    new_model_prices()
    shown = previewed(half_folded)
    reprice.apply(shown, reason="new price", by=None, now=NOW)
    repricing_work.work(seconds=0)
    half_folded.books_closed_until = AFTER
    half_folded.save()
    before = log()

    worked(shown)

    assert (shown.state, shown.days_done, log()) == (State.FAILED, 1, before)
    assert "closed before 2026-11-19" in shown.error
    assert_books_balance()


def test_days_that_only_totals_are_left_of_stay_as_they_are(half_folded):
    fold_all()
    fetch("DELETE FROM usage_requestkey WHERE occurred_at < %s RETURNING 1", [LAST])
    fetch("DELETE FROM usage_requestlog WHERE occurred_at < %s RETURNING 1", [LAST])
    sums = [row for row in rollup_rows()["usage_day"] if row["day"] < LAST]
    new_model_prices()

    done = applied(half_folded)

    assert [row for row in rollup_rows()["usage_day"] if row["day"] < LAST] == sums
    assert done.days_gone == len({(row["day"], row["workspace_id"]) for row in sums})
    assert done.requests_gone == sum(row["requests"] for row in sums) > 0
    assert done.days_gone < done.days_done


def test_a_day_that_is_partly_gone_keeps_all_of_its_sums(account):
    for hour in (6, 18):
        post(account, native(model="brand-new", occurred_at=f"{LAST}T{hour:02}:00:00Z"))
    fold_all()
    fetch("DELETE FROM usage_requestlog WHERE occurred_at < %s RETURNING 1", [f"{LAST}T12:00:00Z"])
    sums = rollup_rows()
    new_model_prices()

    done = applied(account)

    assert (rollup_rows(), done.days_gone, done.requests_gone) == (sums, 1, 2)
    assert [row["cost"] for row in log()] == [None]


def test_requests_that_go_while_a_day_is_worked_on_take_nothing_along(account, monkeypatch):
    for hour in (6, 18):
        post(account, native(model="brand-new", occurred_at=f"{LAST}T{hour:02}:00:00Z"))
    fold_all()
    sums = rollup_rows()
    new_model_prices()
    shown = previewed(account)

    def retention_comes(workspace_id, changes):
        fetch(
            "DELETE FROM usage_requestlog WHERE occurred_at < %s RETURNING 1", [f"{LAST}T12:00:00Z"]
        )
        return written(workspace_id, changes)

    written = rebill.written
    monkeypatch.setattr(rebill, "written", retention_comes)
    apply(shown)

    assert (shown.state, shown.days_gone, rollup_rows()) == (State.DONE, 1, sums)


def test_other_prices_since_the_preview_must_be_previewed_first(half_folded):
    new_model_prices()
    shown = previewed(half_folded)
    correct("input", "7")

    with pytest.raises(reprice.PricesChanged):
        apply(shown)


def test_other_prices_during_the_preview_begin_it_anew(half_folded):
    new_model_prices()
    asked = reprice.request(
        half_folded, start_on=FIRST, end_on=AFTER, only_unpriced=False, by=None, now=NOW
    )
    repricing_work.work(seconds=0)
    correct("input", "7")

    shown = worked(asked)
    apply(shown)

    assert lines(shown, applied=False) == lines(shown, applied=True)


def test_prices_that_change_while_it_is_applied_stop_it(half_folded):
    new_model_prices()
    shown = previewed(half_folded)
    reprice.apply(shown, reason="new price", by=None, now=NOW)
    repricing_work.work(seconds=0)
    correct("input", "7")

    worked(shown)

    assert shown.state == State.FAILED
    assert f"1 of {shown.days_total} days" in shown.error
    assert_books_balance()
    correct("input", "2.5")
    reprice.resume(shown, by=None)
    assert worked(shown).state == State.DONE


def test_a_cancelled_one_stops_where_it_is(half_folded):
    new_model_prices()
    shown = previewed(half_folded)
    reprice.apply(shown, reason="new price", by=None, now=NOW)
    repricing_work.work(seconds=0)

    reprice.cancel(shown, by=None, now=NOW)

    before = log()
    worked(shown)
    assert (shown.state, shown.days_done, log()) == (State.CANCELLED, 1, before)
    assert_books_balance()
    with pytest.raises(reprice.CannotReprice, match="ended"):
        reprice.cancel(shown, by=None, now=NOW)


def test_nothing_is_applied_without_a_reason_or_twice(half_folded):
    shown = previewed(half_folded)
    with pytest.raises(reprice.CannotReprice, match="Say why"):
        apply(shown, reason="  ")
    apply(shown)

    with pytest.raises(reprice.CannotReprice, match="another state"):
        apply(shown)


def test_one_of_an_account_is_applied_at_a_time(half_folded):
    new_model_prices()
    first, second = previewed(half_folded), previewed(half_folded)
    reprice.apply(first, reason="first", by=None, now=NOW)

    with pytest.raises(reprice.CannotReprice, match="Another re-pricing"):
        reprice.apply(second, reason="second", by=None, now=NOW)


def test_what_has_waited_longest_is_taken_first(half_folded, outsiders_workspace):
    new_model_prices()
    for owner in (half_folded, outsiders_workspace.account):
        reprice.request(owner, start_on=FIRST, end_on=AFTER, only_unpriced=True, by=None, now=NOW)

    repricing_work.work(seconds=0)
    repricing_work.work(seconds=0)

    states = dict(Repricing.objects.values_list("account__slug", "state"))
    assert states == {"acme": State.PREVIEWING, "globex": State.PREVIEWED}


def test_a_failure_in_mid_day_undoes_that_day_and_is_tried_again(half_folded, monkeypatch):
    new_model_prices()
    shown = previewed(half_folded)
    reprice.apply(shown, reason="new price", by=None, now=NOW)
    repricing_work.work(seconds=0)

    with monkeypatch.context() as broken:
        broken.setattr(repricing_work, "on_repriced", [refuse])
        with pytest.raises(OSError, match="disk"):
            repricing_work.work()
    shown.refresh_from_db()
    assert (shown.state, shown.days_done, shown.failures) == (State.APPLYING, 1, 1)
    assert_books_balance()

    assert worked(shown).state == State.DONE
    assert lines(shown, applied=False) == lines(shown, applied=True)
    assert_books_balance()


def test_what_fails_again_and_again_is_given_up_until_it_is_resumed(half_folded, monkeypatch):
    new_model_prices()
    shown = previewed(half_folded)
    reprice.apply(shown, reason="new price", by=None, now=NOW)
    with monkeypatch.context() as broken:
        broken.setattr(repricing_work, "on_repriced", [refuse])
        for _ in range(5):
            with pytest.raises(OSError, match="disk"):
                repricing_work.work()
    shown.refresh_from_db()
    assert (shown.state, shown.error) == (State.FAILED, "OSError: the disk is full")
    assert not repricing_work.work()

    reprice.resume(shown, by=None)

    assert worked(shown).state == State.DONE
    assert_books_balance()


def refuse(moves, *, account_id):
    raise OSError("the disk is full")


def test_chunks_of_any_size_come_to_the_same(half_folded, monkeypatch):
    new_model_prices()
    shown = previewed(half_folded)
    monkeypatch.setattr(rebill, "ROWS_AT_ONCE", 7)

    apply(shown)

    assert lines(shown, applied=False) == lines(shown, applied=True)
    assert_books_balance()


def test_what_used_nothing_known_stays_unknown(account):
    small_price_book()
    post(account, native(model="gpt-4o", occurred_at=f"{LAST}T12:00:00Z"))
    fetch(
        "UPDATE usage_requestlog SET input = 0, output = 0, cost = NULL, ceiling_cost = 0 "
        "RETURNING 1"
    )

    applied(account)

    assert [row["cost"] for row in log()] == [None]
