"""The rate card: the approved prices compiled for the hot path, and the cost of one request.

Money is counted in whole attodollars (1e-18 US dollars) while adding and rounded once, half up,
to the 1e-10 that the log stores. No float anywhere.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from accounts.versions import Versioned
from usage.models import Price
from usage.pricing.meters import CONTEXT_METERS, METERS
from usage.pricing.names import providers_to_ask, spellings
from usage.pricing.patterns import names_of

PRICES_VERSION = "prices"
ATTO = 10**18
STORED_UNIT = 10**8  # attodollars in the 1e-10 dollars that a stored cost is a multiple of

MOST_FOUND = 10_000  # names whose entry is remembered

STANDARD_TIERS = frozenset({"", "default", "standard", "auto", "on_demand"})
TIER_ALIASES = {"fast": "priority"}


@dataclass(frozen=True, slots=True)
class Rate:
    """One price, ready to multiply: attodollars for one unit."""

    price_id: int
    meter: str
    atto_per_unit: int
    from_input_tokens: int
    valid_from: datetime
    valid_to: datetime | None

    def fits(self, context_tokens: int, moment: datetime) -> bool:
        """Whether it holds at the moment, for a request with so many input tokens."""
        return (
            (self.from_input_tokens == 0 or context_tokens > self.from_input_tokens)
            and self.valid_from <= moment
            and (self.valid_to is None or moment < self.valid_to)
        )


class Line(NamedTuple):
    """One line of a bill: so many units of a meter at a rate."""

    meter: str
    quantity: int
    rate: Rate

    @property
    def atto(self) -> int:
        return self.quantity * self.rate.atto_per_unit


class Unpriced(Exception):
    """No approved price covers the request; `args[0]` says what is missing."""


# (account id or None for list prices, service tier) -> meter -> rates, the best first
Rates = dict[tuple[int | None, str], dict[str, list[Rate]]]


class Tariff(dict[str, tuple[Rate, ...]]):
    """The rates that each meter may be charged at, for one account and service tier.

    The first that fits the request counts: the meter's own before that of the meter it falls back
    on; contract before list; this service tier before standard; the price tier with the highest
    threshold first; of those the newest.
    """

    def __init__(self, rates: Rates, account_id: int, service_tier: str) -> None:
        super().__init__()
        self.rates = rates
        self.order = dict.fromkeys(
            [(account_id, service_tier), (account_id, ""), (None, service_tier), (None, "")]
        )

    def __missing__(self, meter: str) -> tuple[Rate, ...]:
        found = self[meter] = tuple(self._candidates(meter))
        return found

    def _candidates(self, meter: str) -> Iterator[Rate]:
        for name in (meter, *METERS[meter].falls_back_on):
            for key in self.order:
                yield from self.rates.get(key, {}).get(name, ())

    def charges(
        self, quantities: Mapping[str, int], moment: datetime
    ) -> list[tuple[str, int, Rate]]:
        """(meter, quantity, rate) of all that one request is charged for.

        Raises Unpriced where any quantity has no price.
        """
        context = None
        found = []
        for meter, quantity in quantities.items():
            if not quantity:
                continue
            for rate in self[meter]:
                if rate.from_input_tokens and context is None:
                    context = sum([q for name, q in quantities.items() if name in CONTEXT_METERS])
                if rate.fits(context or 0, moment):
                    found.append((meter, quantity, rate))
                    break
            else:
                if meter not in INSIDE_ANOTHER:
                    raise Unpriced(f"no price for {meter}")
        return own_part_of_output(found) if quantities.get("reasoning") else found

    def units(self, quantities: Mapping[str, int], moment: datetime) -> int:
        """The bill's total in stored units of 1e-10 dollars. Raises Unpriced."""
        charges = self.charges(quantities, moment)
        return stored_units(sum([quantity * rate.atto_per_unit for _, quantity, rate in charges]))


@dataclass
class Entry:
    """One priced model: its names and its rates."""

    pattern: re.Pattern[str]
    rates: Rates = field(default_factory=dict)
    tariffs: dict[tuple[int, str], Tariff] = field(default_factory=dict)

    def tariff(self, account_id: int, service_tier: str) -> Tariff:
        if not any((account, service_tier) in self.rates for account in (account_id, None)):
            service_tier = ""  # it has no prices here; nor is every word that is sent remembered
        key = (account_id, service_tier)
        found = self.tariffs.get(key)
        if found is None:
            found = self.tariffs[key] = Tariff(self.rates, account_id, service_tier)
        return found


@dataclass
class RateCard:
    by_provider: dict[str, list[Entry]]
    found: dict[tuple[str | None, str], Entry | None] = field(default_factory=dict)

    def entry(self, provider: str | None, model: str) -> Entry | None:
        key = (provider, model)
        try:
            return self.found[key]
        except KeyError:
            found = self._search(provider, model)
        if len(self.found) >= MOST_FOUND:  # callers choose the names that they ask about
            self.found.clear()
        self.found[key] = found
        return found

    def _search(self, provider: str | None, model: str) -> Entry | None:
        for asked in providers_to_ask(provider):
            entries = self.by_provider.get(asked, ())
            for name in spellings(model):
                for entry in entries:
                    if entry.pattern.search(name):
                        return entry
        return None

    def tariff(
        self, *, provider: str | None, model: str, account_id: int, service_tier: str | None
    ) -> Tariff | None:
        """The rates of a model, or None where it has none at all."""
        entry = self.entry(provider, model)
        if entry is None:
            return None
        return entry.tariff(account_id, normal_tier(service_tier) if service_tier else "")

    def bill(
        self, quantities: Mapping[str, int], *, model: str, moment: datetime, **about: Any
    ) -> list[Line]:
        """The lines of one request's bill; `about` is as in `tariff`. Raises Unpriced."""
        tariff = self.tariff(model=model, **about)
        if tariff is None:
            raise Unpriced(f"no price for the model {model}")
        try:
            return [Line(*charge) for charge in tariff.charges(quantities, moment)]
        except Unpriced as error:
            raise Unpriced(f"{error} of the model {model}") from None

    def units(self, quantities: Mapping[str, int], **about: Any) -> int:
        """The bill's total in stored units of 1e-10 dollars. Raises Unpriced."""
        return total_units(self.bill(quantities, **about))


# Charged only where they have a price of their own: otherwise they are in another meter, or free.
INSIDE_ANOTHER = frozenset({"reasoning", "request"})


def own_part_of_output(charges: list[tuple[str, int, Rate]]) -> list[tuple[str, int, Rate]]:
    """Where reasoning has a price of its own, output is charged without it."""
    reasoning = sum([quantity for meter, quantity, _ in charges if meter == "reasoning"])
    return [
        (meter, quantity - reasoning if meter == "output" else quantity, rate)
        for meter, quantity, rate in charges
    ]


def normal_tier(service_tier: str | None) -> str:
    tier = (service_tier or "").lower()
    return "" if tier in STANDARD_TIERS else TIER_ALIASES.get(tier, tier)


def stored_units(atto: int) -> int:
    """Attodollars as a whole number of 1e-10 dollars, half up."""
    return (atto + STORED_UNIT // 2) // STORED_UNIT


def dollars(units: int) -> Decimal:
    """A stored number of 1e-10 dollars as dollars."""
    return Decimal(units).scaleb(-10)


def total_units(lines: Iterable[Line]) -> int:
    """The bill's total in stored units of 1e-10 dollars."""
    return stored_units(sum([line.atto for line in lines]))


def compile_rate_card(prices: Iterable[Price]) -> RateCard:
    """A rate card of these prices, whose `priced_model` is loaded."""
    entries: dict[int, Entry] = {}
    by_provider: dict[str, list[Entry]] = defaultdict(list)
    for price in prices:
        model = price.priced_model
        entry = entries.get(model.pk)
        if entry is None:
            entry = entries[model.pk] = Entry(names_of(model))
            by_provider[model.provider].append(entry)
        tier = entry.rates.setdefault((price.account_id, price.service_tier), {})
        tier.setdefault(price.meter, []).append(rate_of(price))
    for entry in entries.values():
        for meters in entry.rates.values():
            for rates in meters.values():
                rates.sort(key=lambda rate: (rate.from_input_tokens, rate.valid_from), reverse=True)
    return RateCard(dict(by_provider))


def rate_of(price: Price) -> Rate:
    atto = price.unit_price * ATTO / price.per
    return Rate(
        price_id=price.pk,
        meter=price.meter,
        atto_per_unit=int(atto),
        from_input_tokens=price.from_input_tokens,
        valid_from=price.valid_from,
        valid_to=price.valid_to,
    )


def load() -> RateCard:
    prices = Price.objects.approved().select_related("priced_model").order_by("priced_model_id")
    return compile_rate_card(prices.iterator(chunk_size=5000))


_rate_card = Versioned(PRICES_VERSION, load)


def rate_card() -> RateCard:
    return _rate_card.get()


def forget() -> None:
    """Compile the card anew at the next use (tests)."""
    _rate_card.forget()
