"""The rules by which a rate is found; whole bills are in golden_bills.txt."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, make_price, package_card, unsaved_model
from usage.models import PricedModel
from usage.pricing import ratecard
from usage.pricing.ratecard import (
    RateCard,
    Unpriced,
    compile_rate_card,
    dollars,
    normal_tier,
    stored_units,
    total_units,
)

ACME, GLOBEX = 1, 2
MILLION = Decimal(1_000_000)


def bill(
    quantities,
    *,
    card: RateCard | None = None,
    provider="openai",
    model="gpt-4o",
    tier=None,
    **more,
) -> Decimal:
    lines = (card or package_card()).bill(
        quantities,
        provider=provider,
        model=model,
        service_tier=tier,
        **{"account_id": ACME, "moment": NOW} | more,
    )
    return dollars(total_units(lines))


def in_and_out(input_tokens: int, output_tokens: int) -> dict[str, int]:
    return {"input": input_tokens, "output": output_tokens}


def test_an_unknown_model_has_no_price():
    with pytest.raises(Unpriced, match="no-such-model"):
        bill({"input": 1}, model="no-such-model")


def test_a_model_of_an_unnamed_provider_has_no_price():
    with pytest.raises(Unpriced):
        bill({"input": 1}, provider=None)


def test_another_providers_price_is_not_taken():
    with pytest.raises(Unpriced):
        bill({"input": 1}, provider="a-reseller")


def test_a_quantity_without_a_price_leaves_the_whole_request_unpriced():
    with pytest.raises(Unpriced, match="output of the model text-embedding-3-small"):
        bill(in_and_out(1000, 1), model="text-embedding-3-small")


def test_a_meter_falls_back_along_its_chain():
    card = compile_rate_card([make_price("input", "2")])

    assert bill({"cache_write_1h": MILLION.__int__()}, card=card) == 2


def test_cached_audio_takes_the_price_of_audio_rather_than_that_of_text():
    card = compile_rate_card([make_price("input", "2"), make_price("input_audio", "32")])

    assert bill({"cache_read_audio": 1_000_000}, card=card) == 32


def test_cached_audio_takes_the_price_of_what_is_cached_where_there_is_one():
    card = compile_rate_card([make_price("input_audio", "32"), make_price("cache_read", "1")])

    assert bill({"cache_read_audio": 1_000_000}, card=card) == 1


def test_a_meter_takes_the_nearest_price_of_its_chain():
    card = compile_rate_card([make_price("input", "2"), make_price("cache_write_5m", "3")])

    assert bill({"cache_write_1h": 1_000_000}, card=card) == 3


def test_a_request_is_charged_only_where_requests_have_a_price():
    token = make_price("input", "1")

    assert bill({"input": 1_000_000, "request": 1}, card=compile_rate_card([token])) == 1
    card = compile_rate_card([token, make_price("request", "5", per=1000)])
    assert bill({"input": 1_000_000, "request": 1}, card=card) == Decimal("1.005")


def test_reasoning_with_a_price_of_its_own_is_not_charged_as_output_too():
    card = compile_rate_card([make_price("output", "10"), make_price("reasoning", "30")])

    # 100 of 300 tokens at $10, 200 at $30 a million
    assert bill({"output": 300, "reasoning": 200}, card=card) == Decimal("0.007")


def test_a_contract_rate_overrides_the_list_for_its_account_only():
    card = compile_rate_card([make_price("input", "2"), make_price("input", "1", account_id=ACME)])

    assert bill({"input": 1_000_000}, card=card) == 1
    assert bill({"input": 1_000_000}, card=card, account_id=GLOBEX) == 2


def test_a_contract_rate_leaves_the_other_meters_to_the_list():
    card = compile_rate_card([make_price("output", "8"), make_price("input", "1", account_id=ACME)])

    assert bill(in_and_out(1_000_000, 1_000_000), card=card) == 9


def test_the_standard_rate_holds_where_the_service_tier_has_none():
    card = compile_rate_card([make_price("input", "2"), make_price("output", "4"),
                              make_price("output", "3", service_tier="batch")])  # fmt: skip

    assert bill(in_and_out(1_000_000, 1_000_000), card=card, tier="batch") == 2 + 3


def test_a_price_holds_from_its_first_moment_to_before_its_last():
    start, end = NOW, NOW + timedelta(days=1)
    card = compile_rate_card([make_price("input", "2", valid_from=start, valid_to=end)])

    assert bill({"input": 1_000_000}, card=card, moment=start) == 2
    assert bill({"input": 1_000_000}, card=card, moment=end - timedelta.resolution) == 2
    for outside in (start - timedelta.resolution, end):
        with pytest.raises(Unpriced):
            bill({"input": 1}, card=card, moment=outside)


def test_of_prices_that_hold_the_newest_counts():
    card = compile_rate_card([make_price("input", "2"), make_price("input", "3", valid_from=NOW)])

    assert bill({"input": 1_000_000}, card=card, moment=NOW - timedelta.resolution) == 2
    assert bill({"input": 1_000_000}, card=card, moment=NOW) == 3


def test_the_highest_threshold_that_is_exceeded_counts():
    card = compile_rate_card(
        [
            make_price("input", str(price), from_input_tokens=n)
            for n, price in ((0, 1), (10, 2), (20, 3))
        ]
    )
    cost_of_a_token = {n: bill({"input": n}, card=card) * 1_000_000 / n for n in (10, 11, 20, 21)}

    assert cost_of_a_token == {10: 1, 11: 2, 20: 2, 21: 3}


def test_output_does_not_count_towards_a_threshold():
    card = compile_rate_card(
        [make_price("output", "1"), make_price("output", "2", from_input_tokens=10)]
    )

    assert bill(in_and_out(0, 1_000_000), card=card) == 1


def test_images_and_audio_count_towards_a_threshold():
    card = compile_rate_card(
        [make_price("input", "1"), make_price("input", "2", from_input_tokens=10)]
    )

    assert bill({"input_audio": 6, "input_image": 5}, card=card) == Decimal("0.000022")


@pytest.mark.parametrize(
    ("atto", "units"),
    [(0, 0), (49_999_999, 0), (50_000_000, 1), (149_999_999, 1), (150_000_000, 2)],
)
def test_a_cost_is_rounded_half_up_at_ten_places(atto, units):
    assert stored_units(atto) == units


def test_a_bill_is_rounded_once_and_not_line_by_line():
    # Two lines of half a stored unit each: one unit together, two if each were rounded.
    card = compile_rate_card([make_price("input", "0.00005"), make_price("output", "0.00005")])

    assert bill(in_and_out(1, 1), card=card) == Decimal("0.0000000001")


def test_sums_of_thousand_millions_are_exact():
    card = compile_rate_card([make_price("input", "0.000000000001", per=1)])

    assert bill({"input": 2_000_000_000}, card=card) == Decimal("0.002")


@pytest.mark.parametrize("tier", ["", None, "default", "standard", "AUTO", "on_demand"])
def test_the_standard_tier_has_many_names(tier):
    assert normal_tier(tier) == ""


def test_the_name_as_sent_is_looked_for_before_its_shorter_spellings():
    snapshot = unsaved_model("openai", "gpt-9-2026-01-01")
    family = unsaved_model("openai", "gpt-9")
    card = compile_rate_card(
        [
            make_price("input", "2", priced_model=family),
            make_price("input", "1", priced_model=snapshot),
        ]
    )

    assert bill({"input": 1_000_000}, card=card, model="gpt-9-2026-01-01") == 1
    assert bill({"input": 1_000_000}, card=card, model="gpt-9-2026-02-02") == 2


def test_names_match_whatever_their_case():
    priced = PricedModel(pk=1, provider="openai", name="GPT", pattern="^GPT-9$")
    card = compile_rate_card([make_price("input", "1", priced_model=priced)])

    assert bill({"input": 1_000_000}, card=card, model="gpt-9") == 1
    assert bill({"input": 1_000_000}, card=card, model="Gpt-9") == 1


def test_a_line_names_the_price_that_it_was_charged_by():
    price = make_price("input", "2", id=77)

    (line,) = compile_rate_card([price]).bill(
        {"input": 5},
        provider="openai",
        model="gpt-4o",
        account_id=ACME,
        service_tier=None,
        moment=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert (line.meter, line.quantity, line.rate.price_id) == ("input", 5, 77)


def test_names_that_callers_make_up_are_not_remembered_without_end(monkeypatch):
    monkeypatch.setattr(ratecard, "MOST_FOUND", 10)
    card = compile_rate_card([make_price("input", "1")])

    for number in range(25):
        assert card.entry("openai", f"made-up-{number}") is None

    assert len(card.found) <= 10
    assert card.entry("openai", "gpt-4o") is card.entry("openai", "gpt-4o")
