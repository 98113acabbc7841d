"""What insight has to tell people. Who carries it to them registers in `on_notice`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told once: `key` is the same however often it is told.

    Without recipients the account's owners hear of it.
    """

    account_id: int
    workspace_id: int | None
    kind: str
    key: str
    subject: str
    text: str
    html: str
    recipients: tuple[str, ...] = field(default=())


on_notice: list[Callable[..., None]] = []


def tell(notice: Notice, *, now: datetime) -> None:
    """In the caller's transaction: what is told is true once that is committed."""
    for hook in on_notice:
        hook(notice, now=now)
