"""Insight's tables in the admin: what models can do, and how workspaces are watched."""

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db.models import Q
from django.http import HttpRequest
from unfold.contrib.forms.widgets import ArrayWidget

from accounts.access import Right
from accounts.scoped_admin import ByAccount, ByWorkspace, ScopedAdmin, reach_of
from usage.availability_models import OutageWatch, ProviderCheck
from usage.insight_models import ModelCapability
from usage.spike_models import SpikeWatch


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


@admin.register(SpikeWatch)
class SpikeWatchAdmin(ScopedAdmin):
    """How spikes of a workspace are watched, for whoever manages it."""

    workspace_path = "workspace"
    fixed_fields = ("workspace",)
    list_display = ("workspace", "sensitivity", "least_dollars", "least_tokens", "recipients")
    list_select_related = ("workspace",)
    list_filter = ("sensitivity", ByWorkspace)
    fields = ("workspace", "sensitivity", "least_dollars", "least_tokens", "recipients")
    formfield_overrides = {ArrayField: {"widget": ArrayWidget}}


@admin.register(ProviderCheck)
class ProviderCheckAdmin(ScopedAdmin):
    """What is asked every minute: for platform staff, because the server itself does the asking."""

    see_right = Right.MANAGE
    edit_right = None
    list_display = ("provider", "url", "expected_status", "timeout_seconds", "is_enabled")
    list_select_related = ("provider",)
    list_filter = ("is_enabled",)
    search_fields = ("provider__name", "url")
    fields = ("provider", "url", "expected_status", "timeout_seconds", "is_enabled")

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return Q() if request.user.is_superuser else Q(pk=None)

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return bool(request.user.is_superuser)


@admin.register(OutageWatch)
class OutageWatchAdmin(ScopedAdmin):
    """Who of an account hears of outages, for those who manage all of it."""

    fixed_fields = ("account",)
    list_display = ("account", "provider", "recipients")
    list_select_related = ("account", "provider")
    list_filter = (ByAccount,)
    fields = ("account", "provider", "recipients")
    formfield_overrides = {ArrayField: {"widget": ArrayWidget}}
