"""Budgets as bars: how much of each is spent and held, in words as well as in colour."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets.standing import Standing
from config.unfold import address
from usage import formatting

NEAR_PERCENT = 80
FULL_PERCENT = 100


@dataclass(frozen=True, slots=True)
class BudgetBar:
    """`level` is calm, near or over; widths are percent of the bar, held beside spent."""

    name: str
    scope: str
    hard: bool
    level: str
    text: str
    spent_width: Decimal
    claimed_width: Decimal
    link: str


def bar(standing: Standing, *, now: datetime) -> BudgetBar:
    return BudgetBar(
        name=standing.name,
        scope=f"{standing.scope.replace('_', ' ')} {standing.scope_label}",
        hard=standing.hard,
        level=level(standing),
        text=text(standing, now=now),
        spent_width=width(standing.consumed, standing.limit),
        claimed_width=width(standing.consumed + standing.held, standing.limit),
        link=address("admin:budgets_budget_change", standing.id),
    )


def level(standing: Standing) -> str:
    percent = standing.percent
    if percent is None:
        return "calm"
    if percent >= FULL_PERCENT:
        return "over"
    return "near" if percent >= NEAR_PERCENT else "calm"


def text(standing: Standing, *, now: datetime) -> str:
    if standing.limit is None:
        parts = [f"{formatting.money(standing.consumed)} spent, no limit"]
    elif not standing.limit:
        parts = ["Nothing may be spent", f"{formatting.money(standing.consumed)} was"]
    else:
        parts = [f"{standing.percent:,} % of {formatting.money(standing.limit)}"]
    if standing.held:
        parts.append(f"{formatting.money(standing.held)} held")
    if standing.resets_at:
        parts.append(f"resets in {formatting.span(now, standing.resets_at)}")
    return ", ".join(parts)


def width(money: Decimal, limit: Decimal | None) -> Decimal:
    if not limit:
        return Decimal(100 if limit == 0 and money else 0)
    return min(money * 100 / limit, Decimal(100)).quantize(Decimal("0.01"))
