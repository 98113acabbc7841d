"""Insight's tables in the admin: what models can do, and how workspaces are watched."""

from typing import Any

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db.models import Q
from django.http import HttpRequest
from unfold.contrib.forms.widgets import ArrayWidget
from unfold.decorators import display

from accounts.access import Right
from accounts.scoped_admin import (
    ByAccount,
    ByWorkspace,
    ScopedAdmin,
    is_platform,
    reaches_some_place,
)
from usage import formatting
from usage.availability_models import OutageWatch, ProviderCheck
from usage.insight_models import ModelCapability
from usage.spike_models import SpikeWatch


@admin.register(ModelCapability)
class ModelCapabilityAdmin(ScopedAdmin):
    """Which models may stand in for each other, kept by platform staff and read by everybody."""

    nothing_yet = (
        "What models can do decides which may stand in for which, in savings. Platform staff "
        "keep the list."
    )
    edit_right = None
    list_display = ("name", "provider", "tier", "context", "offered", "note")
    list_filter = ("tier", "provider", "offered")
    search_fields = ("name", "provider", "note")
    fields = ("provider", "name", "tier", "context_window", "offered", "note")

    @display(description="context window", ordering="context_window")
    def context(self, model: Any) -> str:
        return formatting.count(model.context_window)

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return Q()

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return is_platform(request) or reaches_some_place(request, right)


@admin.register(SpikeWatch)
class SpikeWatchAdmin(ScopedAdmin):
    """How spikes of a workspace are watched, for whoever manages it."""

    nothing_yet = (
        "Every workspace is watched with the usual settings. Add one whose spikes are to be "
        "judged otherwise or told to others."
    )
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

    nothing_yet = (
        "A check asks an address of a provider every minute whether it answers. Without any, "
        "availability is told from requests alone."
    )
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

    nothing_yet = (
        "Whoever is named here is told when a provider that the account uses stops answering."
    )
    fixed_fields = ("account",)
    list_display = ("account", "provider", "recipients")
    list_select_related = ("account", "provider")
    list_filter = (ByAccount,)
    fields = ("account", "provider", "recipients")
    formfield_overrides = {ArrayField: {"widget": ArrayWidget}}
