"""Access tokens: issued, shown once, narrowed and revoked."""

import secrets
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import tokens
from accounts.access import Right
from accounts.models import (
    AccessToken,
    Scope,
)
from accounts.scoped_admin import (
    ByAccount,
    ScopedAdmin,
)

ISSUED_ALREADY = (
    "This token is issued already, and its text cannot be shown again. Revoke it and issue another "
    "if the text is lost."
)


def issued(request: HttpRequest) -> list[str]:
    """The forms that issued a token in this session."""
    return [once for once in request.session.get("issued", []) if once]


class AccessTokenForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    # Tells the same form sent again, by a reload of its answer, from another one.
    once = forms.CharField(widget=forms.HiddenInput, required=False, label="")

    class Meta:
        model = AccessToken
        fields = ("account", "name", "scopes", "workspaces", "expires_at")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        account = given.get("account") or (self.instance.account if self.instance.pk else None)
        workspaces = given.get("workspaces")
        if account and workspaces and any(w.account_id != account.pk for w in workspaces):
            raise ValidationError({"workspaces": "Choose workspaces of the token's own account."})
        return given


@admin.register(AccessToken)
class AccessTokenAdmin(ScopedAdmin):
    """Tokens are shown once when they are issued; later they can be narrowed and revoked."""

    nothing_yet = (
        "Gateways and programs need a token to post requests, ask before calls and read "
        "reports. Its text is shown once."
    )
    form = AccessTokenForm
    see_right = Right.MANAGE
    fixed_fields = ("account",)
    list_display = ("name", "begins_with", "account", "scope_list", "state", "last_used_at")
    list_select_related = ("account",)
    list_filter = (ByAccount, ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "public_id")
    autocomplete_fields = ("account", "workspaces")
    actions = ("revoke_chosen",)
    actions_submit_line = ("revoke_this",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        given = ("account", "name", "scopes", "workspaces", "expires_at")
        return (*given, "begins_with", "state", "last_used_at") if obj else (*given, "once")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().get_changeform_initial_data(request), "once": secrets.token_hex(8)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        always = super().get_readonly_fields(request, obj)
        return (*always, "begins_with", "state", "last_used_at", "created_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a revoked token stays, to be found in logs by its public id

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_change_permission(request)
        pk = obj.pk if isinstance(obj, AccessToken) else obj
        return self.reachable(request, Right.MANAGE).filter(pk=pk, revoked_at=None).exists()

    @display(description="begins with")
    def begins_with(self, token: AccessToken) -> str:
        return f"tb_{token.public_id}_…"

    @display(description="scopes")
    def scope_list(self, token: AccessToken) -> str:
        return ", ".join(token.scopes)

    @display(
        description="state", label={"usable": "success", "expired": "warning", "revoked": "danger"}
    )
    def state(self, token: AccessToken) -> str:
        if token.revoked_at:
            return "revoked"
        expired = token.expires_at is not None and token.expires_at <= timezone.now()
        return "expired" if expired else "usable"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST" and request.POST.get("once") in issued(request):
            messages.warning(request, ISSUED_ALREADY)
            return HttpResponseRedirect(reverse("admin:accounts_accesstoken_changelist"))
        only_save = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().add_view(request, form_url, {**only_save, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: AccessToken, form: Any, change: bool) -> None:
        if not change:
            # On the object of this request only, to be shown by response_add and then forgotten.
            obj.text = obj.renew_secret()  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: AccessToken, post_url_continue: Any = None
    ) -> HttpResponse:
        """Shown in the very answer: a message would rest in a cookie, a redirect in a session."""
        request.session["issued"] = [*issued(request), request.POST.get("once")][-20:]
        context = {
            **self.admin_site.each_context(request),
            "title": "Access token issued",
            "token": obj,
            "text": obj.text,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "accounts/token_issued.html", context)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke_chosen(self, request: HttpRequest, queryset: QuerySet[AccessToken]) -> None:
        for token in queryset:
            tokens.revoke(token, now=timezone.now())
        messages.success(request, "Revoked: these tokens let nobody in any more.")

    @action(description="Revoke", permissions=["revoke"])
    def revoke_this(self, request: HttpRequest, obj: AccessToken) -> None:
        tokens.revoke(obj, now=timezone.now())
        messages.success(request, "Revoked: this token lets nobody in any more.")
