"""Admins that show only what the user's roles reach, in one place.

A `ScopedAdmin` says how its rows hang on a workspace or an account; lists, single rows, choices of
foreign keys and autocompletes all follow from that. Who holds a role in a workspace reaches what
is in that workspace; what is account-wide (such as clients) is for account-wide roles.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar, cast
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import (
    DateTimeField,
    DecimalField,
    Field,
    ForeignKey,
    IntegerField,
    ManyToManyField,
    Model,
    Q,
    QuerySet,
)
from django.forms import ModelChoiceField, ModelMultipleChoiceField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action

from accounts import moments
from accounts.access import RIGHTS_BY_ROLE, Reach, Right, part_with, reach_of_user
from accounts.figures import counts, dollars, named_for, swapped, without_zeros
from accounts.models import Role, User


def reach_of(request: HttpRequest, right: Right = Right.SEE) -> Reach:
    """The caller's reach. What they may see is asked once a request; every role may see."""
    known = request.__dict__.setdefault("reaches", {})
    if right not in known:
        if right is Right.SEE:
            known[right] = reach_of_user(cast(User, request.user))
        else:
            seen = reach_of(request)
            known[right] = (
                seen if is_platform(request) else part_with(seen, roles_of(request), right)
            )
    return known[right]


def whole_accounts(request: HttpRequest, right: Right = Right.SEE) -> list[int]:
    """Ids of the accounts in which the caller's role with that right is account-wide."""
    if is_platform(request):
        return reach_of(request).account_ids
    return [
        role.account_id
        for role in roles_of(request)
        if role.workspace_id is None and right in RIGHTS_BY_ROLE[role.name]
    ]


def reaches_some_place(request: HttpRequest, right: Right) -> bool:
    """A workspace, or an account that has none yet: somebody has to make the first."""
    return bool(reach_of(request, right).workspaces or whole_accounts(request, right))


def roles_of(request: HttpRequest) -> list[Role]:
    """The caller's roles, asked once a request; of who may not log in here, none count."""
    if "roles" not in request.__dict__:
        user = request.user
        counts = user.is_active and user.is_staff
        request.__dict__["roles"] = list(Role.objects.filter(user=user.pk)) if counts else []
    return request.__dict__["roles"]


def is_platform(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_staff and request.user.is_superuser)


# Filters that offer what is in the list; the usual ones would name every account there is.
ByAccount = ("account", admin.RelatedOnlyFieldListFilter)
ByWorkspace = ("workspace", admin.RelatedOnlyFieldListFilter)


NOTHING_THERE = "It does not exist, or it is not yours to see."


class ScopedAdmin(ModelAdmin):
    """Rows within the caller's reach, and nothing else.

    Rows with a `workspace_path` follow the workspace; others follow the account at `account_path`.
    Without an `edit_right` nobody but platform staff changes anything.
    """

    account_path = "account"
    workspace_path: str | None = None
    see_right = Right.SEE
    edit_right: Right | None = Right.MANAGE
    # What says where a row belongs stays as it was made: its history would move along.
    fixed_fields: ClassVar[tuple[str, ...]] = ()
    # Moments that are chosen, and not met, such as when a price begins.
    utc_fields: ClassVar[tuple[str, ...]] = ("valid_from", "valid_to")
    # Said where the list is empty: what comes here, and how.
    nothing_yet = ""
    list_per_page = 50
    compressed_fields = True

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        if self.workspace_path:
            return Q(**{f"{self.workspace_path}__in": reach_of(request, right).workspace_ids})
        return Q(**{f"{self.account_path}__in": whole_accounts(request, right)})

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        if self.workspace_path:
            return reaches_some_place(request, right)
        return bool(whole_accounts(request, right))

    def reachable(self, request: HttpRequest, right: Right) -> QuerySet[Any]:
        return super().get_queryset(request).filter(self.rows_within(request, right))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.reachable(request, self.see_right)

    def may(self, request: HttpRequest, right: Right | None, obj: Model | Any = None) -> bool:
        """Whether the caller has the right over the row (or its key), or over any row at all."""
        if right is None:
            return bool(request.user.is_active and request.user.is_superuser)
        # Also of what belongs to everybody, such as list prices: nobody sees it without a role.
        if obj is None or not self.reaches_any(request, right):
            return self.reaches_any(request, right)
        pk = obj.pk if isinstance(obj, Model) else obj
        try:
            return self.reachable(request, right).filter(pk=pk).exists()
        except (ValueError, ValidationError):
            return False  # an address may say anything

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, self.see_right, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, self.edit_right)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, self.edit_right, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, self.edit_right, obj)

    # django-import-export asks for these two.
    def has_import_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.reaches_any(request, Right.EXPORT)

    def get_export_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What the list shows, less what the caller may see but not take along."""
        shown = super().get_export_queryset(request)  # type: ignore[misc]
        return shown.filter(self.rows_within(request, Right.EXPORT)).distinct()

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Moments in the reader's zone."""
        names = super().get_list_display(request)
        zone = moments.zone_of(reach_of(request))
        fields = {field.name: field for field in self.opts.fields}
        shown = {
            name: said
            for name, field in fields.items()
            if (said := self.as_written(field, zone)) is not None
        }
        return [shown.get(name, name) if isinstance(name, str) else name for name in names]

    def as_written(self, field: Field, zone: ZoneInfo) -> Callable[[Any], str] | None:
        """How a column is said that its bare value would say badly; None: as it is."""
        if isinstance(field, DecimalField):
            return dollars(field)
        if isinstance(field, DateTimeField) and field.name not in self.utc_fields:
            return moments.column(field, zone)
        if isinstance(field, IntegerField) and not (field.primary_key or field.choices):
            return counts(field)
        return None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """What nobody edits as lists show it: moments in the reader's zone, money as money."""
        form, zone = context["adminform"], moments.zone_of(reach_of(request))
        own = {field.name for field in self.opts.fields}
        fields = (self.opts.get_field(n) for n in form.readonly_fields if n in own)
        shown = {
            field.name: said
            for field in fields
            if (said := self.as_written(field, zone) or self.unlinked(field, request, kwargs))
        }
        form.readonly_fields = swapped(form.readonly_fields, shown)
        form.fieldsets = [
            (name, {**options, "fields": swapped(options["fields"], shown)})
            for name, options in form.fieldsets
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def unlinked(
        self, field: Field, request: HttpRequest, given: dict[str, Any]
    ) -> Callable[[Any], str] | None:
        """The name alone of what the row hangs on, where the caller may not look at that."""
        related = self.admin_site._registry.get(field.related_model) if field.is_relation else None
        target = getattr(given.get("obj"), field.name, None) if related else None
        if not (related and isinstance(target, Model)):
            return None
        if related.has_view_permission(request, target):
            return None
        return named_for(field, lambda _: str(target))

    def _get_obj_does_not_exist_redirect(self, *args: Any) -> HttpResponse:
        """Not Django's way back to the dashboard: pages and programs are told the same."""
        raise Http404(NOTHING_THERE)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        always = tuple(super().get_readonly_fields(request, obj))
        return always + self.fixed_fields if obj else always

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Where there is only one account or workspace to choose, it is chosen."""
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        if self.edit_right and len(ids := whole_accounts(request, self.edit_right)) == 1:
            initial.setdefault("account", ids[0])
        if self.edit_right and len(ids := reach_of(request, self.edit_right).workspace_ids) == 1:
            initial.setdefault("workspace", ids[0])
        return initial

    def choices_for(self, request: HttpRequest, model: type[Model]) -> QuerySet[Any] | None:
        """The rows of another model that the caller may tie to rows of this one."""
        related = self.admin_site._registry.get(model)
        if not isinstance(related, ScopedAdmin):
            return None
        return related.reachable(request, self.edit_right or self.see_right)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Who chooses a moment is told in which zone; money is written as people write it."""
        found = super().formfield_for_dbfield(db_field, request, **kwargs)
        if found is not None and isinstance(db_field, DecimalField):
            found.prepare_value = without_zeros
        if found is not None and isinstance(db_field, DateTimeField):
            zone = timezone.get_current_timezone_name()
            found.help_text = f"{found.help_text} In {zone}.".strip()
        return found

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        choices = self.choices_for(request, db_field.related_model)
        if choices is not None:
            kwargs["queryset"] = choices
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField, request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField | None:
        choices = self.choices_for(request, db_field.related_model)
        if choices is not None:
            kwargs["queryset"] = choices
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class ArchivedFilter(admin.SimpleListFilter):
    """Hides what is archived until it is asked for."""

    title = "archived"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Archived"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        everything = list(super().choices(changelist))
        everything[0]["display"] = "Active"
        return iter(everything)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        return queryset.filter(archived_at__isnull=self.value() != "yes")


KEPT = (
    "This is not deleted, because its spend would be nobody's in every report. Archive it: it "
    "leaves the lists and keeps its history."
)


class ArchivableAdmin(ScopedAdmin):
    """Things with history are archived, and never deleted: their spend stays in every report."""

    actions: tuple[str, ...] = ("archive_chosen", "unarchive_chosen")
    actions_submit_line: tuple[str, ...] = ("archive_this", "unarchive_this")

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [ArchivedFilter, *super().get_list_filter(request)]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Refused, with a better offer."""
        if not self.has_view_permission(request, object_id):
            raise Http404(NOTHING_THERE)
        messages.warning(request, KEPT)
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[object_id]))

    def is_archived(self, obj: Any) -> bool:
        pk = obj.pk if isinstance(obj, Model) else obj
        return self.model._default_manager.filter(pk=pk, archived_at__isnull=False).exists()

    def has_archive_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj) and (
            obj is None or not self.is_archived(obj)
        )

    def has_unarchive_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj) and (obj is None or self.is_archived(obj))

    @admin.action(description="Archive", permissions=["change"])
    def archive_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.set_archived(request, queryset.filter(archived_at=None), at=timezone.now())

    @admin.action(description="Take out of the archive", permissions=["change"])
    def unarchive_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.set_archived(request, queryset.exclude(archived_at=None), at=None)

    @action(description="Archive", permissions=["archive"])
    def archive_this(self, request: HttpRequest, obj: Any) -> None:
        self.set_archived(request, self.model._default_manager.filter(pk=obj.pk), at=timezone.now())

    @action(description="Take out of the archive", permissions=["unarchive"])
    def unarchive_this(self, request: HttpRequest, obj: Any) -> None:
        self.set_archived(request, self.model._default_manager.filter(pk=obj.pk), at=None)

    def set_archived(
        self, request: HttpRequest, queryset: QuerySet[Any], *, at: datetime | None
    ) -> None:
        allowed = queryset.filter(
            pk__in=self.reachable(request, self.edit_right or Right.MANAGE).values("pk")
        )
        changed = list(allowed)
        for row in changed:  # saved one by one, so that what remembers them by signal hears of it
            row.archived_at = at
            row.save(update_fields=["archived_at"])
        done = "taken out of the archive" if at is None else "archived"
        messages.success(request, f"{len(changed)} {done}. Their history stays in every report.")
