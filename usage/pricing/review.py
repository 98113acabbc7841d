"""From drafts to prices that count: what each would change, approval and discarding.

Prices follow each other: of those for the same, the newest that holds at a moment counts. So an
earlier one may stay open; it is ended where a newer one takes over for good, which changes no
bill and lets people read when it held.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from accounts import versions
from usage.models import Price
from usage.pricing.changes import by_identity, free_beginning, holding, identity
from usage.pricing.ratecard import PRICES_VERSION

# A clause over `usage_price p`; an account's ids are compared with the list's null too.
RELATED = """
SELECT p.* FROM usage_price p
JOIN unnest(%s::bigint[], %s::bigint[]) AS n(priced_model_id, account_id)
    ON n.priced_model_id = p.priced_model_id AND n.account_id IS NOT DISTINCT FROM p.account_id
WHERE p.status = 'approved'
"""
RESCHEDULE = """
UPDATE usage_price p SET valid_from = n.valid_from, valid_to = n.valid_to
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS n(id, valid_from, valid_to)
WHERE p.id = n.id
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A draft beside what counts at its beginning.

    `before` is the approved price for the same; of a contract rate that replaces none, the list
    price that it undercuts. `twin` is the approved price that begins at the same moment.
    """

    draft: Price
    before: Price | None = None
    twin: Price | None = None
    twin_has_begun: bool = False

    @property
    def kind(self) -> str:
        """new, dearer, cheaper, ends (the same price, ended) or same."""
        if self.before is None:
            return "new"
        old, new = self.before.price_of_one, self.draft.price_of_one
        if old == new:
            return "ends" if self.twin and shortens(self.draft, self.twin) else "same"
        return "dearer" if new > old else "cheaper"

    @property
    def ratio(self) -> Decimal | None:
        """How much dearer as a part of the old price; none where that was nothing."""
        if self.before is None or not self.before.unit_price:
            return None
        return self.draft.price_of_one / self.before.price_of_one - 1

    @property
    def size(self) -> Decimal | None:
        """The change without its direction."""
        return None if self.ratio is None else abs(self.ratio)

    @property
    def is_clashing(self) -> bool:
        """Whether it cannot be approved as it is, since another price began when it does."""
        return self.twin_has_begun and self.kind in ("dearer", "cheaper")

    @property
    def undercuts_list(self) -> bool:
        return self.before is not None and self.before.account_id != self.draft.account_id


@dataclass
class Decision:
    """What approving some drafts comes to; each draft is in just one of the first three."""

    approved: list[Price] = field(default_factory=list)
    repeated: list[Price] = field(default_factory=list)  # say what is approved already; dropped
    clashing: list[Price] = field(default_factory=list)  # left as drafts
    withdrawn: list[Price] = field(default_factory=list)  # approved, not begun, replaced
    rescheduled: dict[int, Price] = field(default_factory=dict)

    @property
    def ended(self) -> list[Price]:
        """Prices that counted before, and now have an end or an earlier one."""
        drafts = {price.pk for price in self.approved}
        return [price for pk, price in self.rescheduled.items() if pk not in drafts]


def changes_of(drafts: Iterable[Price], *, now: datetime) -> list[Change]:
    """Each draft beside what it would replace: two queries, however many drafts."""
    drafts = list(drafts)
    approved = by_identity(approved_beside(drafts, also_list=True))
    return [change_of(draft, approved, now=now) for draft in drafts]


def change_of(draft: Price, approved: dict[Any, list[Price]], *, now: datetime) -> Change:
    own = approved.get(identity(draft), [])
    model, _, *terms = identity(draft)
    listed = approved.get((model, None, *terms), []) if draft.account_id else []
    twin = next((price for price in own if price.valid_from == draft.valid_from), None)
    return Change(
        draft,
        before=holding(own, draft.valid_from) or holding(listed, draft.valid_from),
        twin=twin,
        twin_has_begun=twin is not None and twin.valid_from <= now,
    )


def approved_beside(drafts: Iterable[Price], *, also_list: bool = False) -> list[Price]:
    """The approved prices of the drafts' models, for the drafts' accounts."""
    pairs = {(draft.priced_model_id, draft.account_id) for draft in drafts}
    if also_list:
        pairs |= {(model, None) for model, _ in pairs}
    models, accounts = [model for model, _ in pairs], [account for _, account in pairs]
    return list(Price.objects.raw(RELATED, [models, accounts]))


@transaction.atomic
def approve(ids: Iterable[int], *, now: datetime, from_today: bool = False) -> Decision:
    """Make the drafts among these prices count, in every process within a second.

    A draft that begins when an approved price for the same begins stays a draft, unless that price
    has not begun yet, which is then withdrawn; with `from_today` the draft begins today instead.
    """
    # First: whoever approves at the same time waits here, and then sees what was approved.
    versions.bump(PRICES_VERSION)
    drafts = list(Price.objects.drafts().filter(pk__in=list(ids)).select_related("priced_model"))
    decision = decide(drafts, approved_beside(drafts), now=now, from_today=from_today)
    save(decision)
    return decision


@transaction.atomic
def discard(ids: Iterable[int]) -> list[Price]:
    """Drafts that are not wanted: kept, so that no import brings them again."""
    drafts = Price.objects.drafts().filter(pk__in=list(ids))
    found = list(drafts.select_for_update())
    drafts.update(status=Price.Status.DISCARDED)
    return found


def decide(
    drafts: Iterable[Price], approved: Iterable[Price], *, now: datetime, from_today: bool
) -> Decision:
    """Pure, but that it sets the beginnings and ends of the prices that it is given."""
    decision = Decision()
    held = by_identity(approved)
    for group, chosen in by_identity(drafts).items():
        prices = held.get(group, [])
        for draft in chosen:
            place(draft, prices, decision, now=now, from_today=from_today)
        for price in ended(prices):
            decision.rescheduled[price.pk] = price
    return decision


def place(
    draft: Price, prices: list[Price], decision: Decision, *, now: datetime, from_today: bool
) -> None:
    """Put one draft among the prices for the same, if there is a place for it."""
    twin = next((price for price in prices if price.valid_from == draft.valid_from), None)
    if twin is not None and twin.price_of_one == draft.price_of_one:
        if shortens(draft, twin):
            twin.valid_to = draft.valid_to
            decision.rescheduled[twin.pk] = twin
        decision.repeated.append(draft)
        return
    if twin is not None and twin.valid_from > now and twin.status == Price.Status.APPROVED:
        prices.remove(twin)
        decision.withdrawn.append(twin)
    elif twin is not None:
        start = free_beginning(prices, now)
        taken = any(price.valid_from == start for price in prices)
        if taken or not from_today or (draft.valid_to is not None and draft.valid_to <= start):
            decision.clashing.append(draft)
            return
        draft.valid_from = start
        decision.rescheduled[draft.pk] = draft
    prices.append(draft)
    decision.approved.append(draft)


def shortens(draft: Price, approved: Price) -> bool:
    """Whether a draft of the same price ends it: the one way in which it is edited."""
    if draft.valid_to is None:
        return False
    return approved.valid_to is None or draft.valid_to < approved.valid_to


def ended(prices: list[Price]) -> list[Price]:
    """End each price where a newer one takes over for all that is left of it; those that it ended.

    One that only interrupts it, such as a promotion, ends nothing: afterwards the old one counts.
    """
    prices.sort(key=lambda price: price.valid_from)
    changed = []
    for index, price in enumerate(prices):
        newer = next((other for other in prices[index + 1 :] if takes_over(other, price)), None)
        if newer is not None:
            price.valid_to = newer.valid_from
            changed.append(price)
    return changed


def takes_over(newer: Price, price: Price) -> bool:
    if price.valid_to is None:
        return newer.valid_to is None
    return newer.valid_from < price.valid_to and (
        newer.valid_to is None or newer.valid_to >= price.valid_to
    )


def save(decision: Decision) -> None:
    """The withdrawn first: only one approved price for the same may begin at a moment."""
    withdrawn, repeated, approved = (
        [price.pk for price in prices]
        for prices in (decision.withdrawn, decision.repeated, decision.approved)
    )
    Price.objects.filter(pk__in=withdrawn).update(status=Price.Status.DISCARDED)
    Price.objects.filter(pk__in=repeated).delete()
    reschedule(decision.rescheduled.values())
    Price.objects.filter(pk__in=approved).update(status=Price.Status.APPROVED)


def reschedule(prices: Iterable[Price]) -> None:
    """Store the beginnings and ends of many prices in one statement."""
    rows = [(price.pk, price.valid_from, price.valid_to) for price in prices]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(RESCHEDULE, [list(column) for column in zip(*rows, strict=True)])


@transaction.atomic
def end(ids: Iterable[int], *, now: datetime) -> list[Price]:
    """End approved prices that still hold: from now on they count for nothing."""
    versions.bump(PRICES_VERSION)
    begun = Price.objects.approved().filter(pk__in=list(ids), valid_from__lt=now)
    found = list(begun.exclude(valid_to__lte=now))
    Price.objects.filter(pk__in=[price.pk for price in found]).update(valid_to=now)
    return found
