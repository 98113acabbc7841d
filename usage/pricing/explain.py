"""Why a request costs what it costs: its bill line by line, beside what was stored for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from usage.models import Price
from usage.pricing.meters import METERS
from usage.pricing.ratecard import RateCard, Unpriced, dollars, total_units

ATTO_PLACES = 18


@dataclass(frozen=True, slots=True)
class BillLine:
    """So many units of a meter at a price, which is a row of the price book."""

    meter: str
    unit: str
    quantity: int
    price: Price | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a stored cost is what it is.

    `verdict` is one of free, unmeasured, agrees, differs, unpriced, priced_since; the template
    words it.
    """

    verdict: str
    lines: list[BillLine]
    computed: Decimal | None
    missing: str = ""


def explain(row: Mapping[str, Any], card: RateCard) -> Explanation:
    """Bill a request of the log anew with the rates that hold for its moment."""
    quantities = quantities_of(row)
    if not any(quantities.values()):
        # What is known to have used nothing was stored with the cost 0.
        return Explanation("unmeasured" if row["cost"] is None else "free", [], Decimal(0))
    try:
        bill = card.bill(
            quantities,
            provider=row["provider"],
            model=row["model"],
            account_id=row["account_id"],
            service_tier=row["service_tier"],
            moment=row["occurred_at"],
        )
    except Unpriced as error:
        verdict = "unpriced" if row["cost"] is None else "differs"
        return Explanation(verdict, [], None, missing=str(error))
    prices = Price.objects.select_related("priced_model").in_bulk({b.rate.price_id for b in bill})
    lines = [
        BillLine(
            line.meter,
            METERS[line.meter].unit,
            line.quantity,
            prices.get(line.rate.price_id),
            Decimal(line.atto).scaleb(-ATTO_PLACES),
        )
        for line in bill
    ]
    computed = dollars(total_units(bill))
    return Explanation(verdict_of(row["cost"], computed), lines, computed)


def verdict_of(stored: Decimal | None, computed: Decimal) -> str:
    if stored is None:
        return "priced_since"
    return "agrees" if stored == computed else "differs"


def quantities_of(row: Mapping[str, Any]) -> dict[str, int]:
    """The quantities by meter of a row as lists give it; a failed request is no charged request."""
    quantities = {
        "input": (row["input_tokens"] or 0)
        - row["cache_read_tokens"]
        - row["cache_write_tokens"]
        - row["cache_write_1h_tokens"],
        "cache_read": row["cache_read_tokens"],
        "cache_write_5m": row["cache_write_tokens"],
        "cache_write_1h": row["cache_write_1h_tokens"],
        "output": row["output_tokens"] or 0,
        "reasoning": row["reasoning_tokens"],
        **(row["meters"] or {}),
    }
    if row["status"] < 400 and any(quantities.values()):
        quantities["request"] = 1
    return quantities
