"""Golden bills: what requests cost by hand, against the whole way from a posted row to its cost."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction

from tests.factories import NOW, fetch, make_account, post, save_prices
from tests.usage.pricing.golden import BILLS, Bill, Charge, added_prices
from usage.pricing import ratecard
from usage.pricing.names import canonical

NEXT_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def billed(django_db_setup, django_db_blocker):
    """Name -> (stored cost, the lines that it comes from), for every golden request."""
    ratecard.forget()
    with django_db_blocker.unblock(), transaction.atomic():
        accounts = {slug: make_account(slug) for slug in ("acme", "globex")}
        call_command("import_prices", "--approve", stdout=StringIO())
        save_prices(*added_prices(acme=accounts["acme"].pk))
        for slug, account in accounts.items():
            bills = [bill for bill in BILLS if bill.account == slug]
            found = post(account, *({"occurred_at": NOW.isoformat()} | b.request() for b in bills),
                         now=NEXT_YEAR)  # fmt: skip
            assert [row.as_dict() for row in found.rejected] == []
        stored = fetch("SELECT request_id, cost FROM usage_requestlog")
        costs = {row["request_id"]: row["cost"] for row in stored}
        lines = {bill.name: lines_of(bill, accounts[bill.account].pk) for bill in BILLS}
        transaction.set_rollback(True)
    ratecard.forget()
    return {name: (costs[name], lines[name]) for name in lines}


def lines_of(bill: Bill, account_id: int) -> list[tuple[str, int, Decimal]]:
    """(meter, quantity, dollars for a million) as the rate card charges them."""
    provider, model = canonical(bill.provider, bill.model)
    about = bill.request()
    occurred_at = datetime.fromisoformat(about.get("occurred_at", NOW.isoformat()))
    return [
        (line.meter, line.quantity, Decimal(line.rate.atto_per_unit).scaleb(-12))
        for line in ratecard.rate_card().bill(
            quantities_of(bill.charges),
            provider=provider,
            model=model,
            account_id=account_id,
            service_tier=about.get("service_tier"),
            moment=occurred_at,
        )
    ]


def quantities_of(charges: tuple[Charge, ...]) -> dict[str, int]:
    quantities = {charge.meter: charge.quantity for charge in charges}
    if "reasoning" in quantities:
        quantities["output"] += quantities["reasoning"]
    return quantities


by_name = pytest.mark.parametrize("bill", BILLS, ids=[bill.name for bill in BILLS])


def test_there_are_bills_of_every_kind():
    assert len(BILLS) == len({bill.name for bill in BILLS}) >= 120
    assert {bill.options.get("service_tier") for bill in BILLS} >= {"batch", "flex", "priority"}
    charged = {charge.meter for bill in BILLS for charge in bill.charges}
    assert charged >= {"cache_read", "cache_write_5m", "cache_write_1h", "reasoning", "web_search",
                       "input_audio", "output_audio", "output_image", "request"}  # fmt: skip


@by_name
def test_the_arithmetic_of_the_bill_is_right(bill):
    for charge in bill.charges:
        assert charge.amount * charge.per == charge.quantity * charge.rate
    assert bill.total == bill.added_up()


@by_name
@pytest.mark.django_db
def test_a_request_costs_what_its_bill_says(billed, bill):
    cost, _ = billed[bill.name]

    assert cost == bill.total


@by_name
@pytest.mark.django_db
def test_each_line_is_charged_at_the_rate_that_the_bill_names(billed, bill):
    _, lines = billed[bill.name]

    assert lines == [(c.meter, c.quantity, c.rate * 1_000_000 / c.per) for c in bill.charges]
