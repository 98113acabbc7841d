"""From a row's own pages to what the audit log knows of it."""

from typing import Any

from django import template
from django.db.models import Model

register = template.Library()


@register.simple_tag(takes_context=True)
def audit_address(context: dict[str, Any], row: Model) -> str:
    """What the row said on any day; nothing for who may not read that."""
    from config import audit_page  # tags are loaded while the admin still is

    return audit_page.address_for(context["request"], row)
