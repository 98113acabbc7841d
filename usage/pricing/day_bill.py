"""The bill of one workspace and local day, made anew: what its rows cost by a rate card, and what
that changes. No database here."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from usage.ingest.schema import MOST_DOLLARS
from usage.pricing.ratecard import RateCard, Unpriced

MOST_UNITS = MOST_DOLLARS * 10**10
REFUSED_FROM = 400  # HTTP status; a failed request is not charged as a request


class Logged(NamedTuple):
    """A row of the log, as far as its bill needs it. Costs in 1e-10 dollars."""

    occurred_at: datetime
    request_id: str
    project_id: int | None
    member_id: int | None
    api_key_id: int | None
    model_id: int
    model: str
    provider: str | None
    service_tier: str | None
    status: int
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    meters: str | None
    cost: int | None
    ceiling: int | None


class Change(NamedTuple):
    """A row whose cost is another one by today's prices."""

    row: Logged
    cost: int


@dataclass(slots=True)
class Figures:
    """Sums over the rows of one model; costs in 1e-10 dollars, what is unknown adds nothing."""

    requests: int = 0
    changed: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0
    old_cost: int = 0
    new_cost: int = 0
    old_ceiling: int = 0
    new_ceiling: int = 0

    def look_at(self, row: Logged) -> None:
        """Count a row as it is, before and after."""
        self.requests += 1
        if row.cost is None:
            self.unpriced_before += 1
            self.unpriced_after += 1
            self.old_ceiling += row.ceiling or 0
            self.new_ceiling += row.ceiling or 0
        else:
            self.old_cost += row.cost
            self.new_cost += row.cost

    def change(self, change: Change) -> None:
        """Of a row that was looked at: it has another cost afterwards."""
        self.changed += 1
        self.new_cost += change.cost - (change.row.cost or 0)
        if change.row.cost is None:
            self.unpriced_after -= 1
            self.new_ceiling -= change.row.ceiling or 0


class Owner(NamedTuple):
    """Whom a request is attributed to, within its workspace."""

    project_id: int | None
    member_id: int | None
    api_key_id: int | None


class Moved(NamedTuple):
    """By how much the sums of some rows of one local day changed, in 1e-10 dollars."""

    workspace_id: int
    project_id: int | None
    member_id: int | None
    api_key_id: int | None
    day: date
    cost: int
    ceiling: int


@dataclass(slots=True)
class DayBill:
    """What billing a day anew comes to."""

    workspace_id: int
    day: date
    by_model: dict[int, Figures] = field(default_factory=lambda: defaultdict(Figures))
    # What changed, as [cost, ceiling].
    by_owner: dict[Owner, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    @property
    def is_changed(self) -> bool:
        return bool(self.by_owner)

    def look_at(self, rows: Sequence[Logged]) -> None:
        for row in rows:
            self.by_model[row.model_id].look_at(row)

    def change(self, changes: Sequence[Change]) -> None:
        for change in changes:
            row = change.row
            self.by_model[row.model_id].change(change)
            moved = self.by_owner[Owner(row.project_id, row.member_id, row.api_key_id)]
            moved[0] += change.cost - (row.cost or 0)
            moved[1] -= row.ceiling or 0

    def moves(self) -> list[Moved]:
        return [
            Moved(self.workspace_id, *owner, self.day, cost, ceiling)
            for owner, (cost, ceiling) in self.by_owner.items()
        ]


def changes_in(rows: Sequence[Logged], card: RateCard, *, account_id: int) -> list[Change]:
    found = []
    for row in rows:
        cost = cost_of(row, card, account_id=account_id)
        if cost is not None and cost != row.cost:
            found.append(Change(row, cost))
    return found


def cost_of(row: Logged, card: RateCard, *, account_id: int) -> int | None:
    """What the row costs by the card, in 1e-10 dollars; None where that says nothing new.

    A cost stands where its price is no longer in force, and where it would be more than the log
    can hold. What used nothing, or nobody knows how much, has no other cost by other prices.
    """
    quantities = quantities_of(row)
    if not any(quantities.values()):
        return None
    try:
        units = card.units(
            quantities,
            provider=row.provider,
            model=row.model,
            account_id=account_id,
            service_tier=row.service_tier,
            moment=row.occurred_at,
        )
    except Unpriced:
        return None
    return units if units <= MOST_UNITS else None


def quantities_of(row: Logged) -> dict[str, int]:
    quantities = {
        "input": row.input,
        "cache_read": row.cache_read,
        "cache_write_5m": row.cache_write_5m,
        "cache_write_1h": row.cache_write_1h,
        "output": row.output,
        "reasoning": row.reasoning,
    }
    if row.meters:
        quantities |= json.loads(row.meters)
    if row.status < REFUSED_FROM and any(quantities.values()):
        quantities["request"] = 1
    return quantities
