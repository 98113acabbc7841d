"""The queue of what waits for a price: how much, since when, and why."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.factories import (
    NOW,
    make_account,
    make_price,
    make_workspace,
    native,
    post,
    reach_of,
    save_prices,
    small_price_book,
)
from usage.models import Price
from usage.pricing.ratecard import rate_card
from usage.pricing.unpriced import Why, waiting
from usage.rollups.fold import fold_all

YESTERDAY = (NOW - timedelta(days=1)).isoformat()
LAST_YEAR = (NOW - timedelta(days=300)).isoformat()


@pytest.fixture
def account(db):
    small_price_book()
    return make_account("acme")


@pytest.fixture
def research(account):
    return make_workspace(account, "research")


@pytest.fixture
def support(account):
    return make_workspace(account, "support")


def unheard(**fields):
    return native(**{"model": "unheard-of", "workspace": "research"} | fields)


def queue(*workspaces):
    return waiting(reach_of(*workspaces), rate_card(), now=NOW)


def reason(*workspaces) -> Why:
    [one] = queue(*workspaces)
    return one.why


@pytest.mark.parametrize("folded", [False, True])
def test_the_queue_adds_up_what_waits(account, research, support, folded):
    post(
        account,
        native(workspace="research"),
        unheard(cost="0.5", occurred_at=YESTERDAY),
        unheard(workspace="support", cache_read_tokens=400),
    )
    if folded:
        fold_all()

    [one] = queue(research, support)

    assert (one.model, one.provider, one.requests) == ("unheard-of", "openai", 2)
    assert (one.input_tokens, one.output_tokens) == (2000, 200)
    # 1,000 tokens in at $15 and 100 out at $75 a million, twice
    assert (one.ceiling_cost, one.reported_cost) == (Decimal("0.045"), Decimal("0.5"))
    assert (one.first_day, one.last_day) == (date(2026, 11, 19), date(2026, 11, 20))
    assert sorted(w.name for w in one.workspaces) == ["Research", "Support"]


def test_of_a_model_with_a_price_only_what_has_none_waits(account, research):
    searched = native(workspace="research", meters={"file_search": 1}, cost="0.25")
    post(account, native(workspace="research"), searched, searched | {"request_id": "another"})
    fold_all()

    [one] = queue(research)

    assert (one.requests, one.input_tokens, one.output_tokens) == (2, 2000, 200)
    assert one.reported_cost == Decimal("0.5")


def test_the_most_requests_come_first_and_providers_stand_apart(account, research):
    post(account, unheard(), unheard(provider="azure"), unheard(provider="azure"))

    assert [(one.provider, one.requests) for one in queue(research)] == [
        ("azure", 2),
        ("openai", 1),
    ]


def test_nothing_of_other_workspaces_is_told(account, research, support):
    post(account, unheard(workspace="support"))

    assert queue(research) == []


def test_what_is_older_than_ninety_days_waits_no_more(account, research):
    post(account, unheard(occurred_at=LAST_YEAR))

    assert queue(research) == []


def test_no_model_answers_to_the_name(account, research):
    post(account, unheard())

    assert reason(research) == Why("no_model")


def test_models_with_a_like_name_are_told_of(account, research):
    post(account, unheard(model="gpt-4o-nano-x"))

    assert reason(research) == Why("no_model", has_likes=True)


def test_a_model_is_known_whose_prices_are_drafts(account, research):
    save_prices(make_price("input", "1", model="unheard-of", status=Price.Status.DRAFT))
    post(account, unheard())

    why = reason(research)

    assert (why.kind, why.priced_model.name, why.drafts) == ("no_price", "unheard-of", 1)


def test_one_meter_has_no_price(account, research):
    post(account, native(workspace="research", meters={"file_search": 2}))

    why = reason(research)

    assert (why.kind, why.meter, why.priced_model.name) == ("no_meter", "file_search", "gpt-4o")


def test_the_price_does_not_hold_for_the_time_of_the_request(account, research):
    save_prices(
        *(make_price(m, "1", model="unheard-of", valid_from=NOW) for m in ("input", "output"))
    )
    post(account, unheard(occurred_at=YESTERDAY))

    assert (reason(research).kind, reason(research).meter) == ("not_then", "input")


def test_a_price_was_approved_since(account, research):
    post(account, unheard())
    save_prices(*(make_price(m, "1", model="unheard-of") for m in ("input", "output")))

    assert reason(research).kind == "priced_since"


def test_another_accounts_contract_rate_is_no_price(account, research):
    rates = [
        make_price(meter, "1", model="unheard-of", account=make_account(slug))
        for slug, meter in (("globex", "input"), ("initech", "output"))
    ]
    post(account, unheard())
    save_prices(*rates)

    assert reason(research).kind == "no_meter"


def test_no_provider_is_named(account, research):
    post(account, unheard(provider=None))

    assert reason(research).kind == "no_provider"


def test_nobody_said_what_was_used(account, research):
    post(account, native(workspace="research", input_tokens=None, output_tokens=None))

    assert reason(research).kind == "unmeasured"


def test_longer_queues_take_no_more_queries(account, research, django_assert_num_queries):
    post(account, *(unheard(model=f"unheard-{n}", provider="nobody") for n in range(30)))
    rate_card()

    with django_assert_num_queries(4):
        assert len(queue(research)) == 30
