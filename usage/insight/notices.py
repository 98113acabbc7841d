"""What insight has to tell people. Who carries it to them registers in `on_notice`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.template.loader import render_to_string


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


def as_html(paragraphs: Sequence[str], *, link: str, label: str) -> str:
    """A mail of a few sentences, the first of them the one that counts."""
    return render_to_string(
        "usage/insight/notice.html", {"paragraphs": paragraphs, "link": link, "label": label}
    )
