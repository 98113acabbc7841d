"""Which model may stand in for which: the table that people keep, looked up by any spelling."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from usage.insight_models import ModelCapability
from usage.models import PricedModel
from usage.pricing.names import provider_key, providers_to_ask, spellings


@dataclass(frozen=True, slots=True)
class Capability:
    """A model's tier, 1 the strongest, and how many tokens it takes; null: unknown."""

    provider: str
    name: str
    tier: int
    context_window: int | None
    offered: bool

    def __str__(self) -> str:
        return f"{self.provider} {self.name}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that an account could use, at a provider as its requests name it."""

    provider: str
    capability: Capability


class Capabilities:
    def __init__(self, known: Iterable[Capability]) -> None:
        self.known = {(one.provider, one.name): one for one in known}

    def of(self, provider: str | None, model: str) -> Capability | None:
        """What the model of a request is, by the provider's own list or the makers' it sells."""
        found = (
            self.known.get((asked, name))
            for name in spellings(model)
            for asked in providers_to_ask(provider)
        )
        return next((one for one in found if one), None)

    def offers(self, used_providers: Iterable[str]) -> Iterator[Offer]:
        """What is sold by the providers that the account uses already, each model once."""
        used = sorted(set(used_providers))
        sellers = {provider_key(name): name for name in reversed(used)}
        for name in used:
            for asked in providers_to_ask(name)[1:]:
                sellers.setdefault(asked, name)
        for one in self.known.values():
            if one.offered and one.provider in sellers:
                yield Offer(sellers[one.provider], one)


def load() -> Capabilities:
    windows = {
        (provider, name): window
        for provider, name, window in PricedModel.objects.exclude(context_window=None).values_list(
            "provider", "name", "context_window"
        )
    }
    return Capabilities(
        Capability(
            row.provider,
            row.name,
            row.tier,
            row.context_window or windows.get((row.provider, row.name)),
            row.offered,
        )
        for row in ModelCapability.objects.all()
    )
