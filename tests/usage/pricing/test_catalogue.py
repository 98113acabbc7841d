"""The package's price book: imported once, and priced as the package itself would."""

from collections import Counter
from datetime import UTC, time
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from genai_prices import Usage, calc_price, types
from genai_prices.data import providers

from tests.factories import NOW, package_card
from usage.models import Price, PricedModel
from usage.pricing import ratecard
from usage.pricing.catalogue import import_catalogue, pattern_of, spans_of, tier_of
from usage.pricing.ratecard import Unpriced, dollars, total_units

QUANTITIES = {"input": 1000, "output": 200, "request": 1}


def ours(provider: str, model: str) -> Decimal | None:
    try:
        lines = package_card().bill(
            QUANTITIES,
            provider=provider,
            model=model,
            account_id=1,
            service_tier=None,
            moment=NOW,
        )
    except Unpriced:
        return None
    return dollars(total_units(lines))


def theirs(provider: str, model: str) -> Decimal | None:
    usage = Usage(input_tokens=1000, output_tokens=200)
    try:
        found = calc_price(usage, model, provider_id=provider, genai_request_timestamp=NOW)
    except LookupError:
        return None
    return round(found.total_price, 10)


def test_what_has_a_price_here_has_the_packages_own_price():
    prices = {
        (p.id, m.id): (ours(p.id, m.id), theirs(p.id, m.id)) for p in providers for m in p.models
    }
    priced = {key: pair for key, pair in prices.items() if pair[0] is not None}

    assert len(priced) > 1900
    assert {key: pair for key, pair in priced.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-reasoner", "deepseek-flash"])
def test_a_price_that_depends_on_the_hour_is_unknown_rather_than_half_wrong(model):
    assert ours("deepseek", model) is None


@pytest.mark.django_db
def test_importing_twice_changes_nothing():
    first = import_catalogue(status=Price.Status.APPROVED)
    models, prices = set(PricedModel.objects.values_list()), set(Price.objects.values_list())

    again = import_catalogue(status=Price.Status.APPROVED)

    assert first["models"] > 2000
    assert (again["models"], again["prices"]) == (0, 0)
    assert set(PricedModel.objects.values_list()) == models
    assert set(Price.objects.values_list()) == prices


@pytest.mark.django_db
def test_imported_drafts_price_nothing_until_they_are_approved():
    call_command("import_prices", stdout=StringIO())

    assert ratecard.rate_card().entry("openai", "gpt-4o") is None
    Price.objects.update(status=Price.Status.APPROVED)
    ratecard.forget()
    assert ratecard.rate_card().entry("openai", "gpt-4o") is not None


@pytest.mark.django_db
def test_the_saved_price_book_says_what_the_package_says():
    import_catalogue(status=Price.Status.APPROVED)

    cost = total_units(
        ratecard.rate_card().bill(
            QUANTITIES,
            provider="anthropic",
            model="claude-sonnet-4-5",
            account_id=1,
            service_tier=None,
            moment=NOW,
        )
    )

    assert dollars(cost) == Decimal("0.006")


def test_no_price_of_a_model_comes_twice():
    seen = Counter(
        (entry_id, key, meter, rate.from_input_tokens, rate.valid_from)
        for entry_id, entry in enumerate(
            entry for entries in package_card().by_provider.values() for entry in entries
        )
        for key, meters in entry.rates.items()
        for meter, rates in meters.items()
        for rate in rates
    )

    assert seen.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("clause", "matches", "misses"),
    [
        (types.ClauseEquals("a.b"), ["a.b"], ["axb", "a.bc"]),
        (types.ClauseStartsWith("a+"), ["a+b"], ["aab", "ba+"]),
        (types.ClauseEndsWith("b"), ["ab"], ["ba"]),
        (types.ClauseContains("b"), ["abc"], ["ac"]),
        (types.ClauseRegex("a[0-9]"), ["xa1"], ["ax"]),
        (types.ClauseOr([types.ClauseEquals("a"), types.ClauseEquals("b")]), ["a", "b"], ["ab"]),
        (types.ClauseAnd([types.ClauseContains("a"), types.ClauseEndsWith("b")]), ["xab"], ["ba"]),
    ],
)  # fmt: skip
def test_every_kind_of_match_becomes_a_pattern(clause, matches, misses):
    from re import search

    assert [name for name in (*matches, *misses) if search(pattern_of(clause), name)] == matches


@pytest.mark.parametrize(
    ("when", "tier"),
    [
        ({"processing": "batch"}, "batch"),
        ({"service_tier": "flex"}, "flex"),
        ({"service_tier": "default"}, None),
        ({"service_tier": "fast"}, None),
        ({"service_tier": "flex", "processing": "batch"}, None),
        ({"region": "eu"}, None),
    ],
)
def test_variants_that_are_more_than_a_tier_are_left_out(when, tier):
    assert tier_of(when) == tier


def test_a_model_whose_price_depends_on_the_hour_has_no_span():
    by_hour = types.ConditionalPrice(
        constraint=types.TimeOfDateConstraint(
            start_time=time(1, tzinfo=UTC), end_time=time(2, tzinfo=UTC)
        ),
        prices=types.ModelPrice(input_mtok=Decimal(2)),
    )
    model = types.ModelInfo(id="m", match=types.ClauseEquals("m"), prices=[by_hour])

    assert list(spans_of(model)) == []
