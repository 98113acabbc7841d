"""The price book in the admin: models, prices, import and approval."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display

from accounts import versions
from accounts.access import Right
from accounts.scoped_admin import ScopedAdmin, reach_of, whole_accounts
from usage import formatting
from usage.models import Price, PricedModel
from usage.pricing.catalogue import import_catalogue
from usage.pricing.ratecard import PRICES_VERSION


@admin.register(PricedModel)
class PricedModelAdmin(ScopedAdmin):
    """The models of the price book, kept by platform staff and read by everybody."""

    edit_right = None
    list_display = ("name", "provider", "context_window")
    list_filter = ("provider",)
    search_fields = ("name", "provider")
    fields = ("provider", "name", "pattern", "context_window")

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        return Q()

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        return request.user.is_superuser or bool(reach_of(request, right).workspaces)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # single requests are billed by it; its prices end instead


class PriceForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        start, end = given.get("valid_from"), given.get("valid_to")
        if start and end and end <= start:
            raise ValidationError({"valid_to": "A price ends after it begins."})
        return given


@admin.register(Price)
class PriceAdmin(ScopedAdmin):
    """Dated prices. Drafts may be edited; approved prices count, and are never changed again."""

    form = PriceForm
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
    actions = ("approve_chosen",)
    actions_list = ("import_list_prices",)
    actions_submit_line = ("approve_this",)

    def rows_within(self, request: HttpRequest, right: Right) -> Q:
        """List prices are read by all and kept by platform staff; contract rates by accounts."""
        within = Q(account__in=whole_accounts(request, right))
        if right is Right.SEE or request.user.is_superuser:
            return within | Q(account=None)
        return within

    def reaches_any(self, request: HttpRequest, right: Right) -> bool:
        if right is Right.SEE:
            return request.user.is_superuser or bool(reach_of(request).workspaces)
        return super().reaches_any(request, right)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self.is_open(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self.is_open(obj)

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def is_open(self, obj: Any) -> bool:
        """Whether it is a draft still, or no row in particular is asked about."""
        if obj is None:
            return True
        pk = obj.pk if isinstance(obj, Price) else obj
        return Price.objects.filter(pk=pk, status=Price.Status.DRAFT).exists()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "account" and field and not request.user.is_superuser:
            field.required = True  # list prices are the platform's
        if db_field.name == "priced_model" and field:
            field.queryset = PricedModel.objects.all()
        return field

    def choices_for(self, request: HttpRequest, model: Any) -> QuerySet[Any] | None:
        return None if model is PricedModel else super().choices_for(request, model)

    @display(description="price", ordering="unit_price")
    def rate(self, price: Price) -> str:
        unit = "each" if price.per == 1 else f"per {price.get_per_display()}"
        rate = f"{formatting.money(price.unit_price)} {unit}"
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
        description="status", ordering="status", label={"approved": "success", "draft": "warning"}
    )
    def status_label(self, price: Price) -> str:
        return price.status

    @admin.action(description="Approve", permissions=["approve"])
    def approve_chosen(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        self.approve(request, queryset)

    @action(description="Save and approve", permissions=["approve"])
    def approve_this(self, request: HttpRequest, obj: Price) -> None:
        self.approve(request, Price.objects.filter(pk=obj.pk))

    def has_import_list_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    @action(
        description="Import list prices",
        permissions=["import_list"],
        icon="cloud_download",
        dialog={
            "title": "Import list prices",
            "description": "Brings the list prices of the installed genai-prices package into the "
            "price book as drafts, beside what is there. Nothing counts before it is approved.",
            "form_class": None,
            "form_submit_text": "Import as drafts",
        },
    )
    def import_list_prices(self, request: HttpRequest, form: Any) -> HttpResponse:
        new = import_catalogue(status=Price.Status.DRAFT)
        messages.success(
            request, f"{new['models']:,} new models and {new['prices']:,} new drafts of prices."
        )
        # The dialog is sent by htmx, which goes to another page only when it is told so.
        return HttpResponse(headers={"HX-Redirect": reverse("admin:usage_price_changelist")})

    def approve(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        """From now on these prices count; the rate card in every process hears of it."""
        assert self.edit_right is not None  # noqa: S101 (for the type checker)
        own = self.reachable(request, self.edit_right).values("pk")
        drafts = queryset.filter(status=Price.Status.DRAFT, pk__in=own)
        try:
            with transaction.atomic():
                number = drafts.order_by().update(status=Price.Status.APPROVED)
                versions.bump(PRICES_VERSION)
        except IntegrityError:
            messages.error(
                request,
                "One of these has an approved price for the same model, meter, tier and beginning. "
                "Give it a later beginning; the newest price that holds at a moment counts.",
            )
            return
        messages.success(request, f"{number} approved. They count from now on.")
