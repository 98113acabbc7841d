"""Re-pricing in the admin: ask for a preview, read it, apply it, and the record of all of them."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from accounts.access import Right
from accounts.models import Account, User
from accounts.scoped_admin import ByAccount, ScopedAdmin, whole_accounts
from usage import formatting, repricing_form
from usage.models import Repricing
from usage.pricing import reprice

RIGHT = Right.EDIT_PRICES_AND_CLIENTS


@admin.register(Repricing)
class RepricingAdmin(ScopedAdmin):
    """Whoever keeps an account's prices re-prices its requests, and sees who else did."""

    nothing_yet = (
        "Requests are priced when they arrive. When a price is approved later or changes, "
        "re-price the days that it concerns: a preview comes first."
    )
    see_right = edit_right = RIGHT
    list_display = (
        *("__str__", "days", "which", "state_label", "changed", "difference"),
        *("reason", "who", "requested_at"),
    )
    list_select_related = ("account", "requested_by", "applied_by")
    list_filter = ("state", ByAccount)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it says what was done

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.with_sums(super().get_queryset(request))

    def with_sums(self, repricings: QuerySet[Any]) -> QuerySet[Any]:
        """Of what was applied, or else of what the preview found."""
        shown = Q(lines__applied=True, applied_at__isnull=False) | Q(
            lines__applied=False, applied_at=None
        )
        return repricings.annotate(
            total_changed=Sum("lines__changed", filter=shown),
            total_difference=Sum(F("lines__new_cost") - F("lines__old_cost"), filter=shown),
        )

    def get_urls(self) -> list[URLPattern]:
        def act(name: str, view: Callable[..., HttpResponse]) -> URLPattern:
            url = f"<int:pk>/{name}/"
            return path(url, self.admin_site.admin_view(view), name=f"repricing_{name}")

        return [
            path("new/", self.admin_site.admin_view(self.add_view), name="repricing"),
            act("apply", self.apply_view),
            act("resume", self.resume_view),
            act("cancel", self.cancel_view),
            *super().get_urls(),
        ]

    @display(description="days")
    def days(self, repricing: Repricing) -> str:
        return formatting.days(repricing.start_on, repricing.end_on)

    @display(description="requests")
    def which(self, repricing: Repricing) -> str:
        return "without a price" if repricing.only_unpriced else "all"

    @display(
        description="state",
        ordering="state",
        label={
            "previewing": "info",
            "previewed": "warning",
            "applying": "info",
            "done": "success",
            "failed": "danger",
        },
    )
    def state_label(self, repricing: Repricing) -> str:
        return repricing.state

    @display(description="changed", ordering="total_changed")
    def changed(self, repricing: Any) -> str:
        return formatting.count(repricing.total_changed)

    @display(description="difference", ordering="total_difference")
    def difference(self, repricing: Any) -> str:
        return formatting.change_of_money(repricing.total_difference)

    @display(description="by")
    def who(self, repricing: Repricing) -> str:
        return str(repricing.applied_by or repricing.requested_by or "a command")

    # The page that asks for a new one.

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        accounts = list(Account.objects.filter(pk__in=whole_accounts(request, RIGHT)))
        if not accounts:
            raise PermissionDenied
        form = repricing_form.form_for(request, accounts, now=timezone.now())
        if form.is_bound and form.is_valid():
            try:
                made = self.ask(request, form.cleaned_data)
            except reprice.CannotReprice as error:
                form.add_error(None, str(error))
            else:
                return self.to(made)
        account = form.shown_account
        return self.page(
            request,
            "usage/repricing_new.html",
            title="New re-pricing",
            form=form,
            accounts=accounts,
            account=account,
            shown={name: form.shown(name) for name in ("first", "through", "which", "reason")},
            models=repricing_form.models_of(account, form.shown_all("models"), now=timezone.now()),
            chosen_workspaces=form.shown_all("workspaces"),
            workspaces=account.workspaces.order_by("name"),
        )

    def ask(self, request: HttpRequest, given: dict[str, Any]) -> Repricing:
        return reprice.request(
            given["account"],
            start_on=given["first"],
            end_on=given["through"] + timedelta(1),
            only_unpriced=given["which"] == "unpriced",
            workspace_ids=[workspace.pk for workspace in given["workspaces"]],
            model_ids=[model.pk for model in given["models"]],
            reason=given["reason"],
            by=cast(User, request.user),
            now=timezone.now(),
        )

    # The page of one, in whichever state it is.

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        repricing = self.one(request, object_id)
        lines = repricing.lines.filter(applied=repricing.is_applied).select_related("model")
        return self.page(
            request,
            "usage/repricing.html",
            title=str(repricing),
            repricing=repricing,
            zone=repricing.account.zone,
            days=formatting.days(repricing.start_on, repricing.end_on),
            lines=sorted(lines, key=lambda line: (-abs(line.difference), line.model.name)),
            totals=self.totals(repricing, applied=repricing.is_applied),
            expected=self.totals(repricing, applied=False) if repricing.is_applied else None,
            model_names=repricing_form.names_of(repricing),
            workspaces=repricing.account.workspaces.filter(pk__in=repricing.workspace_ids),
            percent=percent_done(repricing),
        )

    def totals(self, repricing: Repricing, *, applied: bool) -> dict[str, Any]:
        sums = repricing.lines.filter(applied=applied).totals()
        return sums | {"difference": Decimal(sums["new_cost"] - sums["old_cost"])}

    def apply_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        reason, user = request.POST.get("reason", ""), cast(User, request.user)
        return self.act(
            request, pk, lambda r: reprice.apply(r, reason=reason, by=user, now=timezone.now())
        )

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self.act(request, pk, lambda r: reprice.resume(r, by=cast(User, request.user)))

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        user = cast(User, request.user)
        return self.act(request, pk, lambda r: reprice.cancel(r, by=user, now=timezone.now()))

    def act(self, request: HttpRequest, pk: int, do: Callable[[Repricing], None]) -> HttpResponse:
        repricing = self.one(request, pk)
        if request.method == "POST":
            try:
                do(repricing)
            except reprice.CannotReprice as error:
                messages.error(request, str(error))
        return self.to(repricing)

    def one(self, request: HttpRequest, pk: Any) -> Repricing:
        if not self.has_view_permission(request):
            raise PermissionDenied
        own = self.reachable(request, RIGHT).select_related(*self.list_select_related)
        found = own.filter(pk=pk).first() if str(pk).isdecimal() and len(str(pk)) < 10 else None
        if found is None:
            raise Http404("There is no such re-pricing, or it is not yours to see.")
        return found

    def to(self, repricing: Repricing) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse("admin:usage_repricing_change", args=[repricing.pk]))

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, template, context)


def percent_done(repricing: Repricing) -> int:
    """Whole percent; the last one only comes with the end."""
    done, total = repricing.days_done, repricing.days_total
    return min(done * 100 // total, 99) if total else 0
