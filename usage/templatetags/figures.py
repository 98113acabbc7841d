"""Template filters for figures: `{% load figures %}`."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from usage import formatting

register = template.Library()

register.filter("money", formatting.money)
register.filter("exact_money", formatting.exact_money)
register.filter("change_of_money", formatting.change_of_money)
register.filter("count", formatting.count)
register.filter("compact", formatting.compact)
register.filter("percent", formatting.percent)
register.filter("plain_text", formatting.plain_text)
register.filter("duration", formatting.duration)


@register.simple_tag
def spent(value: Decimal | None) -> SafeString:
    """Money, with every stored digit on hover."""
    return format_html(
        '<span title="{}">{}</span>', formatting.exact_money(value), formatting.money(value)
    )


@register.simple_tag
def counted(value: int | None) -> SafeString:
    """A count in short, with the whole of it on hover."""
    return format_html(
        '<span title="{}">{}</span>', formatting.count(value), formatting.compact(value)
    )


@register.simple_tag
def at(value: datetime | None, zone: ZoneInfo) -> SafeString:
    """A moment in a zone, with UTC on hover."""
    if value is None:
        return SafeString(formatting.UNKNOWN)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(),
        formatting.utc(value),
        formatting.moment(value, zone),
    )
