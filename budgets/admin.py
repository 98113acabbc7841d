"""Alerts and deliveries in the admin; budgets are in `budget_admin.py`."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.access import Right
from accounts.scoped_admin import ScopedAdmin, reach_of, reaches_some_place, whole_accounts
from budgets import delivery
from budgets.budget_admin import BudgetAdmin  # noqa: F401 (registers itself)
from budgets.models import Alert, Delivery
from budgets.scope import budgets_within
from usage.formatting import exact_money, money


def shown(value: Any) -> SafeString:
    return format_html('<span title="{}">{}</span>', exact_money(value), money(value))


def link_to_budget(alert: Alert) -> SafeString:
    budget = alert.period.budget
    address = reverse("admin:budgets_budget_change", args=[budget.pk])
    return format_html('<a class="tb-link" href="{}">The budget\'s ledger</a>', address)


class Kept(ScopedAdmin):
    """What is only looked at: nobody makes, changes or deletes it here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return reaches_some_place(request, right)


@admin.register(Alert)
class AlertAdmin(Kept):
    nothing_yet = "An alert appears when a budget reaches one of its thresholds, once a period."
    list_display = (
        "budget", "threshold_shown", "consumed_shown", "limit_shown", "crossed_at", "ledger",
    )  # fmt: skip
    list_select_related = ("period__budget",)
    list_filter = ("threshold",)
    search_fields = ("period__budget__name",)
    fields = ("ledger", "period", "threshold", "limit", "consumed", "crossed_at", "addressed_at")
    readonly_fields = ("ledger",)

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return budgets_within(request, right, path="period__budget__")

    @display(description="budget", ordering="period__budget__name")
    def budget(self, alert: Alert) -> str:
        return alert.period.budget.name

    @display(description="why")
    def ledger(self, alert: Alert) -> SafeString:
        return link_to_budget(alert)

    @display(description="threshold", ordering="threshold")
    def threshold_shown(self, alert: Alert) -> str:
        return f"{alert.threshold} %"

    @display(description="used then", ordering="consumed")
    def consumed_shown(self, alert: Alert) -> SafeString:
        return shown(alert.consumed)

    @display(description="limit then", ordering="limit")
    def limit_shown(self, alert: Alert) -> SafeString:
        return shown(alert.limit)


@admin.register(Delivery)
class DeliveryAdmin(Kept):
    nothing_yet = (
        "Mails about budgets and spikes appear here as they are sent, with what became of each."
    )
    list_display = ("about", "recipient", "state_shown", "attempts", "sent_at", "last_error")
    list_select_related = ("alert__period__budget__account", "notice")
    list_filter = ("state",)
    search_fields = ("recipient", "alert__period__budget__name", "notice__subject")
    fields = (
        "about", "recipient", "state", "attempts", "next_attempt_at", "sent_at", "last_error",
        "message",
    )  # fmt: skip
    readonly_fields = ("about", "message")
    actions = ("send_again",)

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return budgets_within(request, right, path="alert__period__budget__") | Q(
            Q(notice__workspace__in=reach_of(request, right).workspace_ids)
            | Q(notice__workspace=None, notice__account__in=whole_accounts(request, right))
        )

    @display(description="about")
    def about(self, sent: Delivery) -> str:
        return str(sent.alert or sent.notice)

    @display(
        description="state",
        label={"sent": "success", "waiting": "info", "failed": "danger"},
        ordering="state",
    )
    def state_shown(self, sent: Delivery) -> str:
        return sent.state

    @display(description="the mail")
    def message(self, sent: Delivery) -> SafeString:
        mail = delivery.message_for(sent, now=timezone.now())
        return format_html(
            '<strong>{}</strong><pre style="white-space: pre-wrap">{}</pre>',
            mail.subject,
            mail.text,
        )

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        return self.reaches_any(request, Right.MANAGE)

    @admin.action(description="Send again", permissions=["send_again"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        allowed = queryset.filter(self.rows_within(request, Right.MANAGE))
        ids = list(allowed.values_list("pk", flat=True))
        count = delivery.send_again(ids, now=timezone.now())
        messages.success(request, f"{count} will be sent again at once.")
