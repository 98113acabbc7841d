"""How a figure changed from the period before, in words."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from usage import formatting


@dataclass(frozen=True, slots=True)
class Change:
    """From the period before to this one, in words; `tone` says whether that is good news."""

    text: str
    arrow: str = ""
    tone: str = "neutral"


NO_EARLIER_DATA = Change("no earlier data")
PARTIAL = Change("earlier data is partial")
UNCHANGED = Change("unchanged", "→")
NEW = Change("new", "↑")
NOTHING = Change("")


def relative_change(
    now: Any, before: Any, incomparable: Change | None = None, *, more_is: str = ""
) -> Change:
    if incomparable or before is None or now is None:
        return incomparable or NO_EARLIER_DATA
    if now == before:
        return UNCHANGED
    if not before:
        return Change("from nothing", "↑", tone(more=True, more_is=more_is))
    return by_ratio((Decimal(now) - Decimal(before)) / abs(Decimal(before)), more_is=more_is)


def by_ratio(ratio: Decimal, *, more_is: str = "") -> Change:
    """By how large a part of what was before it moved, 0.1 being ten percent more."""
    if not ratio:
        return UNCHANGED
    arrow, tone_of_it = "↑" if ratio > 0 else "↓", tone(more=ratio > 0, more_is=more_is)
    if ratio >= 10:
        return Change(f"{formatting.count(int(ratio) + 1)} times", arrow, tone_of_it)
    return Change(formatting.percent(abs(ratio)), arrow, tone_of_it)


def point_change(
    now: Decimal | None, before: Decimal | None, incomparable: Change | None, *, more_is: str
) -> Change:
    """Of a rate: in percentage points, which alone add up."""
    if incomparable or before is None or now is None:
        return incomparable or NO_EARLIER_DATA
    points = ((now - before) * 100).quantize(Decimal("0.1"))
    if points == 0:
        return UNCHANGED
    arrow = "↑" if points > 0 else "↓"
    return Change(f"{abs(points)} points", arrow, tone(more=points > 0, more_is=more_is))


def tone(*, more: bool, more_is: str) -> str:
    """Whether it is good news, where more of it is good or bad at all."""
    if not more_is:
        return "neutral"
    return "good" if more == (more_is == "good") else "bad"
