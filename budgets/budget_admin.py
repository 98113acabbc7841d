"""Budgets in the admin: the list with its bars, the page of one with its ledger, and the form."""

from datetime import datetime, time
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from unfold.decorators import display

from accounts.access import Right
from accounts.admin.configuration import ScopedImportExport
from accounts.scoped_admin import (
    ArchivableAdmin,
    ByAccount,
    reaches_some_place,
)
from budgets import bars, changes, ledger, page
from budgets.budget_form import SUBJECTS, BudgetForm, fieldsets, problem_of
from budgets.models import Budget
from budgets.preview import preview
from budgets.resources import BudgetResource
from budgets.scope import budgets_within
from budgets.standing import standings
from usage.formatting import UNKNOWN, span


@admin.register(Budget)
class BudgetAdmin(ArchivableAdmin, ScopedImportExport):
    nothing_yet = (
        "A budget limits what an account, workspace, project, member or API key may spend, "
        "or only tells when it is spent."
    )
    resource_classes = (BudgetResource,)
    form = BudgetForm
    fixed_fields = ("account", "scope", *SUBJECTS, "period")
    list_display = ("name", "over", "consumption", "period", "kind", "resets")
    list_select_related = ("account", "workspace", "project", "member", "api_key")
    list_filter = ("scope", "period", "hard", ByAccount)
    search_fields = ("name",)
    autocomplete_fields = ("account", *SUBJECTS)
    change_form_outer_before_template = "budgets/overview.html"

    change_form_after_template = "budgets/preview_button.html"

    class Media:
        css = {"all": ("budgets/budget.css",)}
        js = ("budgets/budget.js",)

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return budgets_within(request, right)

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return reaches_some_place(request, right)

    def reachable(self, request: HttpRequest, right: Right) -> QuerySet[Budget]:
        budgets = Budget.objects.with_figures(now=timezone.now())
        return budgets.filter(self.rows_within(request, right))

    def get_ordering(self, request: HttpRequest) -> Any:
        return (F("now_part").desc(nulls_last=True), "name")

    def get_fieldsets(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        return fieldsets(obj)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """In the account's time zone, in which the end of a raise is given."""
        budget = self.get_object(request, object_id)
        if budget is None:
            return super().change_view(request, object_id, form_url, extra_context)
        with timezone.override(budget.account.zone):
            more = self.overview(request, budget) | (extra_context or {})
            response = super().change_view(request, object_id, form_url, more)
            return response.render() if isinstance(response, TemplateResponse) else response

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        budget = kwargs.get("obj")
        key = [budget.pk] if budget else []
        name = "admin:budgets_budget_preview" + ("_of" if budget else "")
        context["preview_address"] = reverse(name, args=key)
        context["preview_period"] = budget.period if budget else ""
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[Any]:
        preview = self.admin_site.admin_view(self.preview)
        return [
            path("preview/", preview, name="budgets_budget_preview"),
            path("<int:budget_id>/preview/", preview, name="budgets_budget_preview_of"),
            *super().get_urls(),
        ]

    def preview(self, request: HttpRequest, budget_id: int | None = None) -> HttpResponse:
        """What the limit in the form would have refused; nothing is saved."""
        budget = self.get_object(request, str(budget_id)) if budget_id else None
        if request.method != "POST" or (budget_id and budget is None):
            raise Http404
        if not (self.has_change_permission(request, budget) if budget else
                self.has_add_permission(request)):  # fmt: skip
            raise PermissionDenied
        form = self.get_form(request, budget, change=budget is not None)(
            request.POST, instance=budget
        )
        problem = problem_of(form)
        context: dict[str, Any] = {"problem": problem}
        if not problem:
            asked = form.instance
            asked.limit = form.cleaned_data["limit"]
            context |= {
                "preview": preview(asked, now=timezone.now()),
                "budget": asked,
                "zone": asked.account.zone,
            }
        return TemplateResponse(request, "budgets/preview.html", context)

    def overview(self, request: HttpRequest, budget: Budget) -> dict[str, Any]:
        now = timezone.now()
        found = standings(
            ledger.reach_of_account(budget.account), now=now, budget_id=budget.pk, archived=True
        )
        if request.method != "GET" or not found or not self.has_view_permission(request, budget):
            return {}
        return {"overview": page.context(budget, found[0], now=now), "bar": bars.bar(found[0])}

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        if change:
            changes.save(obj, by=request.user.get_username(), now=timezone.now())
        else:
            ledger.open_budget(obj, now=timezone.now())

    def set_archived(self, request: HttpRequest, queryset: QuerySet[Budget], *, at: Any) -> None:
        """What comes out of the archive sets aside the holds that were taken meanwhile."""
        budgets = list(
            Budget.objects.filter(pk__in=queryset.values("pk")).filter(
                budgets_within(request, Right.MANAGE)
            )
        )
        super().set_archived(request, queryset, at=at)
        now, by = timezone.now(), request.user.get_username()
        for budget in budgets:
            budget.archived_at = at
            changes.note_archived(budget, by=by, now=now)
            if at is None:
                ledger.adopt_holds(budget, now=now)

    @display(description="over")
    def over(self, budget: Budget) -> str:
        return f"{budget.get_scope_display()}: {budget.subject}"

    @display(description="consumption", ordering="now_part")
    def consumption(self, budget: Budget) -> str:
        return bars.bar(bars.listed(budget))

    @display(description="limit is", ordering="hard", label={"hard": "danger", "soft": "info"})
    def kind(self, budget: Budget) -> str:
        return "hard" if budget.hard else "soft"

    @display(description="resets", ordering="now_end")
    def resets(self, budget: Budget) -> str:
        end_on = bars.listed(budget).end_on
        if end_on is None:
            return UNKNOWN
        midnight = datetime.combine(end_on, time.min, tzinfo=budget.account.zone)
        return f"in {span(timezone.now(), midnight)}"
