"""Re-pricings as tests ask for them, with the worker's part done at once."""

from datetime import date
from decimal import Decimal
from typing import Any

from accounts.models import Account
from tests.factories import NOW, make_price, save_prices
from usage.models import Price, RepricedModel, Repricing
from usage.pricing import reprice, repricing_work

# Random requests lie on days after FIRST, some a microsecond before such a day.
FIRST, LAST = date(2026, 11, 13), date(2026, 11, 18)
AFTER = date(2026, 11, 19)


def previewed(account: Account, **more: Any) -> Repricing:
    """A re-pricing of everything on those days, unless told otherwise."""
    selection = {"start_on": FIRST, "end_on": AFTER, "only_unpriced": False, "by": None}
    return worked(reprice.request(account, now=NOW, **selection | more))


def applied(account: Account, **more: Any) -> Repricing:
    return apply(previewed(account, **more))


def apply(repricing: Repricing, reason: str = "the price has come") -> Repricing:
    reprice.apply(repricing, reason=reason, by=None, now=NOW)
    return worked(repricing)


def worked(repricing: Repricing) -> Repricing:
    """As it is once the worker has done all it can."""
    while repricing_work.work():
        pass
    repricing.refresh_from_db()
    return repricing


def figures(repricing: Repricing) -> dict[str, tuple[Any, ...]]:
    """Model -> requests, changed, unpriced before and after, old and new cost."""
    names = RepricedModel.FIGURES[:6]
    lines = repricing.lines.filter(applied=repricing.is_applied)
    return {line.model.name: tuple(getattr(line, name) for name in names) for line in lines}


def lines(repricing: Repricing, *, applied: bool) -> list[dict[str, Any]]:
    found = repricing.lines.filter(applied=applied).order_by("model")
    return list(found.values("model", *RepricedModel.FIGURES))


def new_model_prices(unit_price: str = "4") -> None:
    """What was missing: a price for input and output of the model brand-new, at $4 a million."""
    save_prices(
        *(make_price(meter, unit_price, model="brand-new") for meter in ("input", "output"))
    )


def correct(meter: str, unit_price: str, model: str = "gpt-4o") -> None:
    """As a reviewer does: the price of the model was always another one."""
    Price.objects.filter(priced_model__name=model, meter=meter).update(
        unit_price=Decimal(unit_price)
    )
