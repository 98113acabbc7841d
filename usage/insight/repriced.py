"""What summed traffic costs on a model: exact, because a price is linear within its tier.

Prices have tiers by a request's input tokens, so requests are summed apart by the bands between
those thresholds. Within a band the sum of the bills is the bill of the sums, but for the rounding
of each request to 1e-10 dollars: the difference is at most half of that a request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from usage.pricing.ratecard import (
    INSIDE_ANOTHER,
    RateCard,
    Unpriced,
    dollars,
    normal_tier,
    own_part_of_output,
    stored_units,
)


@dataclass(frozen=True, slots=True)
class Band:
    """Sums over requests of one service tier whose input lies in one band of price tiers.

    `context_tokens` is a number of input tokens in that band.
    """

    service_tier: str
    context_tokens: int
    quantities: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Seller:
    """A model as an account would be charged for it at a moment."""

    provider: str | None
    model: str
    account_id: int
    moment: datetime


def cost_on(bands: Sequence[Band], seller: Seller, card: RateCard) -> Decimal:
    """Dollars that the traffic costs there. Raises Unpriced."""
    return dollars(stored_units(sum(atto_of(band, seller, card) for band in bands)))


def atto_of(band: Band, seller: Seller, card: RateCard) -> int:
    entry = card.entry(seller.provider, seller.model)
    if entry is None:
        raise Unpriced(f"no price for the model {seller.model}")
    tariff = entry.tariff(seller.account_id, normal_tier(band.service_tier))
    charges = []
    for meter, quantity in band.quantities.items():
        fitting = (r for r in tariff[meter] if r.fits(band.context_tokens, seller.moment))
        rate = next(fitting, None) if quantity else None
        if rate is not None:
            charges.append((meter, quantity, rate))
        elif quantity and meter not in INSIDE_ANOTHER:
            raise Unpriced(f"no price for {meter} of the model {seller.model}")
    return sum(quantity * rate.atto_per_unit for _, quantity, rate in own_part_of_output(charges))


def rate_on(meter: str, seller: Seller, card: RateCard) -> int | None:
    """Attodollars for one unit at the standard rate; None where it has no price of its own."""
    entry = card.entry(seller.provider, seller.model)
    rates = entry.tariff(seller.account_id, "")[meter] if entry else ()
    found = next((r for r in rates if r.meter == meter and r.fits(0, seller.moment)), None)
    return found.atto_per_unit if found else None
