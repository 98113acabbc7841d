"""Reads golden_bills.txt: bills with their arithmetic written out, one paragraph each.

A bill is a name; provider (`-`: none) and model as a gateway sends them, with options as
NAME=VALUE; the quantities as the native API takes them; what is charged, line by line; the total.
Nothing here is computed by the code that the bills prove.
"""

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from tests.factories import SINCE_EVER, make_price
from usage.models import Price
from usage.pricing.meters import FURTHER_METER_NAMES

PARAGRAPHS = (Path(__file__).parent / "golden_bills.txt").read_text().split("\n\n")
CHARGE = re.compile(
    r"(?P<quantity>[\d,]+) (?P<meter>\w+) +at (?P<rate>[\d.]+) +(?P<per>a million|a thousand|each)"
    r" +(?P<amount>[\d.]+)"
)
PER = {"a million": 1_000_000, "a thousand": 1000, "each": 1}


@dataclass(frozen=True)
class Charge:
    meter: str
    quantity: int
    rate: Decimal
    per: int
    amount: Decimal


@dataclass(frozen=True)
class Bill:
    name: str
    provider: str | None
    model: str
    quantities: dict[str, int]
    charges: tuple[Charge, ...]
    total: Decimal
    options: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        return self.options.get("account", "acme")

    def request(self) -> dict[str, Any]:
        """The native request that this is the bill of."""
        meters = {n: q for n, q in self.quantities.items() if n in FURTHER_METER_NAMES}
        tokens = {n: q for n, q in self.quantities.items() if n not in meters}
        more = {name: value for name, value in self.options.items() if name != "account"}
        if "status" in more:
            more["status"] = int(more["status"])
        named = {"request_id": self.name, "provider": self.provider, "model": self.model}
        return named | tokens | more | {"meters": meters or None}

    def added_up(self) -> Decimal:
        """What the lines come to, rounded once to the ten places that are stored."""
        exact = sum((charge.amount for charge in self.charges), Decimal(0))
        return exact.quantize(Decimal("1e-10"), rounding=ROUND_HALF_UP)


def read(paragraph: str) -> Bill:
    name, who, quantities, *charges, total = [
        " ".join(line.split()) for line in paragraph.strip().splitlines()
    ]
    provider, model, *options = who.split()
    return Bill(
        name=name,
        provider=None if provider == "-" else provider,
        model=model,
        quantities={n: int(q) for q, n in (pair.split() for pair in quantities.split(", "))},
        charges=tuple(charge(line) for line in charges),
        total=Decimal(total.removeprefix("total ")),
        options=dict(option.split("=") for option in options),
    )


def charge(line: str) -> Charge:
    found = CHARGE.fullmatch(line)
    assert found, line
    return Charge(
        meter=found["meter"],
        quantity=int(found["quantity"].replace(",", "")),
        rate=Decimal(found["rate"]),
        per=PER[found["per"]],
        amount=Decimal(found["amount"]),
    )


BILLS = [read(paragraph) for paragraph in PARAGRAPHS if not paragraph.startswith("#")]


def added_prices(*, acme: int) -> list[Price]:
    """What no book has: round and tiny prices, and the contract that one account has."""

    def price(model: str, meter: str, unit_price: str, **more: Any) -> Price:
        fields = {"valid_from": SINCE_EVER} | more
        return make_price(meter, unit_price, provider="ours", model=model, **fields)

    november = {"valid_from": "2026-11-10T00:00:00Z", "valid_to": "2026-12-01T00:00:00Z"}
    return [
        price("house-model", "input", "2"),
        price("house-model", "input", "4", from_input_tokens=1000),
        price("house-model", "input", "1", service_tier="batch"),
        price("house-model", "cache_read", "0.2"),
        price("house-model", "output", "8"),
        price("house-model", "output", "4", service_tier="batch"),
        price("house-model", "character", "10", service_tier="batch"),
        price("house-model", "character", "5", service_tier="batch", account_id=acme),
        price("house-model", "input", "1.5", account_id=acme, **november),
        price("gift", "input", "0"),
        price("gift", "output", "0"),
        price("dust", "input", "0.00005"),
        price("dust", "output", "0.00005"),
        price("dust", "character", "0.000049"),
        price("studio", "image", "0.04", per=1),
        price("studio", "audio_second", "0.0001", per=1),
    ]
