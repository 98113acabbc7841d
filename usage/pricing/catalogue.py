"""The price book from the `genai-prices` package: which models there are and what they cost.

What our terms cannot say is left out and counted: models whose price depends on the
hour. Any one of their prices would be wrong for the rest of the day; unpriced they are seen.

An import brings what is new and what changed, as drafts. What was approved stays as it is, and
what was discarded stays discarded until the package says something else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

from django.db import transaction
from django.db.models import Q
from genai_prices import types
from genai_prices.data import providers

from accounts import versions
from usage.models import Price, PricedModel
from usage.pricing import changes, review
from usage.pricing.ratecard import PRICES_VERSION

SINCE_EVER = datetime(2020, 1, 1, tzinfo=UTC)
SOURCE = "genai-prices"
OUR_SOURCE = re.compile(rf"{SOURCE} \S+")

# A twelfth of something has no end; what is stored must equal what is listed at the next import.
STORED_PLACES = 12

FREE = types.ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0))

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


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, in numbers of models and prices."""

    models: int  # new in the book
    prices: int  # that the book did not say yet; drafts, or approved where that was asked for
    superseded: int  # drafts of earlier imports that no longer say what the package says
    unlisted: int  # approved prices of the package that it no longer lists; they stay
    left_out: int  # models whose price depends on the hour


@transaction.atomic
def import_catalogue(*, status: Price.Status, now: datetime) -> Imported:
    """Bring the package's models, and the prices that the book does not say yet, into the book.

    Models get the package's patterns. With the status approved the prices count at once, those
    that an earlier import left as drafts too. Importing twice changes nothing.
    """
    versions.bump(PRICES_VERSION)  # first: of two imports at once, the second finds it all there
    new_models = save_models()
    book = list(Price.objects.filter(account=None))
    fresh, kept = changes.fresh(list(listed_prices()), book, now=now)
    stale = [draft.pk for draft in book if is_ours(draft) and draft not in kept]
    Price.objects.filter(pk__in=stale).delete()
    Price.objects.bulk_create(fresh, batch_size=2000)
    if status == Price.Status.APPROVED:
        review.approve((draft.pk for draft in (*fresh, *kept)), now=now)
    return Imported(
        models=new_models,
        prices=len(fresh),
        superseded=len(stale),
        unlisted=len(unlisted_prices(now=now)),
        left_out=sum(by_the_hour(model) for provider in providers for model in provider.models),
    )


def save_models() -> int:
    """How many of the package's models are new in the book."""
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
    return PricedModel.objects.count() - models_before


def listed_prices() -> Iterator[Price]:
    """What the package says, as drafts that are not saved."""
    source = f"{SOURCE} {version(SOURCE)}"
    ids = {(m.provider, m.name): m.pk for m in PricedModel.objects.all()}
    for provider in providers:
        for model in provider.models:
            yield from prices_of(model, ids[provider.id, model.id], source, Price.Status.DRAFT)


def is_ours(price: Price) -> bool:
    """Whether it is a draft as an import made it; who edits one makes it theirs."""
    return price.status == Price.Status.DRAFT and OUR_SOURCE.fullmatch(price.source) is not None


def unlisted_prices(*, now: datetime) -> list[Price]:
    """The package's prices that hold, or will, and that it no longer lists."""
    holding = Price.objects.approved().filter(
        Q(valid_to=None) | Q(valid_to__gt=now), account=None, source__startswith=f"{SOURCE} "
    )
    names = ("pk", "priced_model__provider", "priced_model__name", *changes.TERMS)
    listed = listed_terms()
    gone = [pk for pk, *terms in holding.values_list(*names) if tuple(terms) not in listed]
    return list(Price.objects.filter(pk__in=gone).select_related("priced_model"))


@cache
def listed_terms() -> frozenset[tuple[Any, ...]]:
    """(provider, model, meter, service tier, threshold) of everything that the package prices."""
    return frozenset(
        (provider.id, model.id, *(getattr(price, name) for name in changes.TERMS))
        for provider in providers
        for model in provider.models
        for price in prices_of(model, 0, SOURCE, Price.Status.DRAFT)
    )


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
                    unit_price=round(Decimal(unit_price), STORED_PLACES),
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


def is_free(model: types.ModelInfo) -> bool:
    """The package writes no price for free models, nor for those whose price nobody knows."""
    return model.id.endswith(":free") and all(
        price is None for price in vars(model.prices).values()
    )


def spans_of(model: types.ModelInfo) -> Iterator[Span]:
    if by_the_hour(model):
        return
    if isinstance(model.prices, types.ModelPrice):
        yield Span(FREE if is_free(model) else model.prices, "", SINCE_EVER, None)
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
