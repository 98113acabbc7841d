"""Destinations, schedules and the files that were sent, in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.access import Right
from accounts.errors import ApiError
from accounts.keeping import KeepsHistory
from accounts.scoped_admin import ByAccount, ScopedAdmin
from exports import sending
from exports.admin.archive import ReadOnly
from exports.admin.jobs import TITLES
from exports.catalogue import DATASETS
from exports.kinds import EXTENSIONS
from exports.models import Destination, ExportSchedule, SentFile
from usage import formatting

LABELS = {"sent": "success", "waiting": "info", "trying again": "warning", "failed": "danger"}


class DestinationForm(forms.ModelForm):
    secret_key = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Kept encrypted and never shown again. Empty: as it is.",
    )

    class Meta:
        model = Destination
        fields = (
            *("account", "name", "kind", "folder", "bucket", "prefix", "endpoint", "region"),
            *("access_key", "recipients"),
        )
        widgets = {"recipients": UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        needs_one = cleaned.get("kind") == Destination.Kind.BUCKET
        changed = {"endpoint", "access_key"} & set(self.changed_data)
        known = bool(self.instance.encrypted_secret) and not changed
        if needs_one and not known and not cleaned.get("secret_key"):
            # Else the secret could be sent to another server than it was entered for.
            self.add_error("secret_key", "Enter the secret key of this access key and endpoint.")
        return cleaned

    def save(self, commit: bool = True) -> Any:
        if self.cleaned_data.get("secret_key"):
            self.instance.set_secret(self.cleaned_data["secret_key"])
        return super().save(commit)


@admin.register(Destination)
class DestinationAdmin(KeepsHistory, ScopedAdmin):
    """For those who may export the whole account."""

    nothing_yet = "A destination is a folder or bucket that scheduled files are sent to."
    better_offer = "Schedules send to this destination. Choose another in them first."
    form = DestinationForm
    see_right = Right.EXPORT
    edit_right = Right.EXPORT
    fixed_fields = ("account",)
    list_display = ("name", "kind", "where", "account")
    list_select_related = ("account",)
    list_filter = ("kind", ByAccount)
    fieldsets = (
        (None, {"fields": ("account", "name", "kind")}),
        ("Folder on the server", {"fields": ("folder",)}),
        (
            "S3-compatible bucket",
            {"fields": ("bucket", "prefix", "endpoint", "region", "access_key", "secret_key")},
        ),
        ("E-mail", {"fields": ("recipients",)}),
    )

    def with_history(self, rows: QuerySet[Destination]) -> QuerySet[Destination]:
        return rows.filter(pk__in=ExportSchedule.objects.values("destination"))

    @display(description="where")
    def where(self, destination: Destination) -> str:
        return destination.where


class ScheduleForm(forms.ModelForm):
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
    question = forms.CharField(
        required=False,
        label="Further parameters",
        widget=UnfoldAdminTextInputWidget,
        help_text="As in the API, such as group_by=client,model&project=apollo. The period is the "
        "schedule's.",
    )

    class Meta:
        model = ExportSchedule
        fields = ("account", "name", "extension", "every", "destination", "active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            asked = QueryDict(mutable=True)
            for name, values in self.instance.parameters.items():
                asked.setlist(name, values)
            self.initial.update(what=self.instance.dataset, question=asked.urlencode())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        asked = QueryDict(cleaned["question"].lstrip("?"))
        account = cleaned.get("account") or self.instance.account
        if cleaned["destination"].account_id != account.pk:
            raise ValidationError({"destination": "This belongs to another account."})
        if {"from", "to", "account"} & set(asked):
            raise ValidationError({"question": "The account and the period are the schedule's."})
        self.instance.account = account
        self.instance.dataset = cleaned["what"]
        self.instance.parameters = dict(asked.lists())
        self.instance.every = cleaned["every"]
        try:
            sending.try_out(self.instance, now=timezone.now())
        except ApiError as error:
            raise ValidationError(str(error)) from error
        return cleaned


@admin.register(ExportSchedule)
class ExportScheduleAdmin(KeepsHistory, ScopedAdmin):
    nothing_yet = (
        "A schedule sends the same file again and again, such as each month's usage. It "
        "needs a destination first."
    )
    better_offer = (
        "Files were sent by this schedule, and would be listed no more. Take away Active instead: "
        "it sends nothing further, and what it sent stays."
    )
    form = ScheduleForm
    see_right = Right.EXPORT
    edit_right = Right.EXPORT
    fixed_fields = ("account",)
    list_display = ("name", "last_label", "title", "every", "destination", "active", "last_file")
    list_select_related = ("account", "destination")
    list_filter = ("active", "every", ByAccount)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("account", "name", "what", "extension", "every", "destination"),
                    *("question", "active"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExportSchedule]:
        last = SentFile.objects.filter(schedule=OuterRef("pk")).order_by("-end_at", "-correction")
        return (
            super()
            .get_queryset(request)
            .annotate(
                last_state=Subquery(last.values("state")[:1]),
                last_error=Subquery(last.values("error")[:1]),
                last_name=Subquery(last.values("file_name")[:1]),
            )
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.starts_at = timezone.now()
        super().save_model(request, obj, form, change)

    def with_history(self, rows: QuerySet[ExportSchedule]) -> QuerySet[ExportSchedule]:
        return rows.filter(pk__in=SentFile.objects.values("schedule"))

    @display(description="dataset", ordering="dataset")
    def title(self, schedule: ExportSchedule) -> str:
        return DATASETS[schedule.dataset].title

    @display(description="last file")
    def last_file(self, schedule: Any) -> str:
        return schedule.last_name or "—"

    @display(description="state", label=LABELS)
    def last_label(self, schedule: Any) -> str:
        if schedule.last_state is None:
            return "no period is over yet"
        return label_of(schedule.last_state, schedule.last_error)


def label_of(state: str, error: str) -> str:
    return "trying again" if state == SentFile.State.WAITING and error else state


@admin.register(SentFile)
class SentFileAdmin(ReadOnly, ScopedAdmin):
    """Every period that is over: sent, waiting, or why not."""

    nothing_yet = "Files that schedules send appear here, with what became of each."
    account_path = "schedule__account"
    see_right = Right.EXPORT
    edit_right = Right.EXPORT
    list_display = (*("__str__", "label", "error", "rows", "end_at", "sent_at", "attempts"),)
    list_select_related = ("schedule",)
    list_filter = ("state", ("schedule", admin.RelatedOnlyFieldListFilter))
    fields = (
        *("schedule", "start_at", "end_at", "correction", "label", "file_name", "rows"),
        *("checksum", "attempts", "next_attempt_at", "sent_at", "error"),
    )
    readonly_fields = fields
    actions = ("send_again",)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return self.reaches_any(request, Right.EXPORT)

    @admin.action(description="Try again now", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[SentFile]) -> None:
        number = sending.try_again(queryset, now=timezone.now())
        messages.success(request, f"{number} are tried again; what was sent stays sent.")

    @display(description="state", ordering="state", label=LABELS)
    def label(self, file: SentFile) -> str:
        return label_of(file.state, file.error)

    @display(description="rows")
    def rows(self, file: SentFile) -> str:
        return formatting.count(file.manifest["rows"]) if file.manifest else "—"

    @display(description="SHA-256")
    def checksum(self, file: SentFile) -> str:
        return file.manifest["sha256"] if file.manifest else "—"
