"""An account that moves to another time zone: who has a say in it, and what is left to do.

Days, months and budget periods are cut in the account's zone, so that other apps hold sums by it.
They hook in here; the change itself is a save of the account, in one transaction with all of it.
"""

from collections.abc import Callable

from django.core.exceptions import ValidationError

from accounts.models import Account, User


class CannotChangeZone(ValidationError):
    """Why not, in words for whoever asked."""


# Each may raise CannotChangeZone for an account that is about to be saved with another zone.
may_change: list[Callable[[Account], None]] = []

# Each may leave a change to be made beside requests, because it takes a while, and says so.
later: list[Callable[..., str]] = []

# What is to be told of a change that was left for later.
told: list[Callable[[Account], str]] = []

# How many requests of the account are still to be cut into its days.
waiting: list[Callable[[Account], int]] = []


def check_change(account: Account) -> None:
    """Raises CannotChangeZone where the account cannot be moved to the zone that it has now."""
    for check in may_change:
        check(account)


def ask_later(account: Account, time_zone: str, *, by: User) -> str:
    """What is said where the change is left for later; empty where it is to be made at once."""
    return next(filter(None, (ask(account, time_zone, by=by) for ask in later)), "")


def how_far(account: Account) -> list[str]:
    return [text for tell in told if (text := tell(account))]


def requests_waiting(account: Account) -> int:
    return sum(count(account) for count in waiting)
