"""What a list of prices says that the price book does not say yet. Pure: rows in, rows out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from usage.models import Price

# What a price is for, beside its model and account: prices of the same terms follow each other.
TERMS = ("meter", "service_tier", "from_input_tokens")
Identity = tuple[int, int | None, str, str, int]


def identity(price: Price) -> Identity:
    """What a price is for, whenever it holds and whatever it says."""
    return (
        price.priced_model_id,
        price.account_id,
        price.meter,
        price.service_tier,
        price.from_input_tokens,
    )


def by_identity(prices: Iterable[Price]) -> dict[Identity, list[Price]]:
    """In the order in which they begin."""
    found: dict[Identity, list[Price]] = defaultdict(list)
    for price in sorted(prices, key=lambda price: price.valid_from):
        found[identity(price)].append(price)
    return found


def holding(prices: Iterable[Price], moment: datetime) -> Price | None:
    """Of prices for the same the one that counts: the newest that holds."""
    held = [price for price in prices if price.holds_at(moment)]
    return max(held, key=lambda price: price.valid_from, default=None)


def midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def free_beginning(taken: Iterable[Price], now: datetime) -> datetime:
    """Today's midnight, in UTC; now, where an approved price begins then already."""
    starts = {price.valid_from for price in taken}
    return now if midnight(now) in starts else midnight(now)


def fresh(
    listed: Sequence[Price], book: Sequence[Price], *, now: datetime
) -> tuple[list[Price], set[Price]]:
    """The listed prices that the book lacks, and the book's drafts that say them already."""
    approved = by_identity(p for p in book if p.status == Price.Status.APPROVED)
    undecided = by_identity(p for p in book if p.status != Price.Status.APPROVED)
    missing: list[Price] = []
    kept: set[Price] = set()
    for group, prices in by_identity(listed).items():
        held = approved.get(group, [])
        replaced = holding(held, now)
        for lacking in lacking_of(prices, held, now=now):
            same = [o for o in undecided.get(group, []) if says_it(o, lacking, replaced=replaced)]
            kept.update(other for other in same if other.status == Price.Status.DRAFT)
            if not same:
                missing.append(lacking)
    return missing, kept


def lacking_of(listed: Sequence[Price], held: Sequence[Price], *, now: datetime) -> Iterator[Price]:
    """Of the listed prices for the same, as drafts, those that the approved ones do not say.

    Where one begins when an approved one does and says something else, the list was changed
    without a date: the new price begins today, because what holds until now was approved.
    """
    counts, approved = holding(listed, now), holding(held, now)
    for price in listed:
        twin = next((other for other in held if other.valid_from == price.valid_from), None)
        if twin is None or (twin.valid_from > now and twin.price_of_one != price.price_of_one):
            yield price
        elif price is counts and (approved is None or approved.price_of_one != price.price_of_one):
            price.valid_from = free_beginning(held, now)
            yield price


def says_it(other: Price, price: Price, *, replaced: Price | None) -> bool:
    """Whether a draft, or one that was discarded, says the same as a price that is listed.

    A change that begins today was the same change when it was first seen, days ago.
    """
    if other.price_of_one != price.price_of_one:
        return False
    since = replaced.valid_from if replaced else price.valid_from
    return other.valid_from == price.valid_from or since < other.valid_from <= price.valid_from
