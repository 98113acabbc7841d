"""Figures as people read them: money that never rounds something to nothing, counts, times.

Pure functions from a value to text. None is unknown and reads as a dash, never as zero.
"""

import json
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

UNKNOWN = "—"
CENT = Decimal("0.01")
SUFFIXES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
SMALLEST_COMPACT = 10_000


def money(value: Decimal | None) -> str:
    """`$1,234.50`; below a dollar three digits that matter: `$0.0234`, `$0.000034`."""
    if value is None:
        return UNKNOWN
    sign, size = ("-", -value) if value < 0 else ("", value)
    if size >= 1:
        return f"{sign}${size.quantize(CENT, ROUND_HALF_UP):,}"
    return f"{sign}${_small(size)}"


def estimate(value: Decimal | None) -> str:
    """Of money that nobody knows to the cent: whole dollars from a hundred on."""
    if value is None or abs(value) < 100:
        return money(value)
    return money(value.quantize(Decimal(1), ROUND_HALF_UP)).removesuffix(".00")


def _small(size: Decimal) -> str:
    if size == 0:
        return "0.00"
    places = max(2, 2 - size.adjusted())
    text = f"{size.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def exact_money(value: Decimal | None) -> str:
    """Every digit that is stored."""
    if value is None:
        return "unknown"
    whole, _, decimals = f"{abs(value):f}".partition(".")
    return f"{'-' if value < 0 else ''}${int(whole):,}.{decimals.rstrip('0').ljust(2, '0')}"


def change_of_money(value: Decimal | None) -> str:
    """`+$1.50` or `-$0.25`; without a sign where nothing changes."""
    if value is None:
        return UNKNOWN
    return f"+{money(value)}" if value > 0 else money(value)


def days(start: date, end: date) -> str:
    """`2026-01-01 – 2026-01-31` for the days from the first to before the second."""
    last = end - timedelta(1)
    return f"{start}" if last == start else f"{start} – {last}"


def count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def compact(value: int | None) -> str:
    """`9,876`, `12.3K`, `4.57M`: three digits that matter."""
    if value is None:
        return UNKNOWN
    if abs(value) < SMALLEST_COMPACT:
        return f"{value:,}"
    for size, suffix in SUFFIXES:
        if abs(value) >= size:
            scaled = Decimal(value) / size
            places = max(0, 2 - scaled.adjusted())
            return f"{scaled.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):,}{suffix}"
    raise AssertionError("10,000 is above the smallest suffix")


def percent(ratio: Decimal | None, *, places: int = 1) -> str:
    """`12.5 %` of a ratio from 0 to 1; what is not nothing never reads as 0."""
    if ratio is None:
        return UNKNOWN
    step = Decimal(1).scaleb(-places)
    rounded = (ratio * 100).quantize(step, ROUND_HALF_UP)
    if ratio > 0 and rounded == 0:
        return f"< {step} %"
    return f"{rounded:,} %"


def duration(milliseconds: int | Decimal | None) -> str:
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 1000:
        return f"{int(milliseconds)} ms"
    seconds = Decimal(milliseconds) / 1000
    if seconds < 60:
        return f"{seconds.quantize(Decimal('0.01'), ROUND_HALF_UP)} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def plain_text(value: Any) -> str:
    """What a tag says: text as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def moment(value: datetime | None, zone: ZoneInfo) -> str:
    return UNKNOWN if value is None else f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def utc(value: datetime | None) -> str:
    return "" if value is None else f"{value.astimezone(ZoneInfo('UTC')):%Y-%m-%d %H:%M:%S.%f} UTC"


def span(first: datetime, last: datetime) -> str:
    """How long from one moment to a later one, in its largest unit: `8 days`, `5 hours`."""
    seconds = max(0, int((last - first).total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = round(seconds / size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
