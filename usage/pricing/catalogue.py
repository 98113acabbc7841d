"""The price book from the `genai-prices` package: which models there are and what they cost.

What our terms cannot say is left out and counted: models whose price depends on the
hour. Any one of their prices would be wrong for the rest of the day; unpriced they are seen.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from django.db import transaction
from genai_prices import types
from genai_prices.data import providers

from accounts import versions
from usage.models import Price, PricedModel
from usage.pricing.ratecard import PRICES_VERSION

SINCE_EVER = datetime(2020, 1, 1, tzinfo=UTC)

# genai-prices' price keys -> (our meter, units that the price is for)
METERS_BY_KEY = {
    "input_mtok": ("input", 1_000_000),
    "output_mtok": ("output", 1_000_000),
    "cache_read_mtok": ("cache_read", 1_000_000),
    "cache_write_mtok": ("cache_write_5m", 1_000_000),
    "cache_write_5m_mtok": ("cache_write_5m", 1_000_000),
    "cache_write_1h_mtok": ("cache_write_1h", 1_000_000),
    "output_reasoning_mtok": ("reasoning", 1_000_000),
    "input_audio_mtok": ("input_audio", 1_000_000),
    "cache_audio_read_mtok": ("cache_read_audio", 1_000_000),
    "output_audio_mtok": ("output_audio", 1_000_000),
    "input_image_mtok": ("input_image", 1_000_000),
    "cache_image_read_mtok": ("cache_read_image", 1_000_000),
    "output_image_mtok": ("output_image", 1_000_000),
    "input_video_mtok": ("input_video", 1_000_000),
    "output_video_mtok": ("output_video", 1_000_000),
    "web_searches_kcount": ("web_search", 1_000),
    "storage_searches_kcount": ("file_search", 1_000),
    "input_document_kpages": ("page", 1_000),
    "input_mchars": ("character", 1_000_000),
    "requests_kcount": ("request", 1_000),
}


@dataclass(frozen=True, slots=True)
class Span:
    """The prices of a model in one service tier over `[start, end)`; no end: still valid."""

    prices: types.ModelPrice
    service_tier: str
    start: datetime
    end: datetime | None


@transaction.atomic
def import_catalogue(*, status: Price.Status) -> dict[str, int]:
    """Bring the package's models and prices into the book with that status.

    Models get the package's patterns; prices that the book has already, approved or as the same
    draft, are left alone. Returns how many models and prices were new, and how many models were
    left out because their price depends on the hour.
    """
    source = f"genai-prices {version('genai-prices')}"
    models_before = PricedModel.objects.count()
    PricedModel.objects.bulk_create(
        [
            PricedModel(
                provider=provider.id,
                name=model.id,
                pattern=pattern_of(model.match),
                context_window=model.context_window,
            )
            for provider in providers
            for model in provider.models
        ],
        update_conflicts=True,
        unique_fields=["provider", "name"],
        update_fields=["pattern", "context_window"],
    )
    ids = {(m.provider, m.name): m.pk for m in PricedModel.objects.all()}
    known = set(Price.objects.filter(account=None).values_list(*IDENTITY))
    new = [
        price
        for provider in providers
        for model in provider.models
        for price in prices_of(model, ids[provider.id, model.id], source, status)
        if tuple(getattr(price, name) for name in IDENTITY) not in known
    ]
    Price.objects.bulk_create(new, batch_size=2000)
    versions.bump(PRICES_VERSION)
    return {
        "models": PricedModel.objects.count() - models_before,
        "prices": len(new),
        "left_out": sum(by_the_hour(model) for provider in providers for model in provider.models),
    }


IDENTITY = ("priced_model_id", "meter", "service_tier", "from_input_tokens", "valid_from")


def prices_of(
    model: types.ModelInfo, priced_model_id: int, source: str, status: str
) -> Iterator[Price]:
    seen = set()
    for span in spans_of(model):
        for key, price in vars(span.prices).items():
            if price is None or key not in METERS_BY_KEY:
                continue
            meter, per = METERS_BY_KEY[key]
            for from_input_tokens, unit_price in steps_of(price):
                identity = (meter, span.service_tier, from_input_tokens, span.start)
                if identity in seen:
                    continue
                seen.add(identity)
                yield Price(
                    priced_model_id=priced_model_id,
                    meter=meter,
                    unit_price=unit_price,
                    per=per,
                    from_input_tokens=from_input_tokens,
                    service_tier=span.service_tier,
                    valid_from=span.start,
                    valid_to=span.end,
                    source=source,
                    status=status,
                )


def by_the_hour(model: types.ModelInfo) -> bool:
    """Whether the model costs more at some hours of the day."""
    return isinstance(model.prices, list) and any(
        isinstance(price.constraint, types.TimeOfDateConstraint) for price in model.prices
    )


def spans_of(model: types.ModelInfo) -> Iterator[Span]:
    if by_the_hour(model):
        return
    if isinstance(model.prices, types.ModelPrice):
        yield Span(model.prices, "", SINCE_EVER, None)
    else:
        dated = sorted(
            ((start_of(price.constraint), price.prices) for price in model.prices),
            key=lambda pair: pair[0],
        )
        for (start, prices), following in zip(dated, [*dated[1:], None], strict=True):
            yield Span(prices, "", start, following[0] if following else None)
    for variant in model.price_variants or ():
        tier = tier_of(variant.when)
        if tier and not isinstance(variant.constraint, types.TimeOfDateConstraint):
            yield Span(variant.prices, tier, start_of(variant.constraint), None)


def tier_of(when: dict[str, str]) -> str | None:
    """The service tier that a variant is for; None where it needs more than a tier to be told."""
    if len(when) != 1:
        return None
    tier = when.get("service_tier") or when.get("processing")
    return None if tier in (None, "default", "fast") else tier


def start_of(constraint: Any) -> datetime:
    if isinstance(constraint, types.StartDateConstraint):
        return datetime.combine(constraint.start_date, datetime.min.time(), tzinfo=UTC)
    return SINCE_EVER


def steps_of(price: Any) -> list[tuple[int, Any]]:
    """(threshold of input tokens, price) pairs; the base price is from 0."""
    if isinstance(price, types.TieredPrices):
        return [(0, price.base), *((tier.start, tier.price) for tier in price.tiers)]
    return [(0, price)]


def pattern_of(clause: Any) -> str:
    """A genai-prices match clause as one regular expression to search a lower-case name with."""
    match clause:
        case types.ClauseEquals():
            return f"^{re.escape(clause.equals.lower())}$"
        case types.ClauseStartsWith():
            return f"^{re.escape(clause.starts_with.lower())}"
        case types.ClauseEndsWith():
            return f"{re.escape(clause.ends_with.lower())}$"
        case types.ClauseContains():
            return re.escape(clause.contains.lower())
        case types.ClauseRegex():
            return clause.regex
        case types.ClauseOr():
            return "|".join(f"(?:{pattern_of(part)})" for part in clause.or_)
        case types.ClauseAnd():
            return "^" + "".join(f"(?=.*(?:{pattern_of(part)}))" for part in clause.and_)
    raise TypeError(f"genai-prices has a kind of match that is not known here: {clause!r}")
