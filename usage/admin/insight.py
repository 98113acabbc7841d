"""Insight's tables in the admin: what models can do."""

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from accounts.access import Right
from accounts.scoped_admin import ScopedAdmin, reach_of
from usage.insight_models import ModelCapability


@admin.register(ModelCapability)
class ModelCapabilityAdmin(ScopedAdmin):
    """Which models may stand in for each other, kept by platform staff and read by everybody."""

    edit_right = None
    list_display = ("name", "provider", "tier", "context_window", "offered", "note")
    list_filter = ("tier", "provider", "offered")
    search_fields = ("name", "provider", "note")
    fields = ("provider", "name", "tier", "context_window", "offered", "note")

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return Q()

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return request.user.is_superuser or bool(reach_of(request, right).workspaces)
