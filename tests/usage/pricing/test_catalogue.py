"""The package's price book: imported once, and priced as the package itself would."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from genai_prices import Usage, calc_price, types
from genai_prices.data import providers

from tests.factories import NOW, make_price, package_card, save_prices
from usage.models import Price, PricedModel
from usage.pricing import catalogue, ratecard, review
from usage.pricing.catalogue import (
    Imported,
    import_catalogue,
    pattern_of,
    spans_of,
    tier_of,
    unlisted_prices,
)
from usage.pricing.ratecard import Unpriced, dollars, total_units

MODEL = ("pk", "provider", "name", "pattern", "context_window")
QUANTITIES = {"input": 1000, "output": 200, "request": 1}


@pytest.fixture
def small_package(monkeypatch, db):
    """The package with one model alone, so that importing it is quick."""
    [openai] = [provider for provider in providers if provider.id == "openai"]
    gpt_4o = [model for model in openai.models if model.id == "gpt-4o"]
    monkeypatch.setattr(catalogue, "providers", [replace(openai, models=gpt_4o)])
    catalogue.listed_terms.cache_clear()
    yield
    catalogue.listed_terms.cache_clear()


@pytest.fixture
def gpt_4o(small_package):
    """Its approved price of input, $2.50 since ever."""
    import_catalogue(status=Price.Status.APPROVED, now=NOW)
    return Price.objects.get(meter="input", service_tier="")


def said(price: Price, **what: str) -> None:
    """The package said something else of this price when it was imported."""
    Price.objects.filter(pk=price.pk).update(**what)


def again(status: str = Price.Status.DRAFT, *, days: int = 1) -> Imported:
    return import_catalogue(status=status, now=NOW + timedelta(days=days))


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
    first = import_catalogue(status=Price.Status.DRAFT, now=NOW)
    models, prices = set(PricedModel.objects.values_list(*MODEL)), set(Price.objects.values_list())

    again = import_catalogue(status=Price.Status.DRAFT, now=NOW + timedelta(days=40))

    assert first.models > 2000
    assert again == Imported(0, 0, 0, 0, first.left_out)
    assert set(PricedModel.objects.values_list(*MODEL)) == models
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
    import_catalogue(status=Price.Status.APPROVED, now=NOW)

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


def test_a_price_that_changed_without_a_date_becomes_a_draft_from_today(gpt_4o):
    said(gpt_4o, unit_price="3")

    done = again()

    draft = Price.objects.drafts().get()
    assert done.prices == 1
    assert (draft.priced_model, draft.meter, draft.unit_price) == (
        gpt_4o.priced_model, "input", Decimal("2.5")
    )  # fmt: skip
    assert draft.valid_from == datetime(2026, 11, 21, tzinfo=UTC)


def test_a_changed_price_becomes_one_draft_however_often_it_is_imported(gpt_4o):
    said(gpt_4o, unit_price="3")

    assert [again(days=days).prices for days in (1, 1, 2, 30)] == [1, 0, 0, 0]


def test_a_changed_price_counts_once_it_is_approved_and_is_no_news_then(gpt_4o):
    said(gpt_4o, unit_price="3")

    assert [again(Price.Status.APPROVED, days=days).prices for days in (1, 2)] == [1, 0]
    gpt_4o.refresh_from_db()
    assert gpt_4o.valid_to == datetime(2026, 11, 21, tzinfo=UTC)


def test_a_second_change_on_one_day_begins_at_its_own_moment(gpt_4o):
    said(gpt_4o, unit_price="3")
    again(Price.Status.APPROVED)
    said(Price.objects.approved().latest("valid_from"), unit_price="4")

    again(Price.Status.APPROVED)

    assert Price.objects.latest("valid_from").valid_from == NOW + timedelta(days=1)
    assert Price.objects.drafts().count() == 0


def test_a_draft_that_the_package_no_longer_says_is_superseded(gpt_4o):
    said(gpt_4o, unit_price="3")
    again()
    said(Price.objects.drafts().get(), unit_price="2.6")

    done = again(days=2)

    assert (done.prices, done.superseded) == (1, 1)
    assert Price.objects.drafts().get().unit_price == Decimal("2.5")


def test_a_draft_that_somebody_edited_is_left_alone(gpt_4o):
    save_prices(make_price("input", "9", status=Price.Status.DRAFT, source="by hand"))

    assert again().superseded == 0
    assert Price.objects.drafts().get().unit_price == 9


def test_what_was_discarded_is_not_brought_again(gpt_4o):
    said(gpt_4o, unit_price="3")
    again()
    review.discard(Price.objects.drafts().values_list("pk", flat=True))

    assert again(days=2).prices == 0
    assert again(Price.Status.APPROVED, days=3).prices == 0
    assert Price.objects.approved().latest("valid_from").unit_price != Decimal("2.5")


def test_approving_at_once_leaves_no_draft_of_earlier_imports(small_package):
    import_catalogue(status=Price.Status.DRAFT, now=NOW)
    drafts = Price.objects.drafts().count()

    again(Price.Status.APPROVED)

    assert Price.objects.drafts().count() == 0
    assert Price.objects.approved().count() == drafts


def test_prices_that_are_no_longer_listed_are_told_and_stay(gpt_4o):
    said(gpt_4o, from_input_tokens=100_000)

    done = again()

    assert (done.unlisted, done.prices) == (1, 1)
    assert [price.pk for price in unlisted_prices(now=NOW)] == [gpt_4o.pk]
    assert Price.objects.approved().filter(pk=gpt_4o.pk).exists()


def test_the_command_says_what_it_did(gpt_4o):
    said(gpt_4o, unit_price="3", from_input_tokens=100_000)
    told = StringIO()

    call_command("import_prices", stdout=told)

    assert "0 new models and 1 new draft prices." in told.getvalue()
    assert "1 approved prices are no longer listed" in told.getvalue()


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
