"""Accounts and what is in them: workspaces, clients, members, projects, API keys."""

from copy import copy
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from import_export.admin import ImportExportModelAdmin
from import_export.formats.base_formats import JSON
from unfold.contrib.import_export.forms import ExportForm, ImportForm

from accounts import zones
from accounts.access import Right
from accounts.admin.history import MergeableAdmin
from accounts.import_files import NOT_READ, CsvFile, UnreadableFile, XlsxFile
from accounts.models import (
    Account,
    ApiKey,
    Client,
    Member,
    Project,
    User,
    Workspace,
)
from accounts.resources import ClientResource, MemberResource, ProjectResource
from accounts.scoped_admin import (
    ArchivableAdmin,
    ByAccount,
    ByWorkspace,
    reach_of,
    whole_accounts,
)


class ScopedImportExport(ImportExportModelAdmin):
    """Files in and out, for whom and of what the scope allows."""

    import_form_class = ImportForm
    export_form_class = ExportForm
    import_template_name = "accounts/import.html"
    import_formats = (CsvFile, XlsxFile, JSON)

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_template"
        template = self.admin_site.admin_view(self.template_file)
        return [path("template.csv", template, name=name), *super().get_urls()]

    def template_file(self, request: HttpRequest) -> HttpResponse:
        """The columns of an import, to be filled in."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        columns = [field.column_name for field in self.resource_classes[0]().get_import_fields()]
        return HttpResponse(
            ",".join(columns) + "\r\n",
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{self.opts.model_name}s.csv"'},
        )

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        form.add_error("import_file", str(e) if isinstance(e, UnreadableFile) else NOT_READ)

    def get_import_resource_kwargs(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return {
            **super().get_import_resource_kwargs(request, *args, **kwargs),
            "accounts": whole_accounts(request, self.edit_right),
            "workspaces": reach_of(request, self.edit_right).workspace_ids,
        }


ANOTHER_ZONE = (
    "Another zone cannot be previewed: days whose single requests are kept are cut anew, in every "
    "report and every budget; older days stay as they were cut. Of many requests this takes "
    "minutes, and the old days count until it is done. Reports are exact all the time, and slower "
    "for a while."
)
IS_CUT_ANEW = (
    "Days and budget periods are those of {} from now on, in every report, as far back as single "
    "requests are kept."
)
STILL_BEING_CUT = (
    "{:,} requests are still to be folded into this account's days. Reports and budgets are "
    "exact meanwhile, and slower until it is done."
)


class AccountForm(forms.ModelForm):
    def clean(self) -> dict[str, Any] | None:
        """Another time zone moves what is recorded, which is not always possible."""
        cleaned = super().clean()
        if self.instance.pk and "time_zone" in self.changed_data and not self.errors:
            as_it_will_be = copy(self.instance)
            for name in ("time_zone", "books_closed_until"):
                setattr(
                    as_it_will_be, name, self.cleaned_data.get(name, getattr(self.instance, name))
                )
            try:
                zones.check_change(as_it_will_be)
            except zones.CannotChangeZone as error:
                self.add_error("time_zone", error)
        return cleaned


@admin.register(Account)
class AccountAdmin(ArchivableAdmin):
    nothing_yet = "Platform staff make accounts, and give their owners a role in them."
    form = AccountForm
    account_path = "pk"
    list_display = ("name", "slug", "time_zone", "archived_at")
    search_fields = ("name", "slug")
    readonly_fields = ("created_at",)
    prepopulated_fields = {"slug": ("name",)}
    fieldsets = (
        (
            None,
            {
                "fields": ("name", "slug", "time_zone"),
                "description": "The time zone decides where days, months and budget periods are "
                "cut. The slug stays as it is chosen.",
            },
        ),
        (
            "Models without a price",
            {
                "fields": ("ceiling_input_per_million", "ceiling_output_per_million"),
                "description": "Unknown is not zero: until a price is approved, such requests "
                "count this much towards caps, in US dollars.",
            },
        ),
        (
            "Books",
            {
                "fields": ("books_closed_until",),
                "description": "Closed by owners and accountants when a month is settled.",
            },
        ),
    )

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        """Seen by everybody in it, changed by those whose role is account-wide."""
        ids = reach_of(request, right).account_ids if right is Right.SEE else None
        return Q(pk__in=whole_accounts(request, right) if ids is None else ids)

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        if right is Right.SEE:
            return bool(reach_of(request).accounts) or super().reaches_any(request, right)
        return super().reaches_any(request, right)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Also those who close its books, of which they change nothing else."""
        return super().has_change_permission(request, obj) or self.may_close_books(request, obj)

    def has_archive_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.manages(request, obj) and super().has_archive_permission(request, obj)

    def has_unarchive_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.manages(request, obj) and super().has_unarchive_permission(request, obj)

    def manages(self, request: HttpRequest, obj: Any) -> bool:
        return self.may(request, Right.MANAGE, obj)

    def may_close_books(self, request: HttpRequest, obj: Any) -> bool:
        return self.may(request, Right.EDIT_PRICES_AND_CLIENTS, obj)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Of the books also from which day to which: whoever reopens them is to be found."""
        message = super().construct_change_message(request, form, formsets, add)
        if add or "books_closed_until" not in form.changed_data:
            return message
        before = form.initial.get("books_closed_until") or "open"
        after = form.cleaned_data["books_closed_until"] or "open"
        dates = {"name": "the books, closed until", "object": f"{before} → {after}"}
        return [*message, {"changed": {**dates, "fields": ["Books closed until"]}}]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        always = super().get_readonly_fields(request, obj)
        if obj is None:
            return always
        fixed = (*always, "slug")
        if not self.may_close_books(request, obj):
            return (*fixed, "books_closed_until")
        if not self.manages(request, obj):
            ceilings = ("ceiling_input_per_million", "ceiling_output_per_million")
            return (*fixed, "name", "time_zone", *ceilings)
        return fixed

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        if obj and "time_zone" in form.base_fields:
            form.base_fields["time_zone"].help_text = ANOTHER_ZONE
        return form

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """Only what was changed: the worker may be moving the account to another zone meanwhile."""
        if not change:
            return super().save_model(request, obj, form, change)
        changed, stored = set(form.changed_data), Account.objects.get(pk=obj.pk)
        if "time_zone" in changed:
            later = zones.ask_later(stored, obj.time_zone, by=cast(User, request.user))
            changed -= {"time_zone"} if later else set()
            messages.success(request, later or IS_CUT_ANEW.format(obj.time_zone))
        obj.save(update_fields=changed)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        account = kw.get("obj")
        if request.method == "GET" and account and (waiting := zones.requests_waiting(account)):
            messages.info(request, STILL_BEING_CUT.format(waiting))
        for text in zones.how_far(account) if request.method == "GET" and account else ():
            messages.info(request, text)
        return super().render_change_form(request, context, *args, **kw)


@admin.register(Workspace)
class WorkspaceAdmin(ArchivableAdmin):
    nothing_yet = (
        "A workspace is a team or department. Gateways name it in each request; one that is "
        "new makes itself on its first request."
    )
    workspace_path = "pk"
    fixed_fields = ("account", "slug")
    list_display = ("name", "slug", "account", "retention_days", "enforce_hard_limits")
    list_select_related = ("account",)
    list_filter = (ByAccount,)
    search_fields = ("name", "slug", "external_id")
    autocomplete_fields = ("account",)
    prepopulated_fields = {"slug": ("name",)}
    fields = ("account", "name", "slug", "external_id", "retention_days", "enforce_hard_limits")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(whole_accounts(request, Right.MANAGE))

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)


@admin.register(Client)
class ClientAdmin(ArchivableAdmin, ScopedImportExport):
    nothing_yet = (
        "Clients are whom the costs of projects are passed on to. Add them here or from a "
        "file, then choose them in projects."
    )
    edit_right = Right.EDIT_PRICES_AND_CLIENTS
    resource_classes = (ClientResource,)
    fixed_fields = ("account",)
    list_display = ("name", "slug", "account", "archived_at")
    list_select_related = ("account",)
    list_filter = (ByAccount,)
    search_fields = ("name", "slug")
    autocomplete_fields = ("account",)
    prepopulated_fields = {"slug": ("name",)}
    fields = ("account", "name", "slug")

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)


@admin.register(Member)
class MemberAdmin(ArchivableAdmin, ScopedImportExport):
    nothing_yet = (
        "Members appear with the first request that names them. They may be added before, "
        "also from a file."
    )
    resource_classes = (MemberResource,)
    fixed_fields = ("account",)
    list_display = ("__str__", "identifier", "kind", "account", "archived_at")
    list_select_related = ("account",)
    list_filter = ("kind", ByAccount)
    search_fields = ("name", "identifier", "email")
    autocomplete_fields = ("account",)
    fields = ("account", "identifier", "name", "email", "kind")

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        """Beside the account's, those who hold a key of a workspace within reach."""
        within = super().rows_within(request, right)
        if right is not Right.SEE:
            return within
        keys = ApiKey.objects.filter(workspace__in=reach_of(request).workspace_ids)
        return within | Q(pk__in=keys.exclude(member=None).values("member"))

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        if right is Right.SEE:
            return bool(reach_of(request).workspaces) or super().reaches_any(request, right)
        return super().reaches_any(request, right)


def workspace_of(form: forms.ModelForm, given: dict[str, Any]) -> Workspace | None:
    """The workspace that a form names, or that its row is in already."""
    known = form.instance.workspace if form.instance.workspace_id else None
    return given.get("workspace") or known


class ProjectForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        client, workspace = given.get("client"), workspace_of(self, given)
        if client and workspace and client.account_id != workspace.account_id:
            raise ValidationError({"client": "This client belongs to another account."})
        return given


@admin.register(Project)
class ProjectAdmin(MergeableAdmin, ScopedImportExport):
    nothing_yet = (
        "A project appears with the first request that carries its tag. It may be added "
        "before, also from a file."
    )
    form = ProjectForm
    resource_classes = (ProjectResource,)
    workspace_path = "workspace"
    fixed_fields = ("workspace", "tag")
    list_display = ("__str__", "tag", "workspace", "client", "archived_at")
    list_select_related = ("workspace", "client")
    list_filter = (ByWorkspace,)
    search_fields = ("tag", "name")
    autocomplete_fields = ("workspace", "client")
    fields = ("workspace", "tag", "name", "client")

    def choices_for(self, request: HttpRequest, model: Any) -> QuerySet[Any] | None:
        if model is Client:  # who manages projects says whose they are, without editing clients
            return Client.objects.filter(account__in=reach_of(request, Right.MANAGE).account_ids)
        return super().choices_for(request, model)
