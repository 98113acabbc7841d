"""Re-pricing: after a price was approved or corrected, what was recorded before is billed anew.

Somebody asks for a preview; the worker makes it, day by day (`repricing_work`). Somebody reads it
and says why it is to be applied; the worker applies it. Nothing here waits for a day to be done.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Protocol

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, transaction

from accounts.models import Account, User
from usage.models import Repricing
from usage.pricing.day_bill import Moved
from usage.pricing.rebill import Selection

State = Repricing.State


class Hook(Protocol):
    """Called with what moved, in the transaction that changes a day's costs and roll-ups.

    It holds the log's rows and the roll-ups by then; what the hook locks comes after those.
    """

    def __call__(self, moves: Sequence[Moved], *, account_id: int) -> None: ...


on_repriced: list[Hook] = []


class CannotReprice(Exception):
    """Why not, in words for whoever asked."""


class PeriodIsClosed(CannotReprice):
    def __init__(self, account: Account) -> None:
        super().__init__(
            f"The books of {account} are closed before {account.books_closed_until}: costs of "
            "earlier days are final. Begin on that day or later."
        )


class PricesChanged(CannotReprice):
    def __init__(self) -> None:
        super().__init__(
            "Prices were changed since the preview, which may come to other sums now. "
            "Preview it again."
        )


# What is said of progress when a preview begins, and again when applying does.
AT_THE_BEGINNING: dict[str, Any] = {
    "days_total": 0,
    "days_done": 0,
    "days_gone": 0,
    "requests_gone": 0,
    "reached_day": None,
    "reached_workspace": None,
    "failures": 0,
    "error": "",
}


def request(
    account: Account,
    *,
    start_on: date,
    end_on: date,
    only_unpriced: bool,
    workspace_ids: Sequence[int] = (),
    model_ids: Sequence[int] = (),
    reason: str = "",
    by: User | None,
    now: datetime,
) -> Repricing:
    """Ask for a preview of the local days `[start_on, end_on)`. Raises CannotReprice."""
    if start_on >= end_on:
        raise CannotReprice("The period ends before it begins.")
    check_open(account, start_on)
    if not set(account.workspaces.values_list("pk", flat=True)).issuperset(workspace_ids):
        raise CannotReprice("One of these workspaces is not in the account.")
    asked = Repricing.objects.create(
        account=account,
        start_on=start_on,
        end_on=end_on,
        only_unpriced=only_unpriced,
        workspace_ids=sorted(workspace_ids),
        model_ids=sorted(model_ids),
        reason=reason.strip(),
        requested_by=by,
        requested_at=now,
    )
    note(asked, by, "Asked for a preview.")
    return asked


def apply(repricing: Repricing, *, reason: str, by: User | None, now: datetime) -> None:
    """Let the worker do what the preview showed. Raises CannotReprice."""
    reason = reason.strip()
    if not reason:
        raise CannotReprice("Say why: the reason stays with the record of what was changed.")
    check_open(Account.objects.get(pk=repricing.account_id), repricing.start_on)
    if prices_digest(repricing.account_id) != repricing.prices_digest:
        raise PricesChanged
    changes = {"reason": reason, "applied_by": by, "applied_at": now}
    begin_applying(repricing, State.PREVIEWED, changes | AT_THE_BEGINNING)
    note(repricing, by, f"Applied: {reason}")


def resume(repricing: Repricing, *, by: User | None) -> None:
    """Go on applying where it failed. Raises CannotReprice."""
    if not repricing.is_applied:
        raise CannotReprice("It was never applied. Preview it again.")
    begin_applying(repricing, State.FAILED, {"failures": 0, "error": "", "finished_at": None})
    note(repricing, by, "Resumed.")


def begin_applying(repricing: Repricing, state: str, changes: dict[str, Any]) -> None:
    """From that state to applying, if nobody else was faster. Raises CannotReprice."""
    try:
        with transaction.atomic():
            mine = Repricing.objects.filter(pk=repricing.pk, state=state)
            taken = mine.update(state=State.APPLYING, **changes)
    except IntegrityError as error:
        raise CannotReprice(
            "Another re-pricing of this account is being applied. Wait until it is done."
        ) from error
    if taken != 1:
        raise CannotReprice("It is in another state by now: look at it again.")
    repricing.refresh_from_db()


def cancel(repricing: Repricing, *, by: User | None, now: datetime) -> None:
    """Stop it; days that are applied stay applied. Raises CannotReprice where it has ended."""
    going = [State.PREVIEWING, State.PREVIEWED, State.APPLYING]
    mine = Repricing.objects.filter(pk=repricing.pk, state__in=going)
    if mine.update(state=State.CANCELLED, finished_at=now) != 1:
        raise CannotReprice("It has ended already.")
    repricing.refresh_from_db()
    note(repricing, by, "Cancelled.")


def check_open(account: Account, day: date) -> None:
    """Raises PeriodIsClosed for a day whose costs are final."""
    if account.books_closed_until and day < account.books_closed_until:
        raise PeriodIsClosed(account)


def selection_of(repricing: Repricing) -> Selection:
    workspaces = repricing.account.workspaces.values_list("pk", flat=True)
    return Selection(
        account_id=repricing.account_id,
        workspace_ids=repricing.workspace_ids or list(workspaces),
        model_ids=repricing.model_ids,
        start_on=repricing.start_on,
        end_on=repricing.end_on,
        only_unpriced=repricing.only_unpriced,
    )


def prices_digest(account_id: int) -> str:
    """Another text whenever anything that decides what the account's requests cost is another."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT md5(coalesce(string_agg(p::text || m::text, ';' ORDER BY p.id), ''))
            FROM usage_price p JOIN usage_pricedmodel m ON m.id = p.priced_model_id
            WHERE p.status = 'approved' AND (p.account_id IS NULL OR p.account_id = %s)
            """,
            [account_id],
        )
        return cursor.fetchone()[0]


def note(repricing: Repricing, by: User | None, message: str) -> None:
    """In the admin's history of who did what; commands have nobody to name there."""
    if by is not None:
        LogEntry.objects.create(
            user=by,
            content_type=ContentType.objects.get_for_model(Repricing),
            object_id=str(repricing.pk),
            object_repr=str(repricing)[:200],
            action_flag=CHANGE,
            change_message=message,
        )
