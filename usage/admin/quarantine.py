"""Rows that could not be recorded, in the admin."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.decorators import action, display

from accounts.access import Right
from accounts.scoped_admin import ByAccount, ScopedAdmin
from usage.ingest.resend import CannotBeSentAgain, send_again
from usage.models import QuarantinedRow

SHOWN_PROBLEMS = 5


class QuarantinedRowForm(forms.ModelForm):
    def clean_body(self) -> str:
        body = self.cleaned_data["body"]
        try:
            json.loads(body)
        except ValueError as error:
            raise ValidationError(f"This is not JSON: {error}.") from error
        return body


@admin.register(QuarantinedRow)
class QuarantinedRowAdmin(ScopedAdmin):
    """Rows that could not be recorded, with the reason: corrected and sent again, or discarded."""

    nothing_yet = (
        "Rows that cannot be recorded are kept here with the reason, to be corrected or "
        "discarded. None waits."
    )
    form = QuarantinedRowForm
    list_display = ("__str__", "reason", "source", "account", "received_at", "times_sent", "label")
    list_select_related = ("account",)
    list_filter = ("state", "source", ByAccount)
    search_fields = ("request_id",)
    readonly_fields = (
        *("reason", "account", "source", "request_id"),
        *("received_at", "times_sent", "label"),
    )
    fields = ("reason", "body", *readonly_fields[1:])
    actions = ("send_chosen", "discard_chosen")
    actions_submit_line = ("send_this", "discard_this")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # what is not wanted is discarded, and stays discarded when it is sent again

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        return obj is None or self.is_waiting(obj)

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def is_waiting(self, obj: Any) -> bool:
        pk = obj.pk if isinstance(obj, QuarantinedRow) else obj
        waiting = QuarantinedRow.objects.filter(state=QuarantinedRow.State.WAITING)
        return waiting.filter(pk=pk).exists()

    @display(description="reason")
    def reason(self, row: QuarantinedRow) -> str:
        return in_words(row.errors)

    @display(
        description="state",
        ordering="state",
        label={"waiting": "warning", "recorded": "success", "discarded": "info"},
    )
    def label(self, row: QuarantinedRow) -> str:
        return row.state

    @admin.action(description="Send again", permissions=["change"])
    def send_chosen(self, request: HttpRequest, queryset: QuerySet[QuarantinedRow]) -> None:
        self.send(request, list(self.changeable(request, queryset)))

    @admin.action(description="Discard", permissions=["change"])
    def discard_chosen(self, request: HttpRequest, queryset: QuerySet[QuarantinedRow]) -> None:
        chosen = list(self.changeable(request, queryset).defer("body"))
        waiting = QuarantinedRow.objects.filter(
            pk__in=[row.pk for row in chosen], state=QuarantinedRow.State.WAITING
        )
        number = waiting.update(state=QuarantinedRow.State.DISCARDED)
        write_down(request, chosen, "Discarded.")
        messages.success(request, f"{number} discarded.")

    @action(description="Save and send again", permissions=["decide"])
    def send_this(self, request: HttpRequest, obj: QuarantinedRow) -> None:
        # Behind this request's transaction: names that are created must be committed at once.
        transaction.on_commit(lambda: self.send(request, [obj]))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Who sends a row again sees what became of it, and may correct it once more."""
        if any(name.endswith("_send_this") for name in request.POST):
            return HttpResponseRedirect(request.path)
        return super().response_change(request, obj)

    @action(description="Discard", permissions=["decide"])
    def discard_this(self, request: HttpRequest, obj: QuarantinedRow) -> None:
        self.discard_chosen(request, QuarantinedRow.objects.filter(pk=obj.pk))

    def changeable(
        self, request: HttpRequest, queryset: QuerySet[QuarantinedRow]
    ) -> QuerySet[QuarantinedRow]:
        own = self.reachable(request, Right.MANAGE).values("pk")
        return queryset.filter(state=QuarantinedRow.State.WAITING, pk__in=own).order_by()

    def send(self, request: HttpRequest, rows: list[QuarantinedRow]) -> None:
        problems = [(row, why) for row in rows if (why := what_is_wrong_with(row))]
        waiting = {row.pk for row, _ in problems}
        write_down(request, [row for row in rows if row.pk not in waiting], "Recorded.")
        if recorded := len(rows) - len(problems):
            messages.success(request, f"{recorded} recorded.")
        for row, why in problems[:SHOWN_PROBLEMS]:
            messages.error(request, f"{row} still cannot be recorded: {why}")
        if len(problems) > SHOWN_PROBLEMS:
            messages.error(request, f"{len(problems) - SHOWN_PROBLEMS} more cannot be recorded.")


def in_words(errors: list[dict[str, str]]) -> str:
    return " ".join(
        f"{error['field']}: {error['message']}" if error.get("field") else error["message"]
        for error in errors
    )


def write_down(request: HttpRequest, rows: list[QuarantinedRow], what: str) -> None:
    """In each row's history, who decided it."""
    if rows:
        LogEntry.objects.log_actions(request.user.pk or 0, rows, CHANGE, change_message=what)


def what_is_wrong_with(row: QuarantinedRow) -> str:
    """Send the row again; why it could not be recorded, or nothing."""
    try:
        return in_words(send_again(row, now=timezone.now()))
    except CannotBeSentAgain as error:
        return str(error)
