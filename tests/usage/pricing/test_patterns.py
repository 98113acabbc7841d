import re
import time

import pytest
from django.core.exceptions import ValidationError
from genai_prices.data import providers

from tests.factories import make_price
from usage.models import PricedModel
from usage.pricing import patterns
from usage.pricing.catalogue import pattern_of
from usage.pricing.ratecard import compile_rate_card

ENDLESS = [
    "(a+)+$",
    "(a*)*b",
    "(a|a)*$",
    "(?:x?y?)*z",
    "(.*a){20}",
    "(?:[a-z]+-)*$",
    ".*a.*b.*c.*d",
    "a?" * 30 + "a" * 30,
    "(x)?(?(1)(a+)+|b)",
    "[a-z]*(?=[a-z]*[a-z]*[a-z]*!)",
]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_that_may_take_for_ever_is_refused(pattern):
    with pytest.raises(patterns.BadPattern):
        patterns.check(pattern)


@pytest.mark.parametrize("pattern", ["", "(", "[a", "*", "a" * 2_001])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(patterns.BadPattern):
        patterns.check(pattern)


def test_every_pattern_of_the_package_is_taken():
    for provider in providers:
        for model in provider.models:
            patterns.check(pattern_of(model.match))


@pytest.mark.parametrize(
    "pattern", [".*.*.*x$", "[a-z]*[a-z]*[a-z]*x$", "^(?:gpt|o)-(?:4|5)(-\\d+)?$"]
)
def test_the_worst_that_is_taken_is_soon_over(pattern):
    patterns.check(pattern)
    began = time.process_time()

    assert re.search(pattern, "a" * patterns.LONGEST_NAME) is None

    assert time.process_time() - began < 5


def test_a_model_is_not_saved_with_a_bad_pattern():
    with pytest.raises(ValidationError) as caught:
        PricedModel(provider="openai", name="x", pattern="(x+)+").clean()

    assert list(caught.value.message_dict) == ["pattern"]


def test_a_provider_goes_by_the_name_that_is_asked_for():
    model = PricedModel(provider="Vertex_AI", name="x", pattern="^x$")

    model.clean()

    assert model.provider == "google"


def test_a_bad_pattern_in_the_book_stops_no_other_models_pricing(caplog):
    bad = PricedModel(pk=1, provider="openai", name="bad", pattern="(")
    good = PricedModel(pk=2, provider="openai", name="good", pattern="^good$")

    card = compile_rate_card([make_price("input", "1", priced_model=m) for m in (bad, good)])

    assert card.entry("openai", "good") is not None
    assert card.entry("openai", "bad") is None
    assert "openai bad" in caplog.text


def test_a_model_answers_to_its_further_names_too():
    model = PricedModel(provider="x", name="a", pattern="^a$|^b", further_names=["Our/a.1", "c"])
    answers = patterns.names_of(model)

    assert [n for n in ("a", "bb", "our/a.1", "our/ax1", "c", "cc") if answers.search(n)] == [
        "a", "bb", "our/a.1", "c"
    ]  # fmt: skip


def test_a_suggested_pattern_is_for_the_one_name():
    pattern = patterns.suggested("Acme/Support-8B.v3")

    assert pattern == r"^acme/support-8b\.v3$"
    assert re.search(pattern, "acme/support-8b.v3")
