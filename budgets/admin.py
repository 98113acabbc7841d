"""Budgets, alerts and deliveries in the admin."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.access import Right
from accounts.scoped_admin import ArchivableAdmin, ByAccount, ScopedAdmin, reach_of, whole_accounts
from budgets import delivery, ledger
from budgets.models import Alert, Budget, BudgetPeriod, Delivery
from budgets.standing import Standing, standings
from usage.formatting import UNKNOWN, exact_money, money, span

WORKSPACE_PATHS = ("workspace", "project__workspace", "api_key__workspace")
WHOLE_ACCOUNT_SCOPES = (Budget.Scope.ACCOUNT, Budget.Scope.MEMBER)


def budgets_within(request: HttpRequest, right: Right, *, path: str = "") -> Q:
    """Budgets of workspaces within reach; account-wide ones for account-wide roles."""
    workspaces = reach_of(request, right).workspace_ids
    within = Q(
        **{
            f"{path}account__in": whole_accounts(request, right),
            f"{path}scope__in": WHOLE_ACCOUNT_SCOPES,
        }
    )
    for workspace in WORKSPACE_PATHS:
        within |= Q(**{f"{path}{workspace}__in": workspaces})
    return within


class BudgetForm(forms.ModelForm):
    class Meta:
        model = Budget
        fields = (
            "account", "name", "scope", "workspace", "project", "member", "api_key", "limit",
            "period", "hard", "thresholds", "recipients",
        )  # fmt: skip


class PeriodInline(TabularInline):
    """The budget's ledger: what each period spent."""

    model = BudgetPeriod
    fields = ("start_on", "end_on", "spent_shown", "estimated_shown", "held_shown", "alerted")
    readonly_fields = fields
    extra = 0
    max_num = 0
    can_delete = False
    verbose_name_plural = "Ledger"

    def get_queryset(self, request: HttpRequest) -> QuerySet[BudgetPeriod]:
        return super().get_queryset(request).prefetch_related("alerts")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever may see the budget

    @display(description="spent")
    def spent_shown(self, period: BudgetPeriod) -> SafeString:
        return shown(period.spent)

    @display(description="unpriced, at the ceiling")
    def estimated_shown(self, period: BudgetPeriod) -> SafeString:
        return shown(period.estimated)

    @display(description="held")
    def held_shown(self, period: BudgetPeriod) -> SafeString:
        return shown(period.held)

    @display(description="alerts")
    def alerted(self, period: BudgetPeriod) -> str:
        return ", ".join(f"{a.threshold} %" for a in reversed(period.alerts.all())) or UNKNOWN


def shown(value: Any) -> SafeString:
    return format_html('<span title="{}">{}</span>', exact_money(value), money(value))


class BudgetList(ChangeList):
    """Lists the budgets together with where they stand, in one query more."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = standings(reach_of(request), now=timezone.now(), archived=True)
        by_id = {standing.id: standing for standing in found}
        for budget in self.result_list:
            budget.__dict__["standing"] = by_id.get(budget.pk)


@admin.register(Budget)
class BudgetAdmin(ArchivableAdmin):
    form = BudgetForm
    fixed_fields = ("account", "scope", "workspace", "project", "member", "api_key", "period")
    list_display = ("name", "over", "consumption", "period", "kind", "resets")
    list_select_related = ("account", "workspace", "project", "member", "api_key")
    list_filter = ("scope", "period", "hard", ByAccount)
    search_fields = ("name",)
    autocomplete_fields = ("account", "workspace", "project", "member", "api_key")
    inlines = (PeriodInline,)
    fieldsets = (
        (None, {"fields": ("account", "name")}),
        (
            "What it is over",
            {
                "fields": ("scope", "workspace", "project", "member", "api_key"),
                "description": "Fill in the one that the scope names; none for an account.",
            },
        ),
        ("Limit", {"fields": ("limit", "period", "hard")}),
        (
            "Alerts",
            {
                "fields": ("thresholds", "recipients"),
                "description": "Without recipients the account's owners are told.",
            },
        ),
    )

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return budgets_within(request, right)

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return bool(reach_of(request, right).workspaces or whole_accounts(request, right))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BudgetList

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return list(super().get_inlines(request, obj)) if obj else []

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            ledger.open_budget(obj, now=timezone.now())

    @display(description="over")
    def over(self, budget: Budget) -> str:
        return f"{budget.get_scope_display()}: {budget.subject}"

    @display(description="consumption")
    def consumption(self, budget: Budget) -> str:
        return bar(standing_of(budget))

    @display(description="limit is", label={"hard": "danger", "soft": "info"})
    def kind(self, budget: Budget) -> str:
        return "hard" if budget.hard else "soft"

    @display(description="resets")
    def resets(self, budget: Budget) -> str:
        standing = standing_of(budget)
        if standing is None or standing.resets_at is None:
            return UNKNOWN
        return f"in {span(timezone.now(), standing.resets_at)}"


def standing_of(budget: Budget) -> Standing | None:
    """What the list found out about the budget."""
    return budget.__dict__.get("standing")


def bar(standing: Standing | None) -> str:
    """Spent and held of the limit as a bar with its figures; nothing where it is out of reach."""
    if standing is None:
        return UNKNOWN
    limit = standing.limit or None
    return render_to_string(
        "budgets/bar.html",
        {
            "standing": standing,
            "spent_width": width(standing.consumed, limit),
            "claimed_width": width(standing.consumed + standing.held, limit),
        },
    )


def width(part: Decimal, limit: Decimal | None) -> str:
    """How much of the bar is filled, in percent from 0 to 100."""
    return f"{min(part * 100 / limit, Decimal(100)):.1f}" if limit else "0"


class Kept(ScopedAdmin):
    """What is only looked at: nobody makes, changes or deletes it here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return bool(reach_of(request, right).workspaces or whole_accounts(request, right))


@admin.register(Alert)
class AlertAdmin(Kept):
    list_display = ("budget", "threshold_shown", "consumed_shown", "limit_shown", "crossed_at")
    list_select_related = ("period__budget",)
    list_filter = ("threshold",)
    search_fields = ("period__budget__name",)
    fields = ("period", "threshold", "limit", "consumed", "crossed_at", "addressed_at")

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return budgets_within(request, right, path="period__budget__")

    @display(description="budget", ordering="period__budget__name")
    def budget(self, alert: Alert) -> str:
        return alert.period.budget.name

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
