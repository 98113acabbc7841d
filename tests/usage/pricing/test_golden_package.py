"""Every model of the package, priced by our rate card and by the package itself: to the last digit.

Where we have no price the package may still have one: it charges nothing for quantities that it
has no price for, and we leave such requests unpriced.
"""

from collections import Counter
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

import pytest
from genai_prices import Usage
from genai_prices.data import providers

from tests.factories import NOW, package_card
from usage.pricing.ratecard import Unpriced, dollars, total_units

# Our quantities, which count nothing twice, and the package's, where parts are inside wholes.
USAGES = {
    "plain": (
        {"input": 1000, "output": 200},
        {"input_tokens": 1000, "output_tokens": 200},
    ),
    "input only": ({"input": 12_345}, {"input_tokens": 12_345}),
    "caches": (
        {"input": 100, "cache_read": 10, "cache_write_5m": 1500, "cache_write_1h": 500,
         "output": 50},
        {"input_tokens": 2110, "cache_read_tokens": 10, "cache_write_tokens": 2000,
         "cache_write_1h_tokens": 500, "output_tokens": 50},
    ),
    "long": (
        {"input": 1, "cache_read": 300_000, "output": 7},
        {"input_tokens": 300_001, "cache_read_tokens": 300_000, "output_tokens": 7},
    ),
    "reasoning": (
        {"input": 11, "output": 500, "reasoning": 300},
        {"input_tokens": 11, "output_tokens": 500, "output_reasoning_tokens": 300},
    ),
    "audio": (
        {"input": 50, "cache_read": 9, "input_audio": 40, "cache_read_audio": 7, "output": 10,
         "output_audio": 5},
        {"input_tokens": 106, "cache_read_tokens": 16, "input_audio_tokens": 47,
         "cache_audio_read_tokens": 7, "output_tokens": 15, "output_audio_tokens": 5},
    ),
    "images": (
        {"input": 50, "input_image": 40, "cache_read_image": 7, "output": 10, "output_image": 5},
        {"input_tokens": 97, "cache_read_tokens": 7, "input_image_tokens": 47,
         "cache_image_read_tokens": 7, "output_tokens": 15, "output_image_tokens": 5},
    ),
    "video": (
        {"input": 50, "input_video": 40, "output": 10, "output_video": 5},
        {"input_tokens": 90, "input_video_tokens": 40, "output_tokens": 15,
         "output_video_tokens": 5},
    ),
    "searches": (
        {"input": 50, "output": 10, "web_search": 3, "file_search": 2},
        {"input_tokens": 50, "output_tokens": 10, "web_searches": 3, "storage_searches": 2},
    ),
}  # fmt: skip

# Our service tier, and what the package calls it.
TIERS = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "default": {"service_tier": "default"},
}
MOMENTS = [datetime(2025, 6, 1, tzinfo=UTC), datetime(2026, 10, 14, tzinfo=UTC), NOW]


def ours(provider, model, usage, *, tier=None, at=NOW) -> Decimal | None:
    try:
        lines = package_card().bill(
            USAGES[usage][0] | {"request": 1},
            provider=provider.id,
            model=model.id,
            account_id=1,
            service_tier=tier,
            moment=at,
        )
    except Unpriced:
        return None
    return dollars(total_units(lines))


def theirs(provider, model, usage, *, tier=None, at=NOW) -> Decimal:
    """Unlike theirs, our halves are rounded up."""
    price = model.calc_price(
        Usage(**USAGES[usage][1]),
        provider,
        genai_request_timestamp=at,
        price_context=TIERS.get(tier),
    )
    return price.total_price.quantize(Decimal("1e-10"), rounding=ROUND_HALF_UP)


def differences(models, **how) -> tuple[int, dict]:
    """How many were compared, and where we and the package differ."""
    found = {
        (provider.id, model.id): (ours(provider, model, **how), theirs(provider, model, **how))
        for provider, model in models
    }
    priced = {key: pair for key, pair in found.items() if pair[0] is not None}
    return len(priced), {key: pair for key, pair in priced.items() if pair[0] != pair[1]}


MODELS = [(provider, model) for provider in providers for model in provider.models]
WITH_TIERS = [(provider, model) for provider, model in MODELS if model.price_variants]
DATED = [(provider, model) for provider, model in MODELS if isinstance(model.prices, list)]


@pytest.mark.parametrize("usage", USAGES)
def test_every_model_costs_what_the_package_says(usage):
    compared, wrong = differences(MODELS, usage=usage)

    assert wrong == {}
    # Few models have a price for both kinds of searches.
    assert compared > (25 if usage == "searches" else 1900)


@pytest.mark.parametrize("usage", ["plain", "caches", "long"])
@pytest.mark.parametrize("tier", TIERS)
def test_every_service_tier_costs_what_the_package_says(tier, usage):
    compared = Counter()
    for at in MOMENTS:
        compared[tier], wrong = differences(WITH_TIERS, usage=usage, tier=tier, at=at)
        assert wrong == {}

    assert compared[tier] > 80


@pytest.mark.parametrize("at", MOMENTS, ids=str)
def test_every_dated_price_holds_when_the_package_says(at):
    compared, wrong = differences(DATED, usage="long", at=at)

    assert wrong == {}
    assert compared > 100
