"""Moments in lists: in the reader's zone, with UTC on hover."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import DateTimeField
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.access import Reach

NONE = "—"


def zone_of(reach: Reach) -> ZoneInfo:
    """That of the accounts within reach; of several zones none, and so UTC."""
    zones = {account.time_zone for account in reach.accounts}
    return ZoneInfo(zones.pop() if len(zones) == 1 else "UTC")


def shown(moment: datetime | None, zone: ZoneInfo) -> SafeString:
    if moment is None:
        return SafeString(NONE)
    return format_html(
        '<time datetime="{}" title="{}" class="whitespace-nowrap">{}</time>',
        moment.isoformat(),
        f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{moment.astimezone(zone):%Y-%m-%d %H:%M}",
    )


def column(field: DateTimeField, zone: ZoneInfo) -> Callable[[Any], SafeString]:
    """A list's column that shows a field so, and sorts by it."""

    def moment(row: Any) -> SafeString:
        return shown(getattr(row, field.attname), zone)

    moment.short_description = field.verbose_name  # type: ignore[attr-defined]
    moment.admin_order_field = field.name  # type: ignore[attr-defined]
    moment.__name__ = field.name
    return moment
