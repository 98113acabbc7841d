"""How the fields of a row are written in lists and forms: money, counts, other rows."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from django.db.models import DecimalField, Field, IntegerField

from accounts import moments


def swapped(names: Iterable[Any], others: dict[str, Any]) -> list[Any]:
    """The fields of a form, which may stand in lines of several, with others for some."""
    return [
        swapped(name, others) if isinstance(name, list | tuple) else others.get(name, name)
        for name in names
    ]


def without_zeros(value: Any) -> Any:
    """An amount to its last digit that is not zero, and cents at least; what was typed as it is."""
    if not isinstance(value, Decimal) or not value.is_finite():
        return value
    whole, _, decimals = f"{value:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def dollars(field: DecimalField) -> Callable[[Any], str]:
    """What shows a field of a row to its last digit that is not zero, and cents at least."""

    def shown(row: Any) -> str:
        value: Decimal | None = getattr(row, field.attname)
        if value is None:
            return moments.NONE
        whole, _, decimals = without_zeros(value).partition(".")
        return f"${int(whole):,}.{decimals}"

    return named_for(field, shown)


def counts(field: IntegerField) -> Callable[[Any], str]:
    """What shows a number of things with its thousands apart."""

    def shown(row: Any) -> str:
        value: int | None = getattr(row, field.attname)
        return moments.NONE if value is None else f"{value:,}"

    return named_for(field, shown)


def named_for(field: Field, shown: Callable[[Any], str]) -> Callable[[Any], str]:
    """As a column of lists and a line of forms, headed and sorted as the field would be."""
    shown.short_description = field.verbose_name  # type: ignore[attr-defined]
    shown.admin_order_field = field.name  # type: ignore[attr-defined]
    shown.__name__ = field.name
    return shown
