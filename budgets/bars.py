"""A budget as a bar: spent and held of its limit, and how it is doing by colour, sign and word."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.template.loader import render_to_string

from budgets.models import Budget
from budgets.standing import Figures, State

# The symbol is a shape of its own for each: who cannot tell the colours apart reads it as well.
SIGNS = {
    State.PAUSED: ("pause_circle", "bad"),
    State.OVER: ("error", "bad"),
    State.WARNED: ("warning", "warn"),
    State.OK: ("check_circle", "good"),
    State.NO_LIMIT: ("all_inclusive", ""),
    State.NOT_IN_FORCE: ("do_not_disturb_on", ""),
}


@dataclass(frozen=True, slots=True)
class Listed(Figures):
    """The figures of a budget that a list found together with it."""

    limit: Decimal | None
    spent: Decimal
    estimated: Decimal
    held: Decimal
    refuses: bool
    is_in_force: bool
    is_archived: bool
    thresholds: list[int]
    is_raised: bool
    end_on: date | None


def listed(budget: Budget) -> Listed:
    """Of a budget out of `Budget.objects.with_figures()`."""
    found = budget.__dict__
    return Listed(
        limit=found["now_limit"],
        spent=found["now_spent"],
        estimated=found["now_estimated"],
        held=found["now_held"],
        refuses=budget.hard and found["now_enforced"] and found["now_in_force"],
        is_in_force=found["now_in_force"],
        is_archived=budget.archived_at is not None,
        thresholds=budget.thresholds,
        is_raised=found["now_limit"] != budget.limit,
        end_on=found["now_end"],
    )


def bar(figures: Figures) -> str:
    limit = figures.limit or None
    icon, tone = SIGNS[figures.state]
    return render_to_string(
        "budgets/bar.html",
        {
            "standing": figures,
            "icon": icon,
            "tone": tone,
            "spent_width": width(figures.consumed, limit),
            "claimed_width": width(figures.consumed + figures.held, limit),
        },
    )


def width(part: Decimal, limit: Decimal | None) -> str:
    """How much of the bar is filled, in percent from 0 to 100."""
    return f"{min(part * 100 / limit, Decimal(100)):.1f}" if limit else "0"
