"""From a row's own pages to what the audit log knows of it."""

from typing import Any
from urllib.parse import urlencode

from django import template
from django.db.models import Model
from django.urls import reverse

register = template.Library()


@register.simple_tag(takes_context=True)
def audit_address(context: dict[str, Any], row: Model) -> str:
    """What the row said on any day; nothing for who may not read that."""
    from config import audit, audit_page  # tags are loaded while the admin still is

    table = row._meta.db_table
    if table not in audit.audited_tables() or not audit_page.may_see(context["request"]):
        return ""
    return f"{reverse('admin:audit_object')}?{urlencode({'table': table, 'id': row.pk})}"
