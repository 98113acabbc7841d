"""A small line without axes, drawn as the points of an SVG polyline."""

from collections.abc import Sequence
from decimal import Decimal

WIDTH, HEIGHT = 100, 24
LEAST_POINTS = 2


def points(values: Sequence[Decimal | None], *, from_zero: bool = True) -> str:
    """`x,y` pairs within the box, what is unknown left out; nothing where there is no line."""
    known = [value for value in values if value is not None]
    if len(known) < LEAST_POINTS or not any(known):
        return ""
    low = Decimal(0) if from_zero else min(known)
    high = max(known)
    height = (high - low) or Decimal(1)
    step = Decimal(WIDTH) / (len(values) - 1)
    return " ".join(
        f"{step * place:.1f},{HEIGHT - 1 - (value - low) / height * (HEIGHT - 2):.1f}"
        for place, value in enumerate(values)
        if value is not None
    )
