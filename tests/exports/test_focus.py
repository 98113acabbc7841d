"""FOCUS 1.2: every column, the rules of the mandatory ones, and the report's total."""

import csv
import io
import json
import re
from decimal import Decimal

import pytest

from exports.focus import COLUMNS, shared_out
from tests.exports.test_datasets import ask
from tests.factories import native, post

PERIOD = {"from": "2026-11-01", "to": "2026-12-01"}
DECIMAL = re.compile(r"-?\d+\.\d+")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT00:00:00Z")

SPECIFIED = """
    AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType
    BillingCurrency BillingPeriodEnd BillingPeriodStart CapacityReservationId
    CapacityReservationStatus ChargeCategory ChargeClass ChargeDescription ChargeFrequency
    ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId
    CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountStatus
    CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedCost
    ContractedUnitPrice EffectiveCost InvoiceId InvoiceIssuerName ListCost ListUnitPrice
    PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice
    PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice PricingQuantity PricingUnit
    ProviderName PublisherName RegionId RegionName ResourceId ResourceName ResourceType
    ServiceCategory ServiceName ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId
    SubAccountId SubAccountName SubAccountType Tags
"""


@pytest.fixture
def rows(requests, acme, downloads):
    post(acme, native(request_id="e", workspace="research", project="apollo", api_key="key-1",
                      input_tokens=3000, cache_read_tokens=1000, cache_write_tokens=7))  # fmt: skip
    text = downloads.text("focus.csv", **PERIOD)
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.django_db(transaction=True)
def test_the_mandatory_columns_keep_the_rules_of_the_specification(rows):
    assert len(rows) > 6
    for row in rows:
        for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
            assert DECIMAL.fullmatch(row[name]), (name, row[name])
        for name in (
            "BillingPeriodStart",
            "BillingPeriodEnd",
            "ChargePeriodStart",
            "ChargePeriodEnd",
        ):
            assert MOMENT.fullmatch(row[name]), (name, row[name])
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert (row["BillingAccountId"], row["BillingAccountName"]) == ("acme", "Acme")
        assert (row["BillingCurrency"], row["ChargeCategory"], row["ChargeClass"]) == (
            *("USD", "Usage"),
            "",
        )
        for name in ("ChargeDescription", "InvoiceIssuerName", "ProviderName", "PublisherName"):
            assert row[name]
        assert (row["ServiceCategory"], row["ServiceSubcategory"]) == (
            *("AI and Machine Learning",),
            "Generative AI",
        )
        assert (row["PricingUnit"], row["ConsumedUnit"]) == ("1000000 Tokens", "Tokens")
        assert row["ServiceName"]
        quantity = Decimal(row["PricingQuantity"])
        assert quantity * 1_000_000 == Decimal(row["ConsumedQuantity"])
        for cost, price in (
            ("ListCost", "ListUnitPrice"),
            ("ContractedCost", "ContractedUnitPrice"),
        ):
            assert Decimal(row[price]) * quantity == Decimal(row[cost]), row


@pytest.mark.django_db(transaction=True)
def test_costs_add_up_to_the_report(rows, research):
    totals = ask(research, metrics="cost,ceiling_cost,requests,unpriced_requests").totals

    assert sum(Decimal(row["BilledCost"]) for row in rows) == totals["cost"]
    assert sum(Decimal(row["x_CeilingCost"]) for row in rows) == totals["ceiling_cost"]
    assert sum(int(row["x_Requests"]) for row in rows) == totals["requests"]
    assert sum(int(row["x_UnpricedRequests"]) for row in rows) == totals["unpriced_requests"]


@pytest.mark.django_db(transaction=True)
def test_a_row_is_a_meter_of_a_key_and_project(rows):
    mine = {row["x_Meter"]: row for row in rows if row["ResourceId"] == "key-1"}

    assert set(mine) == {"input", "cache_read", "cache_write_5m", "output"}
    assert mine["cache_read"]["ConsumedQuantity"] == "1000.0"
    assert mine["cache_read"]["ListUnitPrice"] == "1.25"
    assert mine["cache_read"]["BilledCost"] == "0.00125"
    assert json.loads(mine["input"]["Tags"]) == {"project": "apollo"}
    assert (mine["input"]["SubAccountId"], mine["input"]["ResourceType"]) == ("research", "API Key")


def test_all_57_columns_are_there_in_order_and_further_ones_are_marked():
    names = list(COLUMNS)

    assert (names[:57], len(names[:57])) == (SPECIFIED.split(), 57)
    assert all(name.startswith("x_") for name in names[57:])


@pytest.mark.parametrize("weights", [[1, 1, 1], [0, 0], [5], [10**20, 1, 3]])
def test_what_is_shared_out_adds_up(weights):
    shares = shared_out(Decimal("0.0123456789"), weights)

    assert sum(shares) == Decimal("0.0123456789")
    assert min(shares) >= 0
