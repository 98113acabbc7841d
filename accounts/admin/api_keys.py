"""API keys: whose they are, disabled and enabled, given to a member with their history."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import action, display

from accounts.access import Right
from accounts.admin.configuration import ScopedImportExport, workspace_of
from accounts.admin.history import ClaimableAdmin
from accounts.directory import safe_identifier
from accounts.models import ApiKey, Member, shortened
from accounts.resources import ApiKeyResource
from accounts.scoped_admin import ArchivableAdmin, ByWorkspace, reach_of


class ApiKeyForm(forms.ModelForm):
    def clean_identifier(self) -> str:
        """A key itself, pasted where its id belongs, is not kept: only its SHA-256."""
        return safe_identifier(self.cleaned_data["identifier"])

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        workspace = workspace_of(self, given)
        if workspace is None:  # said at its own field
            return given
        member, project = given.get("member"), given.get("default_project")
        if member and member.account_id != workspace.account_id:
            raise ValidationError({"member": "This member belongs to another account."})
        if project and project.workspace_id != workspace.pk:
            raise ValidationError({"default_project": "This project is in another workspace."})
        return given


@admin.register(ApiKey)
class ApiKeyAdmin(ClaimableAdmin, ScopedImportExport):
    nothing_yet = (
        "A gateway's key appears with the first request made with it. Then say whose it is."
    )
    form = ApiKeyForm
    resource_classes = (ApiKeyResource,)
    workspace_path = "workspace"
    fixed_fields = ("workspace", "identifier")
    list_display = ("__str__", "short_identifier", "workspace", "member", "is_enabled")
    list_select_related = ("workspace", "member")
    list_filter = (
        ByWorkspace,
        ("disabled_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("name", "identifier")
    autocomplete_fields = ("workspace", "member", "default_project")
    fields = ("workspace", "identifier", "name", "member", "default_project", "is_enabled")
    readonly_fields = ("is_enabled",)
    actions = (*ArchivableAdmin.actions, "disable_chosen", "enable_chosen")
    actions_submit_line = (*ArchivableAdmin.actions_submit_line, "disable_this", "enable_this")

    @display(description="identifier", ordering="identifier")
    def short_identifier(self, key: ApiKey) -> str:
        return shortened(key.identifier)

    @display(description="enabled", boolean=True)
    def is_enabled(self, key: ApiKey) -> bool:
        return key.disabled_at is None

    def has_disable_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj) and (
            obj is None or not self.is_disabled(obj)
        )

    def has_enable_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj) and (obj is None or self.is_disabled(obj))

    def is_disabled(self, obj: Any) -> bool:
        pk = obj.pk if isinstance(obj, ApiKey) else obj
        return ApiKey.objects.filter(pk=pk, disabled_at__isnull=False).exists()

    @admin.action(description="Disable", permissions=["change"])
    def disable_chosen(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self.set_disabled(request, queryset.filter(disabled_at=None), at=timezone.now())

    @admin.action(description="Enable", permissions=["change"])
    def enable_chosen(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self.set_disabled(request, queryset.exclude(disabled_at=None), at=None)

    @action(description="Disable", permissions=["disable"])
    def disable_this(self, request: HttpRequest, obj: ApiKey) -> None:
        self.set_disabled(request, ApiKey.objects.filter(pk=obj.pk), at=timezone.now())

    @action(description="Enable", permissions=["enable"])
    def enable_this(self, request: HttpRequest, obj: ApiKey) -> None:
        self.set_disabled(request, ApiKey.objects.filter(pk=obj.pk), at=None)

    def set_disabled(
        self, request: HttpRequest, keys: QuerySet[ApiKey], *, at: datetime | None
    ) -> None:
        """One by one, so that every process hears of it and refuses or allows within a second."""
        changed = list(keys.filter(pk__in=self.reachable(request, Right.MANAGE).values("pk")))
        for key in changed:
            key.disabled_at = at
            key.save(update_fields=["disabled_at"])
        done = "enabled" if at is None else "disabled: calls with it are refused when asked about"
        messages.success(request, f"{len(changed)} {done}.")

    def choices_for(self, request: HttpRequest, model: Any) -> QuerySet[Any] | None:
        if model is Member:
            return Member.objects.filter(account__in=reach_of(request, Right.MANAGE).account_ids)
        return super().choices_for(request, model)
