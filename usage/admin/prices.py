"""The price book in the admin: models, prices, files, import and approval."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.fields import ArrayField
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.forms.widgets import ArrayWidget
from unfold.decorators import action, display

from accounts import versions
from accounts.access import Right
from accounts.admin.configuration import ScopedImportExport
from accounts.scoped_admin import (
    ScopedAdmin,
    is_platform,
    reaches_some_place,
    whole_accounts,
)
from usage import formatting
from usage.admin.decisions import approve, discard, end
from usage.models import Price, PricedModel
from usage.pricing.catalogue import import_catalogue
from usage.pricing.ratecard import PRICES_VERSION, normal_tier
from usage.resources import PricedModelResource, PriceResource


@admin.register(PricedModel)
class PricedModelAdmin(ScopedAdmin, ScopedImportExport):
    """The models of the price book, kept by platform staff and read by everybody."""

    nothing_yet = (
        "Models with their prices come from the installed list (Prices, import list prices), "
        "from a file, or one by one."
    )
    edit_right = None
    resource_classes = (PricedModelResource,)
    list_display = ("name", "provider", "context")
    list_filter = ("provider",)
    search_fields = ("name", "provider")
    fields = ("provider", "name", "pattern", "further_names", "context_window")
    formfield_overrides = {ArrayField: {"widget": ArrayWidget}}

    @display(description="context window", ordering="context_window")
    def context(self, model: Any) -> str:
        return formatting.count(model.context_window)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        versions.bump(PRICES_VERSION)

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return Q()

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return is_platform(request) or reaches_some_place(request, right)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # single requests are billed by it; its prices end instead


class PriceForm(forms.ModelForm):
    def clean_service_tier(self) -> str:
        return normal_tier(self.cleaned_data["service_tier"])


@admin.register(Price)
class PriceAdmin(ScopedAdmin, ScopedImportExport):
    """Dated prices. Drafts may be edited; approved prices count, and can only be ended."""

    nothing_yet = (
        "Prices come from the installed list, from a file, or one by one, and count once "
        "they are approved."
    )
    form = PriceForm
    resource_classes = (PriceResource,)
    edit_right = Right.EDIT_PRICES_AND_CLIENTS
    list_display = (
        "priced_model",
        "meter",
        "rate",
        "service_tier",
        "kind",
        "since",
        "status_label",
    )
    list_select_related = ("priced_model", "account")
    list_filter = ("status", "meter", "service_tier", ("account", admin.EmptyFieldListFilter))
    search_fields = ("priced_model__name", "priced_model__provider")
    autocomplete_fields = ("priced_model", "account")
    readonly_fields = ("status",)
    fields = (
        "priced_model",
        "account",
        ("meter", "service_tier"),
        ("unit_price", "per"),
        "from_input_tokens",
        "valid_from",
        "valid_to",
        "source",
        "status",
    )
    actions = ("approve_chosen", "discard_chosen", "end_chosen")
    actions_list = ("review_drafts", "import_list_prices")
    actions_submit_line = ("approve_this", "discard_this")

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        """List prices are read by all and kept by platform staff; contract rates by accounts."""
        within = Q(account__in=whole_accounts(request, right))
        if right in (Right.SEE, Right.EXPORT) or request.user.is_superuser:
            return within | Q(account=None)
        return within

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        if right is Right.SEE:
            return is_platform(request) or reaches_some_place(request, right)
        return super().reaches_any(request, right)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self.is_open(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What counts, or did, stays; what was discarded may go, and imports bring it again."""
        if not super().has_delete_permission(request, obj) or obj is None:
            return super().has_delete_permission(request, obj)
        pk = obj.pk if isinstance(obj, Price) else obj
        return not Price.objects.approved().filter(pk=pk).exists()

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def is_open(self, obj: Any) -> bool:
        """Whether it is a draft still, or no row in particular is asked about."""
        if obj is None:
            return True
        pk = obj.pk if isinstance(obj, Price) else obj
        return Price.objects.drafts().filter(pk=pk).exists()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A draft of an import that somebody edits is theirs: no import supersedes it."""
        if change and form.changed_data and "source" not in form.changed_data:
            obj.source = edited(obj.source)
        super().save_model(request, obj, form, change)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Moments in an address are text, which the form's two inputs cannot take apart."""
        initial = super().get_changeform_initial_data(request)
        for name in {"valid_from", "valid_to"} & set(initial):
            initial[name] = moment_of(initial[name])
        return initial

    def get_import_resource_kwargs(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        given = super().get_import_resource_kwargs(request, *args, **kwargs)
        return {**given, "lists": request.user.is_superuser}

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "account" and field and not request.user.is_superuser:
            field.required = True  # list prices are the platform's
        if db_field.name == "priced_model" and field:
            field.queryset = PricedModel.objects.all()
        return field

    def choices_for(self, request: HttpRequest, model: Any) -> QuerySet[Any] | None:
        return None if model is PricedModel else super().choices_for(request, model)

    def add_success_message(self, result: Any, request: HttpRequest) -> None:
        super().add_success_message(result, request)
        link = format_html('<a href="{}">review the drafts</a>', reverse("admin:price_review"))
        messages.info(request, format_html("They count once they are approved: {}.", link))

    @display(description="price", ordering="unit_price")
    def rate(self, price: Price) -> str:
        unit = "each" if price.per == 1 else f"per {price.get_per_display()}"
        rate = f"{formatting.exact_money(price.unit_price)} {unit}"
        if price.from_input_tokens:
            rate += f" above {formatting.compact(price.from_input_tokens)} input tokens"
        return rate

    @display(description="valid from", ordering="valid_from")
    def since(self, price: Price) -> str:
        until = f" to {price.valid_to:%Y-%m-%d}" if price.valid_to else ""
        return f"{price.valid_from:%Y-%m-%d}{until}"

    @display(description="kind")
    def kind(self, price: Price) -> str:
        return f"contract: {price.account}" if price.account else "list"

    @display(
        description="status",
        ordering="status",
        label={"approved": "success", "draft": "warning", "discarded": "info"},
    )
    def status_label(self, price: Price) -> str:
        return price.status

    @admin.action(description="Approve", permissions=["approve"])
    def approve_chosen(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        approve(request, self.editable(request, queryset))

    @admin.action(description="Discard drafts", permissions=["approve"])
    def discard_chosen(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        discard(request, self.editable(request, queryset))

    @admin.action(description="End now", permissions=["approve"])
    def end_chosen(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        end(request, self.editable(request, queryset))

    @action(description="Save and approve", permissions=["approve"])
    def approve_this(self, request: HttpRequest, obj: Price) -> None:
        approve(request, self.editable(request, Price.objects.filter(pk=obj.pk)))

    @action(description="Discard", permissions=["approve"])
    def discard_this(self, request: HttpRequest, obj: Price) -> None:
        discard(request, self.editable(request, Price.objects.filter(pk=obj.pk)))

    def editable(self, request: HttpRequest, queryset: QuerySet[Price]) -> list[int]:
        """Ids of those among the prices that the caller may decide about."""
        assert self.edit_right is not None  # noqa: S101 (for the type checker)
        own = self.reachable(request, self.edit_right).values("pk")
        return list(queryset.filter(pk__in=own).order_by().values_list("pk", flat=True))

    def has_review_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request)

    @action(description="Review drafts", permissions=["review"], icon="rule")
    def review_drafts(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:price_review"))

    def has_import_list_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    @action(
        description="Import list prices",
        permissions=["import_list"],
        icon="cloud_download",
        dialog={
            "title": "Import list prices",
            "description": "Brings what is new or changed in the list prices of the installed "
            "genai-prices package into the price book, as drafts. Nothing counts before it is "
            "approved.",
            "form_class": None,
            "form_submit_text": "Import as drafts",
        },
    )
    def import_list_prices(self, request: HttpRequest, form: Any) -> HttpResponse:
        done = import_catalogue(status=Price.Status.DRAFT, now=timezone.now())
        messages.success(
            request, f"{done.models:,} new models and {done.prices:,} new drafts of prices."
        )
        # The dialog is sent by htmx, which goes to another page only when it is told so.
        return HttpResponse(headers={"HX-Redirect": reverse("admin:price_review")})


def moment_of(text: str) -> datetime | None:
    try:
        return timezone.make_aware(datetime.fromisoformat(text), UTC)
    except ValueError:
        return None


def edited(source: str) -> str:
    """Where a price is from, for one that somebody changed since."""
    return source if source.endswith(", edited") else f"{source[:90]}, edited"
