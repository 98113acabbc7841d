"""Who logs in, and what each may do where."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.db.models import Q, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.access import Right
from accounts.keeping import KeepsHistory
from accounts.models import (
    Account,
    Role,
    User,
)
from accounts.scoped_admin import (
    ByAccount,
    ScopedAdmin,
    whole_accounts,
)


@admin.register(User)
class UserAdmin(KeepsHistory, BaseUserAdmin, ModelAdmin):
    """Who logs in; for platform staff only. Roles say what each may see and do."""

    better_offer = (
        "They have logged in, and what they did is told under their name. Take away Active "
        "instead: they log in no more, and their roles count for nothing."
    )
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "is_active", "is_superuser")
    list_filter = ("is_active", "is_superuser")
    list_per_page = 50
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        (
            "Access",
            {
                "fields": ("is_active", "is_staff", "is_superuser"),
                "description": "Staff may log in here and see what their roles reach; superusers "
                "run the platform and reach everything.",
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "usable_password", "password1", "password2"),
            },
        ),
        ("Access", {"fields": ("is_staff",)}),
    )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_staff": True}

    def with_history(self, rows: QuerySet[User]) -> QuerySet[User]:
        return rows.exclude(last_login=None)


WHAT_ROLES_DO = (
    "Viewers see reports, requests and budgets. Accountants also export, and edit prices and "
    "clients. Managers also export, and manage workspaces, projects, members, keys, tokens and "
    "budgets. Owners do all of it, and give roles. Without a workspace the role covers the account."
)


class RoleForm(forms.ModelForm):
    class Meta:
        fields = ("user", "account", "workspace", "name")


@admin.register(Role)
class RoleAdmin(ScopedAdmin):
    """Owners say who may do what; only they have every right that they could give away."""

    nothing_yet = (
        "A role says what somebody may see and do in an account or in one workspace of it."
    )
    form = RoleForm
    fixed_fields = ("user", "account", "workspace")
    fieldsets = (
        (
            None,
            {"fields": ("user", "account", "workspace", "name"), "description": WHAT_ROLES_DO},
        ),
    )
    list_display = ("user", "name", "account", "workspace")
    list_select_related = ("user", "account", "workspace")
    list_filter = ("name", ByAccount)
    search_fields = ("user__username", "user__email")
    autocomplete_fields = ("account", "workspace")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Who gives a role without a thought gives the least."""
        return {"name": Role.Name.VIEWER, **super().get_changeform_initial_data(request)}

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return Q(account__in=self.owned(request))

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return bool(self.owned(request))

    def owned(self, request: HttpRequest) -> set[int]:
        ids = [set(whole_accounts(request, right)) for right in Right]
        return set.intersection(*ids)

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        if db_field.name == "user" and not request.user.is_superuser:
            # Who else uses the platform is nobody's business.
            known = Role.objects.filter(account__in=self.owned(request)).values("user")
            kwargs["queryset"] = User.objects.filter(pk__in=known)
        if db_field.name == "account":
            kwargs["queryset"] = Account.objects.filter(pk__in=self.owned(request))
            return super(ScopedAdmin, self).formfield_for_foreignkey(db_field, request, **kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
