"""What the worker does of re-pricings: some days at a time, until each is previewed or applied.

One workspace and local day is one transaction: its new costs, its roll-ups, the budgets, the
figures and how far the re-pricing is. Whoever looks sees that day before or after; whatever dies
in between, the next call goes on with that day; and no day is ever counted twice.
"""

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import Account
from usage.formatting import count, money
from usage.models import RepricedModel, Repricing
from usage.pricing import rebill
from usage.pricing.day_bill import DayBill, Figures
from usage.pricing.ratecard import RateCard, dollars, load
from usage.pricing.rebill import Selection, WorkspaceDay
from usage.pricing.reprice import (
    AT_THE_BEGINNING,
    CannotReprice,
    State,
    check_open,
    note,
    on_repriced,
    prices_digest,
    selection_of,
)
from usage.rollups.rebuild import NothingToRebuildFrom
from usage.rollups.whole import is_whole

REPRICING_LOCK = 7_100_004  # with the re-pricing's id
SECONDS_AT_ONCE = 3.0
MOST_FAILURES = 5  # in a row
MONEY = {"old_cost", "new_cost", "old_ceiling", "new_ceiling"}


class Stopped(Exception):
    """It was cancelled, or another worker took it further than this one knows."""


class ChangedMeanwhile(CannotReprice):
    def __init__(self, done: int, total: int) -> None:
        super().__init__(
            f"Prices were changed while this was applied: {done} of {total} days have the new "
            "costs, the others are as they were. Preview it again and apply the rest."
        )


def work(*, seconds: float = SECONDS_AT_ONCE) -> bool:
    """Go on with the re-pricing that has waited longest; whether anything was done."""
    repricing = Repricing.objects.at_work().select_related("account").first()
    return repricing is not None and work_on(repricing, seconds=seconds)


def work_on(repricing: Repricing, *, seconds: float = SECONDS_AT_ONCE) -> bool:
    """Take a re-pricing some days further; whether anything was done.

    What fails is tried again by the next call, and given up after so many times in a row.
    """
    until = time.monotonic() + seconds
    try:
        go_on(repricing, is_time_up=lambda: time.monotonic() >= until)
    except Stopped:
        return False
    except CannotReprice as error:
        end(repricing, State.FAILED, error=str(error))
    except Exception as error:
        note_failure(repricing, error)
        raise
    return True


def go_on(repricing: Repricing, *, is_time_up: Callable[[], bool]) -> None:
    card = card_for(repricing)
    selection = selection_of(repricing)
    for unit in days_left(repricing, rebill.workspace_days(selection)):
        step(repricing, selection, unit, card)
        if is_time_up():
            return
    end(repricing, State.DONE if repricing.is_applied else State.PREVIEWED)


@transaction.atomic
def days_left(repricing: Repricing, plan: Sequence[WorkspaceDay]) -> list[WorkspaceDay]:
    """What of the plan is not done yet. Written down while no other worker gets further."""
    claim(repricing)
    repricing.refresh_from_db()
    reached = repricing.reached
    left = [unit for unit in plan if reached is None or unit[:2] > reached]
    progress(repricing, days_total=F("days_done") + len(left))
    return left


def step(repricing: Repricing, selection: Selection, unit: WorkspaceDay, card: RateCard) -> None:
    """One day of one workspace. Where only its totals are left it is counted, and left alone."""
    try:
        with transaction.atomic():
            claim(repricing, unit)
            if repricing.is_applied:
                lock_open(selection.account_id, unit.day)
            if not is_whole(unit.workspace_id, unit.day):
                raise NothingToRebuildFrom
            bill = (apply_day if repricing.is_applied else rebill.preview_day)(
                selection, unit, card
            )
            add_lines(repricing, bill)
            advance(repricing, unit)
    except NothingToRebuildFrom:
        with transaction.atomic():
            claim(repricing, unit)
            gone = {
                "days_gone": F("days_gone") + 1,
                "requests_gone": F("requests_gone") + unit.requests,
            }
            advance(repricing, unit, **gone)


def apply_day(selection: Selection, unit: WorkspaceDay, card: RateCard) -> DayBill:
    """Costs, roll-ups and whatever hooks in, in the caller's transaction."""
    bill = rebill.apply_day(selection, unit, card)
    if bill.is_changed:
        for hook in on_repriced:
            hook(bill.moves(), account_id=selection.account_id)
    return bill


def lock_open(account_id: int, day: date) -> None:
    """Who closes the books now waits for this day, or closed it before. Raises PeriodIsClosed."""
    sql = "SELECT * FROM accounts_account WHERE id = %s FOR SHARE"
    check_open(Account.objects.raw(sql, [account_id])[0], day)


def claim(repricing: Repricing, unit: WorkspaceDay | None = None) -> None:
    """Until the transaction ends no other worker goes on with it. Raises Stopped."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [REPRICING_LOCK, repricing.pk])
        (is_ours,) = cursor.fetchone()
    now = Repricing.objects.get(pk=repricing.pk) if is_ours else None
    if now is None or now.state != repricing.state:
        raise Stopped
    if unit is not None and now.reached is not None and unit[:2] <= now.reached:
        raise Stopped


def advance(repricing: Repricing, unit: WorkspaceDay, **more: Any) -> None:
    progress(
        repricing,
        reached_day=unit.day,
        reached_workspace=unit.workspace_id,
        days_done=F("days_done") + 1,
        failures=0,
        error="",
        **more,
    )


def progress(repricing: Repricing, **changes: Any) -> None:
    """Write down how far it is. Raises Stopped where it is not in its state any more."""
    mine = Repricing.objects.filter(pk=repricing.pk, state=repricing.state)
    if mine.update(worked_at=timezone.now(), **changes) != 1:
        raise Stopped


def end(repricing: Repricing, state: str, *, error: str = "") -> None:
    previewed = state == State.PREVIEWED
    finished_at = None if previewed else timezone.now()
    progress(repricing, state=state, finished_at=finished_at, error=error)
    if repricing.is_applied:
        note(repricing, repricing.applied_by, f"{State(state).label}: {outcome(repricing)}")


def outcome(repricing: Repricing) -> str:
    sums = repricing.lines.filter(applied=True).totals()
    return (
        f"{count(sums['changed'])} of {count(sums['requests'])} requests have another cost, "
        f"{money(sums['old_cost'])} became {money(sums['new_cost'])}."
    )


def note_failure(repricing: Repricing, error: Exception) -> None:
    mine = Repricing.objects.filter(pk=repricing.pk, state=repricing.state)
    text = f"{type(error).__name__}: {error}".strip()
    mine.update(failures=F("failures") + 1, error=text, worked_at=timezone.now())
    mine.filter(failures__gte=MOST_FAILURES).update(state=State.FAILED, finished_at=timezone.now())


# prices_digest -> the card of those prices, for the last few.
_cards: dict[str, RateCard] = {}


def card_for(repricing: Repricing) -> RateCard:
    """The card of the prices that it is previewed with; a preview begins anew with other prices.

    Raises ChangedMeanwhile where it is being applied already.
    """
    digest, card = card_of(repricing.account_id)
    if digest != repricing.prices_digest:
        if repricing.is_applied:
            raise ChangedMeanwhile(repricing.days_done, repricing.days_total)
        begin_preview(repricing, digest)
    return card


def card_of(account_id: int) -> tuple[str, RateCard]:
    """The approved prices of this moment, compiled, and their digest."""
    digest = prices_digest(account_id)
    while digest not in _cards:
        if len(_cards) > 3:
            _cards.clear()
        card = load()
        before, digest = digest, prices_digest(account_id)
        if before == digest:  # nothing was approved while the prices were read
            _cards[digest] = card
    return digest, _cards[digest]


@transaction.atomic
def begin_preview(repricing: Repricing, digest: str) -> None:
    claim(repricing)
    repricing.lines.filter(applied=False).delete()
    progress(repricing, prices_digest=digest, **AT_THE_BEGINNING)
    repricing.refresh_from_db()


ADD_LINES = f"""
INSERT INTO usage_repricedmodel AS t (repricing_id, applied, model_id, {", ".join(RepricedModel.FIGURES)})
VALUES (%s, %s, %s, {", ".join(["%s"] * len(RepricedModel.FIGURES))})
ON CONFLICT (repricing_id, applied, model_id) DO UPDATE SET
    {", ".join(f"{name} = t.{name} + EXCLUDED.{name}" for name in RepricedModel.FIGURES)}
"""  # noqa: E501


def add_lines(repricing: Repricing, bill: DayBill) -> None:
    with connection.cursor() as cursor:
        for model_id, figures in sorted(bill.by_model.items()):
            key = [repricing.pk, repricing.is_applied, model_id]
            cursor.execute(ADD_LINES, [*key, *columns_of(figures)])


def columns_of(figures: Figures) -> list[Any]:
    values = {name: getattr(figures, name) for name in RepricedModel.FIGURES}
    return [dollars(value) if name in MONEY else value for name, value in values.items()]
