"""A way to save, as it is found: what `Saving` rows are made of."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from usage.insight.traffic import Figures, Key
from usage.insight_models import Saving

DAYS_A_MONTH = 30


@dataclass(frozen=True, slots=True)
class Found:
    """`cost_now` is the traffic at today's prices, `cost_then` the same done as recommended.

    `days` is how long the traffic was looked at. Without costs it is not about money.
    """

    kind: Saving.Kind
    key: str
    workspace_id: int
    days: Decimal
    confidence: Saving.Confidence
    about: Key | None = None
    api_key_id: int | None = None
    candidate_provider: str = ""
    candidate: str = ""
    paid: Decimal | None = None
    cost_now: Decimal | None = None
    cost_then: Decimal | None = None
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def saved(self) -> Decimal:
        if self.cost_now is None or self.cost_then is None:
            return Decimal(0)
        return self.cost_now - self.cost_then

    @property
    def monthly(self) -> Decimal | None:
        if self.cost_now is None:
            return None
        return (self.saved * DAYS_A_MONTH / self.days).quantize(Decimal("1e-10"))


def evidence_of(figures: Figures) -> dict[str, Any]:
    """What a lead wants to know of some traffic, as JSON."""
    return {
        "requests": figures.requests,
        "error_rate": f"{figures.error_rate:.6f}",
        "latency_p50": figures.latency_p50,
        "latency_p95": figures.latency_p95,
        "prompt_p50": figures.prompt_p50,
        "prompt_p95": figures.prompt_p95,
        "output_p50": figures.output_p50,
        "output_p95": figures.output_p95,
    }


def key_of(kind: Saving.Kind, key: Key, *more: str) -> str:
    """The same for the same traffic, every night."""
    return ":".join([kind, *("-" if part is None else str(part) for part in key), *more])
