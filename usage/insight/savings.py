"""Find savings every night, keep what people decided of them, and measure what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.access import Reach
from accounts.models import Account, User
from usage.insight import capabilities, substitution, waste
from usage.insight.capabilities import Capabilities
from usage.insight.found import Found
from usage.insight.repriced import Seller, cost_on
from usage.insight.traffic import Figures, Key, Traffic, traffic_of
from usage.insight_models import Saving
from usage.pricing.ratecard import RateCard, Unpriced, rate_card

WINDOW = timedelta(days=30)
LEAST_MONTHLY = Decimal(1)
LEAST_SLICE = timedelta(hours=1)
PLACES = Decimal("1e-10")

State = Saving.State


class CannotDecide(Exception):
    """A decision that does not fit; the message says why."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What one search needs: of one account, as of one moment."""

    account: Account
    reach: Reach
    card: RateCard
    known: Capabilities
    now: datetime

    def traffic(self, since: datetime) -> Traffic:
        ids = self.reach.workspace_ids
        return traffic_of(self.account.pk, ids, since=since, until=self.now)


def refresh(account: Account, *, now: datetime) -> int:
    """Find an account's savings anew and measure those that were taken up; how many are open.

    What nobody decided on and is found no more is gone. Running it twice changes nothing.
    """
    workspaces = tuple(account.workspaces.active().select_related("account"))
    reach = Reach((account,), workspaces)
    search = Searched(account, reach, rate_card(), capabilities.load(), now)
    found = list(look(search))
    keep(search, found)
    for saving in Saving.objects.decided().filter(account=account):
        measure(saving, search)
    return Saving.objects.open().filter(account=account).count()


def look(search: Searched) -> Iterator[Found]:
    traffic = search.traffic(search.now - WINDOW)
    ids = search.reach.workspace_ids
    dismissed = set(
        Saving.objects.filter(account=search.account, state=State.DISMISSED).values_list(
            "key", flat=True
        )
    )
    yield from substitution.find(traffic, search.card, search.known, dismissed=dismissed)
    for found in (*waste.caching(traffic, search.card, ids), *waste.errors(traffic, ids)):
        if (found.monthly or 0) >= LEAST_MONTHLY:
            yield found
    yield from waste.idle_keys(search.reach, now=search.now)


@transaction.atomic
def keep(search: Searched, found: list[Found]) -> None:
    """Rows for what was found; a decision made meanwhile stands."""
    mine = Saving.objects.filter(account=search.account)
    mine.open().exclude(key__in=[one.key for one in found]).delete()
    for one in found:
        values = columns(one, search)
        if not mine.open().filter(key=one.key).update(**values):
            Saving.objects.bulk_create(
                [Saving(account=search.account, key=one.key, **values)], ignore_conflicts=True
            )


def columns(found: Found, search: Searched) -> dict[str, Any]:
    about: dict[str, Any] = found.about._asdict() if found.about else {}
    return about | {
        "kind": found.kind,
        "workspace_id": found.workspace_id,
        "api_key_id": found.api_key_id,
        "candidate_provider": found.candidate_provider,
        "candidate": found.candidate,
        "since": search.now - timedelta(days=float(found.days)),
        "until": search.now,
        "paid": found.paid,
        "cost_now": found.cost_now,
        "cost_then": found.cost_then,
        "monthly": found.monthly,
        "confidence": found.confidence,
        "evidence": found.evidence,
        "found_at": search.now,
    }


# What people decide.

DECISIONS = {
    State.ACCEPTED: (State.OPEN,),
    State.DISMISSED: (State.OPEN, State.ACCEPTED),
    State.DONE: (State.OPEN, State.ACCEPTED),
    State.OPEN: (State.DISMISSED,),
}


def decide(saving_id: int, state: str, *, reason: str, by: User | None, now: datetime) -> None:
    """Take a saving up, say no to it with a reason, or call it done. Raises CannotDecide.

    Measuring begins with the first decision that takes it up. Reopened, it is found anew.
    """
    if state not in DECISIONS:
        raise CannotDecide("A saving is accepted, dismissed, done or open.")
    reason = reason.strip()
    if state == State.DISMISSED and not reason:
        raise CannotDecide("Say why it is dismissed, for whoever asks again.")
    if state == State.OPEN:
        values: dict[str, Any] = {"decided_by": None, "decided_at": None, "reason": ""}
        values |= {"measured_until": None, "realised": None}
    else:
        values = {"decided_by": by, "decided_at": now, "reason": reason}
    with transaction.atomic():
        mine = Saving.objects.filter(pk=saving_id)
        if not mine.filter(state__in=DECISIONS[State(state)]).update(state=state, **values):
            raise CannotDecide("Somebody else has decided on it meanwhile.")
        if state in (State.ACCEPTED, State.DONE):
            mine.filter(measured_until=None).update(measured_until=now)


# What came of it.


def measure(saving: Saving, search: Searched) -> None:
    """Add what was saved since it was last measured; each moment is counted once."""
    since = saving.measured_until
    if since is None or search.now - since < LEAST_SLICE or saving.monthly is None:
        return
    saved = saved_since(saving, since, search)
    if saved is None:
        return
    Saving.objects.filter(pk=saving.pk, measured_until=since).update(
        measured_until=search.now,
        realised=(saving.realised or Decimal(0)) + saved.quantize(PLACES),
    )


def saved_since(saving: Saving, since: datetime, search: Searched) -> Decimal | None:
    traffic = traffic_of(saving.account_id, [saving.workspace_id], since=since, until=search.now)
    if saving.kind == Saving.Kind.SUBSTITUTION:
        return moved(saving, traffic, search)
    finder = {
        Saving.Kind.CACHING: lambda: waste.caching(traffic, search.card, [saving.workspace_id]),
        Saving.Kind.ERRORS: lambda: waste.errors(traffic, [saving.workspace_id]),
    }[Saving.Kind(saving.kind)]
    left = sum((one.saved for one in finder() if one.key == saving.key), Decimal(0))
    return expected_waste(saving, traffic) - left


def moved(saving: Saving, traffic: Traffic, search: Searched) -> Decimal | None:
    """What the candidate's traffic in the project would have cost on the model that it replaces.

    Less the part of it that was there before the switch.
    """
    old = (saving.provider.name if saving.provider else None, saving.model.name)  # type: ignore[union-attr]
    seller = Seller(*old, saving.account_id, search.now)
    target = search.known.of(saving.candidate_provider, saving.candidate)
    if target is None:
        return None
    mine = [
        (key, figures)
        for key, figures in traffic.by_key.items()
        if key.project_id == saving.project_id and search.known.of(*traffic.name(key)) == target
    ]
    requests = sum(figures.requests for _, figures in mine)
    if not requests:
        return Decimal(0)
    days = Decimal((traffic.until - traffic.since).total_seconds()) / 86_400
    before = Decimal(saving.evidence["candidate_daily_requests"]) * days
    try:
        saved = sum(
            (cost_on(traffic.bands.get(key, ()), seller, search.card) - (figures.paid or 0))
            for key, figures in mine
        )
    except Unpriced:
        return None
    return Decimal(saved) * max(1 - before / requests, Decimal(0))


def expected_waste(saving: Saving, traffic: Traffic) -> Decimal:
    """What this traffic would have wasted at the rate of before."""
    about = Key(
        saving.workspace_id,
        saving.project_id,
        saving.endpoint_id,
        saving.model_id or 0,
        saving.provider_id,
    )
    figures: Figures | None = traffic.by_key.get(about)
    if figures is None or saving.cost_now is None or saving.cost_then is None:
        return Decimal(0)
    a_request = (saving.cost_now - saving.cost_then) / saving.evidence["now"]["requests"]
    return a_request * figures.requests
