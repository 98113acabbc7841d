"""Approving, discarding and ending prices on somebody's behalf: done, told and written down."""

from collections.abc import Iterable

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import prefetch_related_objects
from django.http import HttpRequest
from django.utils import timezone

from usage.models import Price
from usage.pricing import review

SHOWN_PRICES = 3


def approve(request: HttpRequest, ids: Iterable[int], *, from_today: bool = False) -> None:
    """From now on these prices count; the rate card in every process hears of it."""
    decision = review.approve(ids, now=timezone.now(), from_today=from_today)
    write_down(request, decision.approved, "Approved.")
    write_down(request, decision.ended, "Ended, because a newer price takes over.")
    write_down(request, decision.withdrawn, "Withdrawn before it began.")
    if decision.approved:
        messages.success(
            request, f"{counted(decision.approved)} approved. Each counts from its beginning on."
        )
    if decision.withdrawn:
        messages.info(
            request,
            f"{counted(decision.withdrawn)} that had not begun yet withdrawn for it: "
            f"{named(decision.withdrawn)}.",
        )
    if decision.repeated:
        messages.info(
            request, f"{counted(decision.repeated)} dropped, for saying what is approved already."
        )
    if decision.clashing:
        messages.warning(
            request,
            f"{counted(decision.clashing)} left as drafts: an approved price for the same begins "
            f"at the same moment ({named(decision.clashing)}). Approve them from today, or give "
            "them a later beginning.",
        )
    if not (decision.approved or decision.repeated or decision.clashing):
        messages.info(request, "There was no draft among these.")


def discard(request: HttpRequest, ids: Iterable[int]) -> None:
    discarded = review.discard(ids)
    write_down(request, discarded, "Discarded.")
    messages.success(
        request, f"{counted(discarded)} discarded. No import brings them again as they were."
    )


def end(request: HttpRequest, ids: Iterable[int]) -> None:
    ended = review.end(ids, now=timezone.now())
    write_down(request, ended, "Ended.")
    messages.success(
        request, f"{counted(ended)} ended. Requests from now on are billed without them."
    )


def write_down(request: HttpRequest, prices: list[Price], what: str) -> None:
    """In each price's history, who did it."""
    if prices:
        prefetch_related_objects(prices, "priced_model")
        LogEntry.objects.log_actions(request.user.pk or 0, prices, CHANGE, change_message=what)


def counted(prices: list[Price]) -> str:
    return f"{len(prices):,} price{'' if len(prices) == 1 else 's'}"


def named(prices: list[Price]) -> str:
    names = [f"{price.priced_model} {price.get_meter_display()}" for price in prices]
    more = len(names) - SHOWN_PRICES
    return "; ".join(names[:SHOWN_PRICES]) + (f" and {more:,} more" if more > 0 else "")
