"""The same work on a cheaper model: which, how much it would save, and how sure that is."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from usage.insight.capabilities import Capabilities, Capability, Offer
from usage.insight.found import Found, evidence_of, key_of
from usage.insight.repriced import Seller, cost_on
from usage.insight.traffic import Figures, Key, Traffic
from usage.insight_models import Saving
from usage.pricing.names import provider_key
from usage.pricing.ratecard import RateCard, Unpriced

LEAST_REQUESTS = 50
LEAST_MONTHLY = Decimal(1)
LEAST_SHARE = Decimal("0.10")
STILL_USED = timedelta(days=7)

SURE_REQUESTS = 1_000
SURE_DAYS = 14
FEW_REQUESTS = 200
FEW_DAYS = 7
MORE_ERRORS = Decimal("0.01")
ONE_STEP = 1

HIGH, MEDIUM, LOW = Saving.Confidence.HIGH, Saving.Confidence.MEDIUM, Saving.Confidence.LOW


@dataclass(frozen=True, slots=True)
class Now:
    """Some traffic as it is: its figures, its model, and its cost at today's prices."""

    key: Key
    figures: Figures
    provider: str | None
    model: str
    capability: Capability
    cost: Decimal


def find(
    traffic: Traffic, card: RateCard, known: Capabilities, *, dismissed: Collection[str] = ()
) -> list[Found]:
    """The best one or two for each traffic, beside those that somebody has dismissed."""
    offers = list(known.offers(traffic.providers.values()))
    found: list[Found] = []
    for now in worth_looking_at(traffic, card, known):
        possible = options(now, offers, traffic, card, known)
        found += best((steps, one) for steps, one in possible if one.key not in dismissed)
    return found


def worth_looking_at(traffic: Traffic, card: RateCard, known: Capabilities) -> Iterator[Now]:
    """What is priced, listed, still used and more than a few requests."""
    for key, bands in traffic.bands.items():
        figures = traffic.by_key[key]
        provider, model = traffic.name(key)
        capability = known.of(provider, model)
        is_old = figures.last_at < traffic.until - STILL_USED
        if capability is None or is_old or figures.requests < LEAST_REQUESTS:
            continue
        seller = Seller(provider, model, traffic.account_id, traffic.until)
        try:
            cost = cost_on(bands, seller, card)
        except Unpriced:
            continue  # its price has ended: nobody can be charged it any more
        yield Now(key, figures, provider, model, capability, cost)


def options(
    now: Now, offers: Iterable[Offer], traffic: Traffic, card: RateCard, known: Capabilities
) -> Iterator[tuple[int, Found]]:
    """(steps down in capability, saving) of each model that could do it for less."""
    for offer in offers:
        steps = offer.capability.tier - now.capability.tier
        if steps > ONE_STEP or offer.capability == now.capability or not fits(now, offer):
            continue
        seller = Seller(offer.provider, offer.capability.name, traffic.account_id, traffic.until)
        try:
            cost = cost_on(traffic.bands[now.key], seller, card)
        except Unpriced:
            continue
        found = compared(now, offer, cost, traffic, known)
        if found.saved >= now.cost * LEAST_SHARE and (found.monthly or 0) >= LEAST_MONTHLY:
            yield max(steps, 0), found


def fits(now: Now, offer: Offer) -> bool:
    """Whether the longest request of this traffic fits; an unknown window fits nothing."""
    window = offer.capability.context_window
    return window is not None and now.figures.context_most <= window


def best(options: Iterable[tuple[int, Found]]) -> Iterator[Found]:
    """The cheapest of those as capable, and the cheapest a step down if it saves yet more."""
    alike, below = None, None
    for steps, found in options:
        if steps:
            below = cheaper(below, found)
        else:
            alike = cheaper(alike, found)
    if alike:
        yield alike
    if below and (alike is None or below.saved > alike.saved):
        yield below


def cheaper(one: Found | None, other: Found) -> Found:
    if one is None or (other.cost_then, other.key) < (one.cost_then, one.key):
        return other
    return one


def compared(now: Now, offer: Offer, cost: Decimal, traffic: Traffic, known: Capabilities) -> Found:
    steps = max(offer.capability.tier - now.capability.tier, 0)
    there = in_use(offer, traffic, known)
    confidence, why = judged(now, offer, there, days=traffic.days, steps=steps)
    return Found(
        kind=Saving.Kind.SUBSTITUTION,
        key=key_of(Saving.Kind.SUBSTITUTION, now.key, str(offer.capability)),
        workspace_id=now.key.workspace_id,
        days=traffic.days,
        confidence=confidence,
        about=now.key,
        candidate_provider=offer.provider,
        candidate=offer.capability.name,
        paid=now.figures.paid,
        cost_now=now.cost,
        cost_then=cost,
        evidence={
            "steps_down": steps,
            "tier": now.capability.tier,
            "candidate_tier": offer.capability.tier,
            "context_window": offer.capability.context_window,
            "context_most": now.figures.context_most,
            "now": evidence_of(now.figures),
            "candidate": evidence_of(there) if there else None,
            "candidate_daily_requests": f"{daily_in_project(now, offer, traffic, known):.4f}",
            "why": why,
        },
    )


def in_use(offer: Offer, traffic: Traffic, known: Capabilities) -> Figures | None:
    """The figures of the candidate in this account, of the provider where it is used most."""
    found = [
        figures
        for served, figures in traffic.by_model.items()
        if known.of(*traffic.name(served)) == offer.capability
    ]
    return max(found, key=lambda figures: figures.requests, default=None)


def daily_in_project(now: Now, offer: Offer, traffic: Traffic, known: Capabilities) -> Decimal:
    """How much the project uses the candidate already: that is not what switching brings."""
    place = (now.key.workspace_id, now.key.project_id)
    requests = sum(
        figures.requests
        for key, figures in traffic.by_key.items()
        if (key.workspace_id, key.project_id) == place
        and known.of(*traffic.name(key)) == offer.capability
    )
    return Decimal(requests) / traffic.days


def judged(
    now: Now, offer: Offer, there: Figures | None, *, days: Decimal, steps: int
) -> tuple[Saving.Confidence, list[str]]:
    """How sure the saving is, and in words why not more."""
    doubts = list(small_doubts(now, offer, there, days=days))
    if steps:
        return LOW, ["It is listed as less capable: try it on your own cases first.", *doubts]
    if now.figures.requests < FEW_REQUESTS or days < FEW_DAYS:
        return LOW, doubts
    return (MEDIUM if doubts else HIGH), doubts


def small_doubts(now: Now, offer: Offer, there: Figures | None, *, days: Decimal) -> Iterator[str]:
    if now.figures.requests < SURE_REQUESTS:
        yield f"Only {now.figures.requests:,} requests were compared."
    if days < SURE_DAYS:
        yield f"Only {days:.0f} day{'' if round(days) == 1 else 's'} of traffic are known."
    if provider_key(offer.provider) != provider_key(now.provider):
        yield "Another maker counts tokens differently, often by some 10 to 20 %."
    if there is None:
        yield "Nobody here uses it yet: its latency and errors are unknown."
    elif there.error_rate > now.figures.error_rate + MORE_ERRORS:
        yield "It fails more often here than the model in use."
