"""Bills: what a request costs, with the arithmetic written out."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, make_price, package_card, unsaved_model
from usage.models import PricedModel
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


SONNET = "claude-sonnet-4-5"

# provider, model, service tier, quantities -> $ per million (or each) times quantity, added up
GOLDEN = [
    # Anthropic: 3 in, 0.30 read, 3.75 and 6 written, 15 out, $10 a thousand searches
    ("anthropic", SONNET, None, in_and_out(1000, 100), (1000 * 3 + 100 * 15) / MILLION),
    ("anthropic", SONNET, None, {"cache_read": 5000}, 5000 * Decimal("0.3") / MILLION),
    ("anthropic", SONNET, None, {"cache_write_5m": 1500}, 1500 * Decimal("3.75") / MILLION),
    ("anthropic", SONNET, None, {"cache_write_1h": 500}, 500 * 6 / MILLION),
    ("anthropic", SONNET, None, {"output": 1, "web_search": 3}, 15 / MILLION + 3 * Decimal("0.01")),
    (
        "anthropic",
        SONNET,
        None,
        {
            "input": 100,
            "cache_read": 5000,
            "cache_write_5m": 1500,
            "cache_write_1h": 500,
            "output": 50,
            "web_search": 2,
        },
        # 0.0003 + 0.0015 + 0.005625 + 0.003 + 0.00075 + 0.02
        Decimal("0.031175"),
    ),
    ("anthropic", "claude-sonnet-4-5-20250929", None, in_and_out(10, 0), 10 * 3 / MILLION),
    ("anthropic", "claude-opus-4-5", None, in_and_out(10, 10), (10 * 5 + 10 * 25) / MILLION),
    # Above 200,000 tokens of input, caches included, the whole request costs more
    ("anthropic", SONNET, None, in_and_out(200_000, 10), (200_000 * 3 + 10 * 15) / MILLION),
    (
        "anthropic",
        SONNET,
        None,
        in_and_out(200_001, 10),
        (200_001 * 6 + 10 * Decimal("22.5")) / MILLION,
    ),
    (
        "anthropic",
        SONNET,
        None,
        {"input": 1, "cache_read": 200_000},
        (6 + 200_000 * Decimal("0.6")) / MILLION,
    ),
    ("anthropic", SONNET, "batch", in_and_out(1000, 100), (1000 * 3 + 100 * 15) / MILLION / 2),
    ("anthropic", SONNET, "batch", {"input": 1, "web_search": 1}, Decimal("0.0100015")),
    # OpenAI: 2.50 in, 1.25 read, 10 out; nothing is charged for writing
    ("openai", "gpt-4o", None, in_and_out(1000, 100), (1000 * Decimal("2.5") + 100 * 10) / MILLION),
    ("openai", "gpt-4o", None, {"cache_read": 1000}, 1000 * Decimal("1.25") / MILLION),
    ("openai", "gpt-4o", None, {"cache_write_5m": 1000}, 1000 * Decimal("2.5") / MILLION),
    ("openai", "gpt-4o", None, {"cache_write_1h": 1000}, 1000 * Decimal("2.5") / MILLION),
    ("openai", "gpt-4o", "default", in_and_out(1000, 0), 1000 * Decimal("2.5") / MILLION),
    ("openai", "gpt-4o", "batch", in_and_out(1000, 100), (1250 + 500) / MILLION),
    ("openai", "gpt-4o", "priority", in_and_out(1000, 100), (4250 + 1700) / MILLION),
    ("openai", "gpt-4o", "fast", in_and_out(1000, 100), (4250 + 1700) / MILLION),
    ("openai", "gpt-5", "flex", in_and_out(1000, 100), (625 + 500) / MILLION),
    ("openai", "gpt-5", "Priority", in_and_out(1000, 100), (2500 + 2000) / MILLION),
    ("openai", "gpt-4o-mini", None, in_and_out(10, 20), Decimal("0.0000135")),
    ("openai", "text-embedding-3-small", None, {"input": 10}, Decimal("0.0000002")),
    ("openai", "text-embedding-3-large", None, {"input": 10}, Decimal("0.0000013")),
    # Reasoning is inside output and has no price of its own here
    ("openai", "gpt-5", None, {"output": 300, "reasoning": 200}, 300 * 10 / MILLION),
    # Google: audio beside text, a price of its own
    (
        "google",
        "gemini-2.5-flash",
        None,
        {"input": 100, "input_audio": 50},
        (100 * Decimal("0.3") + 50 * 1) / MILLION,
    ),
    ("vertex_ai", "gemini-2.5-pro", None, in_and_out(200_000, 0), Decimal("0.25")),
    ("vertex_ai", "gemini-2.5-pro", None, in_and_out(200_001, 0), Decimal("0.5000025")),
    ("google", "claude-haiku-4-5@20251001", None, in_and_out(10, 10), (10 + 50) / MILLION),
    # Bedrock, by the name of its region and without it
    (
        "bedrock",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        None,
        in_and_out(100, 10),
        (100 + 50) / MILLION,
    ),
    # Azure sells OpenAI's models at OpenAI's prices
    ("azure", "gpt-4o", None, in_and_out(1000, 0), 1000 * Decimal("2.5") / MILLION),
    ("mistral", "mistral-large-2512", None, in_and_out(2, 2), (1 + 3) / MILLION),
    ("xai", "grok-4-0709", None, in_and_out(1000, 1000), (3000 + 15_000) / MILLION),
]


@pytest.mark.parametrize(
    ("provider", "model", "tier", "quantities", "cost"),
    GOLDEN,
    ids=[f"{p} {m} {t or ''} {q}" for p, m, t, q, _ in GOLDEN],
)
def test_golden_bills(provider, model, tier, quantities, cost):
    assert bill(quantities, provider=provider, model=model, tier=tier) == cost


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
