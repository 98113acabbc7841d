"""Traffic whose right answer is known: a dear model, a cheap one, and who may stand in for whom."""

from datetime import datetime, timedelta
from typing import Any

from accounts.models import Account
from tests.factories import NOW, make_price, native, post, save_prices
from usage.insight_models import ModelCapability

DEAR, CHEAP, TINY = "dear-1", "cheap-1", "tiny-1"


def price_book() -> None:
    """dear-1 costs ten times what cheap-1 does; above 1,000 input tokens dear-1 costs twice that.

    cheap-1 has a price for cache reads of its own, and dear-1 for batches.
    """
    save_prices(
        make_price("input", "10", model=DEAR),
        make_price("input", "20", model=DEAR, from_input_tokens=1000),
        make_price("cache_read", "1", model=DEAR),
        make_price("cache_write_5m", "12.5", model=DEAR),
        make_price("output", "50", model=DEAR),
        make_price("input", "5", model=DEAR, service_tier="batch"),
        make_price("input", "1", model=CHEAP),
        make_price("cache_read", "0.5", model=CHEAP),
        make_price("output", "5", model=CHEAP),
        make_price("input", "0.1", model=TINY),
        make_price("output", "0.5", model=TINY),
    )


def capable(name: str, tier: int, **more: Any) -> ModelCapability:
    fields = {"tier": tier, "context_window": 100_000} | more
    return ModelCapability.objects.update_or_create(provider="openai", name=name, defaults=fields)[
        0
    ]


def capabilities() -> None:
    ModelCapability.objects.all().delete()
    capable(DEAR, 2)
    capable(CHEAP, 2)
    capable(TINY, 3)


def spread(
    account: Account,
    requests: int,
    *,
    days: float = 28,
    until: datetime = NOW,
    source: str = "spread",
    **fields: Any,
) -> None:
    """So many alike requests, evenly over the days before a moment."""
    pause = timedelta(days=days) / requests
    rows = [
        native(
            request_id=f"{source}-{fields.get('model')}-{i}-{until.isoformat()}",
            occurred_at=(until - pause * (i + 0.5)).isoformat(),
            **{"workspace": "research", "project": "chat", "endpoint": "/v1/chat"} | fields,
        )
        for i in range(requests)
    ]
    post(account, *rows, now=until)
