"""Pages that move history: two projects become one, a key finds its member."""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from accounts import reattribution
from accounts.access import Right
from accounts.models import Member, Project, Reattribution, User
from accounts.scoped_admin import NOTHING_THERE, ArchivableAdmin, ByWorkspace, ScopedAdmin, reach_of

FOLLOWS = "Its history follows within seconds, in every report and budget."


class MergeForm(forms.Form):
    into = forms.ModelChoiceField(
        Project.objects.none(), label="Merge into", widget=UnfoldAdminSelectWidget
    )


class ClaimForm(forms.Form):
    member = forms.ModelChoiceField(Member.objects.none(), widget=UnfoldAdminSelectWidget)
    with_history = forms.BooleanField(
        label="Also what it spent before", required=False, initial=True,
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip


class MovesHistory(ArchivableAdmin):
    """An admin with a page that moves the history of one of its rows."""

    def has_move_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Asked before the page; of what somebody may not even see, nothing is told."""
        if obj is not None and not self.has_view_permission(request, obj):
            raise Http404(NOTHING_THERE)
        return self.has_archive_permission(request, obj)

    def movable(self, request: HttpRequest, object_id: str) -> Any:
        """The row, for those who may move its history. Raises Http404, PermissionDenied."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404(NOTHING_THERE)
        if not self.has_move_permission(request, found):
            raise PermissionDenied
        return found

    def move_page(
        self,
        request: HttpRequest,
        obj: Any,
        form: forms.Form,
        act: Callable[[dict[str, Any]], str],
        **context: Any,
    ) -> HttpResponse:
        """Shows the form, or does what it says; `act` answers with what is to be written down."""
        change_page = reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk]
        )
        if form.is_valid():
            try:
                done = act(form.cleaned_data)
            except ValidationError as error:
                form.add_error(None, error)
            else:
                self.write_down(request, obj, done)
                messages.success(request, done)
                return HttpResponseRedirect(change_page)
        base = self.admin_site.each_context(request)
        return TemplateResponse(
            request,
            "accounts/move_history.html",
            {**base, "form": form, "object": obj, "change_page": change_page, **context},
        )

    def write_down(self, request: HttpRequest, obj: Any, what: str) -> None:
        LogEntry.objects.log_actions(request.user.pk or 0, [obj], CHANGE, change_message=what)


class MergeableAdmin(MovesHistory):
    actions_detail = ("merge",)

    @action(description="Merge into another", permissions=["move"], icon="merge", url_path="merge")
    def merge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        project = self.movable(request, object_id)
        form = MergeForm(request.POST or None)
        others = Project.objects.active().filter(workspace=project.workspace_id)
        form.fields["into"].queryset = others.exclude(pk=project.pk)  # type: ignore[attr-defined]

        def act(given: dict[str, Any]) -> str:
            reattribution.merge(
                project, into=given["into"], by=cast(User, request.user), now=timezone.now()
            )
            return f"Merged into {given['into']}. {FOLLOWS}"

        return self.move_page(
            request,
            project,
            form,
            act,
            title=f"Merge {project}",
            history=reattribution.history_of(project=project),
            explained=(
                f"Requests that carry the tag {project.tag} count for the other project, those "
                "recorded already as well as those to come. This project is archived; budgets "
                "over it see nothing any more. It cannot be undone."
            ),
            button="Merge",
        )


class ClaimableAdmin(MovesHistory):
    actions_detail = ("claim",)

    @action(
        description="Give to a member", permissions=["move"], icon="person_add", url_path="claim"
    )
    def claim(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.movable(request, object_id)
        form = ClaimForm(request.POST or None)
        members = Member.objects.active().filter(account=key.workspace.account_id)
        form.fields["member"].queryset = members.exclude(pk=key.member_id)  # type: ignore[attr-defined]

        def act(given: dict[str, Any]) -> str:
            reattribution.claim(key, by=cast(User, request.user), now=timezone.now(), **given)
            follows = f" {FOLLOWS}" if given["with_history"] else ""
            return f"Given to {given['member']}.{follows}"

        whose = str(key.member) if key.member else "nobody"
        return self.move_page(
            request,
            key,
            form,
            act,
            title=f"Give {key} to a member",
            history=reattribution.history_of(key=key),
            explained=(
                f"The key has been {whose}'s. Requests made with it count for the member from now "
                "on, except those that name somebody themselves."
            ),
            button="Give",
        )


@admin.register(Reattribution)
class ReattributionAdmin(ScopedAdmin):
    """What was moved, by whom; nobody edits it."""

    nothing_yet = (
        "A move begins on the page of a project (merge) or of an API key (give to a member)."
    )
    workspace_path = "workspace"
    list_display = ("__str__", "workspace", "requested_at", "requested_by", "state", "requests")
    list_select_related = (
        *("workspace", "requested_by", "from_project", "to_project"),
        *("api_key", "from_member", "to_member"),
    )
    list_filter = (ByWorkspace,)

    @display(description="state", label={"done": "success", "waiting": "info"})
    def state(self, asked: Reattribution) -> str:
        return "done" if asked.finished_at else "waiting"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, Right.MANAGE, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        reach = reach_of(request, Right.MANAGE)
        return super().get_queryset(request).filter(workspace__in=reach.workspace_ids)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
