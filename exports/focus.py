"""Usage as FOCUS 1.2 has it, the FinOps Open Cost and Usage Specification: all of its columns.

A row is a day, workspace, project, API key, model and meter. Rows come from the report of these,
so that costs add up to the report's to the last digit. A report knows the cost of all meters
together; it is shared out by what each would cost at the rate that holds, and what rounding leaves
goes to the greatest. Where a tier, a batch or a further meter was charged otherwise, the costs are
right and the unit prices are those of the standard rate.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from accounts.access import Reach
from accounts.models import Account
from exports.datasets import report_rows
from exports.snapshot import Snapshot
from exports.tables import Fetched, Table
from usage.pricing.ratecard import ATTO, Rate, RateCard, rate_card
from usage.reports import question
from usage.reports.question import BadQuestion, Parameters, Question
from usage.reports.run import Column, columns_of

MILLION = 1_000_000
# Costs are whole multiples of this, as they are stored.
PLACES = 10

METRICS = (
    "requests,uncached_input_tokens,cache_read_tokens,cache_write_tokens,cache_write_1h_tokens,"
    "output_tokens,cost,unpriced_requests,ceiling_cost"
)
GROUPS = "workspace,project,client,api_key,model,provider"

# Meter -> what a bill calls it, and how many of it a row of the report has.
METERS: dict[str, tuple[str, Callable[[dict[str, Any]], int]]] = {
    "input": ("Input Tokens", lambda row: row["uncached_input_tokens"]),
    "cache_read": ("Cached Input Tokens", lambda row: row["cache_read_tokens"]),
    "cache_write_5m": (
        "Cache Write Tokens",
        lambda row: row["cache_write_tokens"] - row["cache_write_1h_tokens"],
    ),
    "cache_write_1h": ("Cache Write Tokens (1 hour)", lambda row: row["cache_write_1h_tokens"]),
    "output": ("Output Tokens", lambda row: row["output_tokens"]),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A meter's part of a row of the report; rates in attodollars for one unit, None: unknown."""

    meter: str
    title: str
    quantity: int
    contracted: Rate | None
    listed: Rate | None

    @property
    def weight(self) -> int:
        return self.quantity * (self.contracted.atto_per_unit if self.contracted else 0)


@dataclass(frozen=True, slots=True)
class Charge:
    """All that a row of the file is made of."""

    row: dict[str, Any]
    part: Part
    cost: Decimal
    is_first: bool
    account: Account


def per_million(rate: Rate | None) -> Decimal:
    return Decimal(rate.atto_per_unit * MILLION) / ATTO if rate else Decimal(0)


def at_rate(part: Part, rate: Rate | None, cost: Decimal) -> Decimal:
    """What the units cost at the rate; where none is known, what they did cost."""
    return Decimal(part.quantity * rate.atto_per_unit) / ATTO if rate else cost


def in_pricing_units(part: Part) -> Decimal:
    return Decimal(part.quantity) / (1 if part.meter == "request" else MILLION)


def moment(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(day: date) -> date:
    return month_of(month_of(day) + timedelta(32))


def provider(charge: Charge) -> str:
    return charge.row["provider"] or "unknown"


def sku(charge: Charge) -> str:
    return f"{provider(charge)}/{charge.row['model']}"


def price_id(charge: Charge) -> str:
    rate = charge.part.contracted
    return f"price-{rate.price_id}" if rate else f"{sku(charge)}/{charge.part.meter}"


def tags(charge: Charge) -> str:
    found = {"project": charge.row["project"], "client": charge.row["client"]}
    return json.dumps({name: value for name, value in found.items() if value is not None})


def once(name: str) -> Callable[[Charge], Any]:
    """Figures of a row of the report stand in the first of its meters, so that they add up."""
    return lambda charge: charge.row[name] or 0 if charge.is_first else 0


def nothing(charge: Charge) -> None:
    return None


def always(value: Any) -> Callable[[Charge], Any]:
    return lambda charge: value


def of(name: str) -> Callable[[Charge], Any]:
    return lambda charge: charge.row[name]


Maker = Callable[[Charge], Any]
# Column -> its type, and how it is made. In the specification's own order.
COLUMNS: dict[str, tuple[str, Maker]] = {
    "AvailabilityZone": ("string", nothing),
    "BilledCost": ("cost", lambda c: c.cost),
    "BillingAccountId": ("string", lambda c: c.account.slug),
    "BillingAccountName": ("string", lambda c: c.account.name),
    "BillingAccountType": ("string", always("Organization")),
    "BillingCurrency": ("string", lambda c: c.account.currency),
    "BillingPeriodEnd": ("datetime", lambda c: moment(next_month(c.row["day"]))),
    "BillingPeriodStart": ("datetime", lambda c: moment(month_of(c.row["day"]))),
    "CapacityReservationId": ("string", nothing),
    "CapacityReservationStatus": ("string", nothing),
    "ChargeCategory": ("string", always("Usage")),
    "ChargeClass": ("string", nothing),
    "ChargeDescription": ("string", lambda c: f"{c.part.title} of {c.row['model']}"),
    "ChargeFrequency": ("string", always("Usage-Based")),
    "ChargePeriodEnd": ("datetime", lambda c: moment(c.row["day"] + timedelta(1))),
    "ChargePeriodStart": ("datetime", lambda c: moment(c.row["day"])),
    "CommitmentDiscountCategory": ("string", nothing),
    "CommitmentDiscountId": ("string", nothing),
    "CommitmentDiscountName": ("string", nothing),
    "CommitmentDiscountQuantity": ("pointed", nothing),
    "CommitmentDiscountStatus": ("string", nothing),
    "CommitmentDiscountType": ("string", nothing),
    "CommitmentDiscountUnit": ("string", nothing),
    "ConsumedQuantity": ("pointed", lambda c: Decimal(c.part.quantity)),
    "ConsumedUnit": (
        "string",
        lambda c: "Requests" if c.part.meter == "request" else "Tokens",
    ),
    "ContractedCost": ("cost", lambda c: at_rate(c.part, c.part.contracted, c.cost)),
    "ContractedUnitPrice": ("pointed", lambda c: per_million(c.part.contracted)),
    "EffectiveCost": ("cost", lambda c: c.cost),
    "InvoiceId": ("string", nothing),
    "InvoiceIssuerName": ("string", provider),
    "ListCost": ("cost", lambda c: at_rate(c.part, c.part.listed, c.cost)),
    "ListUnitPrice": ("pointed", lambda c: per_million(c.part.listed)),
    "PricingCategory": ("string", always("Standard")),
    "PricingCurrency": ("string", lambda c: c.account.currency),
    "PricingCurrencyContractedUnitPrice": ("pointed", lambda c: per_million(c.part.contracted)),
    "PricingCurrencyEffectiveCost": ("pointed", lambda c: c.cost),
    "PricingCurrencyListUnitPrice": ("pointed", lambda c: per_million(c.part.listed)),
    "PricingQuantity": ("pointed", lambda c: in_pricing_units(c.part)),
    "PricingUnit": (
        "string",
        lambda c: "Requests" if c.part.meter == "request" else "1000000 Tokens",
    ),
    "ProviderName": ("string", provider),
    "PublisherName": ("string", provider),
    "RegionId": ("string", nothing),
    "RegionName": ("string", nothing),
    "ResourceId": ("string", of("api_key")),
    "ResourceName": ("string", of("api_key_name")),
    "ResourceType": ("string", lambda c: "API Key" if c.row["api_key"] else None),
    "ServiceCategory": ("string", always("AI and Machine Learning")),
    "ServiceName": ("string", lambda c: f"{provider(c)} API"),
    "ServiceSubcategory": ("string", always("Generative AI")),
    "SkuId": ("string", sku),
    "SkuMeter": ("string", lambda c: c.part.title),
    "SkuPriceDetails": ("object", nothing),
    "SkuPriceId": ("string", price_id),
    "SubAccountId": ("string", of("workspace")),
    "SubAccountName": ("string", of("workspace_name")),
    "SubAccountType": ("string", always("Workspace")),
    "Tags": ("object", tags),
    "x_Client": ("string", of("client_name")),
    "x_Meter": ("string", lambda c: c.part.meter),
    "x_Model": ("string", of("model")),
    "x_Project": ("string", of("project")),
    "x_ProjectName": ("string", of("project_name")),
    "x_Requests": ("integer", once("requests")),
    "x_UnpricedRequests": ("integer", once("unpriced_requests")),
    "x_CeilingCost": ("cost", once("ceiling_cost")),
}


def column(name: str, kind: str) -> Column:
    if kind == "cost":
        return Column(name, "pointed", "USD")
    return Column(name, kind, "requests" if name.startswith("x_") and kind == "integer" else None)


def open_focus(parameters: Parameters, reach: Reach, *, now: datetime) -> Table:
    """For the period and filters of a report. Raises BadQuestion."""
    asked = question.parse(in_groups(parameters), reach, now=now)
    if not asked.by_days:
        raise BadQuestion("FOCUS has a row a day: give from and to as days.")
    columns = [column(name, kind) for name, (kind, _) in COLUMNS.items()]
    rows = Fetched(lambda frozen: focus_rows(frozen, asked))
    return Table("focus", asked.reach, asked.start, asked.end, columns, rows, asked.as_dict())


def in_groups(parameters: Parameters) -> Any:
    from exports.catalogue import as_query

    query = as_query(parameters)
    query["group_by"], query["metrics"], query["granularity"] = GROUPS, METRICS, "day"
    query["order"] = "day,workspace,project,api_key,model"
    return query


def focus_rows(frozen: Snapshot, asked: Question) -> Iterator[list[Any]]:
    report = columns_of(asked)
    names = [c.name for c in report]
    accounts = {workspace.pk: workspace.account for workspace in asked.reach.workspaces}
    card = rate_card()
    for values in report_rows(frozen, asked, report):
        row: dict[str, Any] = dict(zip(names, values, strict=True))
        account = accounts[row["workspace_id"]]
        for charge in charges_of(row, account, card):
            yield [value_of(kind, make(charge)) for kind, make in COLUMNS.values()]


def value_of(kind: str, value: Any) -> Any:
    return pointed(Decimal(value)) if kind in ("cost", "pointed") and value is not None else value


def pointed(value: Decimal) -> str:
    """Plain digits with a point, so that no reader takes the column for whole numbers."""
    text = f"{value:f}"
    text = text.rstrip("0") if "." in text else f"{text}."
    return f"{text}0" if text.endswith(".") else text


def charges_of(row: dict[str, Any], account: Account, card: RateCard) -> Iterator[Charge]:
    parts = parts_of(row, account, card)
    cost = row["cost"] or Decimal(0)
    if not parts:
        if not cost and not row["unpriced_requests"]:
            return  # nothing was used and nothing is owed, such as by refused requests
        parts = [Part("request", "Requests", row["requests"], None, None)]
    costs = shared_out(cost, [part.weight for part in parts])
    for number, (part, share) in enumerate(zip(parts, costs, strict=True)):
        yield Charge(row, part, share, is_first=number == 0, account=account)


def parts_of(row: dict[str, Any], account: Account, card: RateCard) -> list[Part]:
    entry = card.entry(row["provider"], row["model"])
    at = datetime.combine(row["day"], time(12), tzinfo=account.zone)
    found = []
    for meter, (title, count) in METERS.items():
        if quantity := count(row):
            contracted = standard(entry.tariff(account.pk, "")[meter], at) if entry else None
            listed = standard(entry.tariff(0, "")[meter], at) if entry else None
            found.append(Part(meter, title, quantity, contracted, listed))
    return found


def standard(rates: tuple[Rate, ...], at: datetime) -> Rate | None:
    """The rate of requests that are in no tier."""
    return next((rate for rate in rates if rate.fits(0, at)), None)


def shared_out(cost: Decimal, weights: list[int]) -> list[Decimal]:
    """The cost in proportion to the weights, to the last digit: what is left goes to the most."""
    units = int(cost.scaleb(PLACES))
    whole = sum(weights)
    if not whole:
        weights, whole = [1] + [0] * (len(weights) - 1), 1
    shares = [units * weight // whole for weight in weights]
    shares[max(range(len(weights)), key=weights.__getitem__)] += units - sum(shares)
    return [Decimal(share).scaleb(-PLACES) for share in shares]
