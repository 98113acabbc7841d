"""Exports in the admin: ask for one, see how far it is, fetch its file."""

from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.access import Reach, Right
from accounts.errors import ApiError
from accounts.models import Account
from accounts.scoped_admin import ByAccount, ScopedAdmin, reach_of, reaches_some_place
from exports import job_words, jobs
from exports.catalogue import DATASETS, query_of
from exports.job_views import file_of
from exports.kinds import EXTENSIONS
from exports.models import Export
from usage import formatting, request_filters

TITLES = {
    "csv": "CSV",
    "json": "JSON",
    "jsonl": "JSON Lines",
    "xlsx": "Excel (XLSX)",
    "parquet": "Parquet",
    "csv.gz": "CSV, gzip",
    "json.gz": "JSON, gzip",
    "jsonl.gz": "JSON Lines, gzip",
}
LABELS = {
    "queued": "info",
    "running": "info",
    "done": "success",
    "failed": "danger",
    "cancelled": "warning",
}


class ExportForm(forms.ModelForm):
    """What is asked for; the question is what stands after the ? of a page or a report."""

    reach: Reach
    asked: QueryDict

    # Not by the name of the column: unfold takes a posted "dataset" for one of its own.
    what = forms.ChoiceField(
        label="Dataset",
        choices=[(d.name, d.title) for d in DATASETS.values()],
        widget=UnfoldAdminSelectWidget,
    )
    extension = forms.ChoiceField(
        label="Format",
        choices=[(name, TITLES[name]) for name in EXTENSIONS],
        widget=UnfoldAdminSelectWidget,
    )
    first_day = forms.DateField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="Of the account's calendar. Empty: as the dataset has it.",
    )
    last_day = forms.DateField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="The last day that is in the file.",
    )
    question = forms.CharField(
        required=False,
        label="Further parameters",
        widget=UnfoldAdminTextInputWidget,
        help_text="As in the API, such as group_by=client,model&project=apollo.",
    )

    class Meta:
        model = Export
        fields = ("account", "extension")

    def clean(self) -> dict[str, Any]:
        """Asks already, so that what cannot be asked is said at the form."""
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        asked = QueryDict(cleaned["question"].lstrip("?"), mutable=True)
        asked["account"] = cleaned["account"].slug
        if cleaned["first_day"]:
            asked["from"] = cleaned["first_day"].isoformat()
        if cleaned["last_day"]:
            asked["to"] = (cleaned["last_day"] + timedelta(1)).isoformat()
        self.asked = asked
        try:
            DATASETS[cleaned["what"]].open(asked, self.reach, now=timezone.now())
        except ApiError as error:
            raise ValidationError(str(error)) from error
        return cleaned


# Of an address; everything else is a further parameter.
IN_FORM = ("what", "extension", "account", *request_filters.PAGING)


def prefilled(asked: QueryDict, reach: Reach) -> dict[str, Any]:
    """The form for what a page shows, out of the page's address or the API's."""
    first, end = (day_in(asked.get(name, "")) for name in ("from", "to"))
    further = asked.copy()
    # A moment is no day: it stays a parameter.
    for name in (*IN_FORM, *(["from"] if first else []), *(["to"] if end else [])):
        further.pop(name, None)
    accounts = [a for a in reach.accounts if asked.get("account") in (None, "", a.slug)]
    return {
        "what": asked.get("what"),
        "extension": asked.get("extension"),
        "account": accounts[0].pk if len(accounts) == 1 else None,
        "first_day": first,
        "last_day": end and end - timedelta(1),
        "question": further.urlencode(safe=",:"),
    }


def again(export: Export) -> str:
    """The form that asks for the same."""
    asked = query_of(export.parameters)
    asked["what"], asked["extension"] = export.dataset, export.extension
    asked["account"] = export.account.slug
    return f"{reverse('admin:exports_export_add')}?{asked.urlencode()}"


def day_in(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@admin.register(Export)
class ExportAdmin(ScopedAdmin):
    """Only what the caller may see every row of."""

    nothing_yet = "An export is a file of any size, made in the background and kept for some days."
    form = ExportForm
    see_right = Right.EXPORT
    edit_right = Right.EXPORT
    list_display = (
        *("__str__", "label", "fetch", "rows_shown", "size_shown"),
        *("requested_at", "requested_by", "account"),
    )
    list_select_related = ("account", "requested_by")
    list_filter = ("state", "dataset", ByAccount)
    list_before_template = "exports/refresh.html"
    fieldsets = ((None, {"fields": ("account", "what", "extension", "first_day", "last_day",
                                    "question")}),)  # fmt: skip
    shown = (
        *("fetch", "label", "story", "title", "account", "extension", "rows_shown", "size_shown"),
        *("question_shown", "totals_shown", "checksum", "requested_by", "token", "requested_at"),
        *("finished_at", "expires_at"),
    )
    actions = ("cancel_chosen",)

    def reachable(self, request: HttpRequest, right: Right) -> QuerySet[Export]:
        reach = reach_of(request, right)
        return Export.objects.seen_by(reach.account_ids, reach.workspace_ids)

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return reaches_some_place(request, right)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self.reaches_any(request, Right.EXPORT)

    def choices_for(self, request: HttpRequest, model: type) -> QuerySet[Any] | None:
        if model is Account:
            return Account.objects.filter(pk__in=reach_of(request, Right.EXPORT).account_ids)
        return super().choices_for(request, model)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        form.reach = reach_of(request, Right.EXPORT)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ((None, {"fields": self.shown}),) if obj else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.shown if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What a page shows, out of its address."""
        return prefilled(request.GET, reach_of(request, Right.EXPORT))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """One button: what is asked for is no row to go on editing."""
        only: dict[str, Any] = {"title": "Ask for an export"}
        only |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, only | (extra_context or {}))

    def save_model(self, request: HttpRequest, obj: Export, form: Any, change: bool) -> None:
        """The form is a wish, not a row: asking makes the row."""
        made = jobs.ask(
            form.cleaned_data["what"],
            form.asked,
            form.reach,
            extension=form.cleaned_data["extension"],
            by=request.user,  # type: ignore[arg-type]
            now=timezone.now(),
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        """There is nothing related."""

    def response_add(
        self, request: HttpRequest, obj: Export, post_url_continue: Any = None
    ) -> HttpResponse:
        messages.success(request, "The export is being made. Its file is here once it is done.")
        return HttpResponseRedirect(reverse("admin:exports_export_changelist"))

    def get_urls(self) -> list[URLPattern]:
        fetch = self.admin_site.admin_view(self.fetch_view)
        name = "exports_export_fetch"
        return [path("<uuid:export_id>/file/", fetch, name=name), *super().get_urls()]

    def fetch_view(self, request: HttpRequest, export_id: Any) -> HttpResponseBase:
        export = self.reachable(request, Right.EXPORT).filter(pk=export_id).first()
        if export is None:
            raise Http404
        try:
            return file_of(export)
        except ApiError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:exports_export_changelist"))

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_chosen(self, request: HttpRequest, queryset: QuerySet[Export]) -> None:
        stopped = sum(jobs.cancel(export, now=timezone.now()) for export in queryset)
        messages.success(request, f"{stopped} cancelled.")

    @display(description="dataset", ordering="dataset")
    def title(self, export: Export) -> str:
        return DATASETS[export.dataset].title if export.dataset in DATASETS else export.dataset

    @display(description="state", ordering="state", label=LABELS)
    def label(self, export: Export) -> str:
        return export.state

    @display(description="what happened")
    def story(self, export: Export) -> str:
        return job_words.story(export, now=timezone.now())

    @display(description="rows")
    def rows_shown(self, export: Export) -> str:
        """Of one that is made, how far it is as well."""
        rows = formatting.count(export.rows) if export.rows or not export.is_at_work else "—"
        if export.state != Export.State.RUNNING or export.percent is None:
            return rows
        return format_html(
            '{0} <progress class="tb-made" max="100" value="{1}"></progress> {1} %',
            rows,
            export.percent,
        )

    @display(description="size", ordering="size")
    def size_shown(self, export: Export) -> str:
        return filesizeformat(export.size) if export.size else "—"

    @display(description="file")
    def fetch(self, export: Export) -> str:
        if export.is_at_work:
            return "—"
        if export.state != Export.State.DONE:
            return format_html('<a class="tb-button" href="{}">Ask again</a>', again(export))
        link = reverse("admin:exports_export_fetch", args=[export.pk])
        return format_html('<a class="tb-button" href="{}" download>Download</a>', link)

    @display(description="parameters")
    def question_shown(self, export: Export) -> str:
        pairs = [f"{name}={','.join(values)}" for name, values in export.parameters.items()]
        return " ".join(pairs) or "—"

    @display(description="totals")
    def totals_shown(self, export: Export) -> str:
        totals = (export.manifest or {}).get("totals", {})
        return ", ".join(f"{name} {value}" for name, value in totals.items()) or "—"

    @display(description="SHA-256")
    def checksum(self, export: Export) -> str:
        digest = (export.manifest or {}).get("sha256", "—")
        return format_html('<span class="tb-long">{}</span>', digest)
