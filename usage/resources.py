"""Files of prices, in and out: drafts come in, and what counts goes out.

What a file may say is what its reader may edit: contract rates of own accounts, and list prices
for platform staff alone. Every row that cannot be taken says in words what to change.
"""

import difflib
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from import_export import fields
from import_export.widgets import SimpleArrayWidget, Widget

from accounts import versions
from accounts.models import Account
from accounts.resources import FORMULA_STARTS, ScopedResource
from usage.models import Price, PricedModel
from usage.pricing import changes, review
from usage.pricing.meters import METERS
from usage.pricing.names import provider_key
from usage.pricing.ratecard import PRICES_VERSION, normal_tier

PLACES = 12
LARGEST_PRICE = Decimal(10) ** 12
NUMBERS_OF_UNITS = {"each": 1, "thousand": 1_000, "million": 1_000_000}


TOLD_TWICE = (
    "An earlier row of this file has the same model, account, meter, threshold, tier and "
    "beginning. Keep one of them."
)


def text_of(value: Any) -> str:
    """A cell as text, without the quote that keeps spreadsheets from taking it for a formula."""
    text = "" if value is None else str(value).strip()
    if text.startswith("'") and text[1:].startswith(FORMULA_STARTS):
        return text[1:]
    return text


def quoted(text: str) -> str:
    return repr(text) if text else "An empty cell"


class Text(Widget):
    """Text, or what stands for it where the cell is empty."""

    def __init__(self, empty: str = "") -> None:
        super().__init__()
        self.empty = empty

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> str:
        return text_of(value) or self.empty


class Money(Widget):
    """An exact price. Spreadsheets give floats: as they are written, and never as they are kept."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Decimal:
        text = text_of(value)
        try:
            price = Decimal(text)
        except InvalidOperation as error:
            raise ValueError(
                f"{quoted(text)} is not a price: write US dollars such as 2.50, "
                "without a currency or separators of thousands."
            ) from error
        if not price.is_finite() or not 0 <= price < LARGEST_PRICE:
            raise ValueError(
                f"{text} is not a price: it is 0 or more, and below a million million."
            )
        if price != round(price, PLACES):
            raise ValueError(
                f"{text} has more than {PLACES} decimals. If a spreadsheet made them, "
                "format the cell as text and write the price anew."
            )
        return price

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return "" if value is None else f"{value.normalize():f}"


class Whole(Widget):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> int:
        text = text_of(value) or "0"
        try:
            number = Decimal(text)
            if number == number.to_integral_value() and 0 <= number < 2**31:
                return int(number)
        except InvalidOperation:
            pass
        raise ValueError(f"{text} is not a whole number of tokens.")


class NumberOfUnits(Widget):
    """What a price is for: 1, 1000 or 1000000 units."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> int:
        text = text_of(value).lower()
        if text in NUMBERS_OF_UNITS:
            return NUMBERS_OF_UNITS[text]
        try:
            if (number := Decimal(text or "1000000")) in NUMBERS_OF_UNITS.values():
                return int(number)
        except InvalidOperation:
            pass
        raise ValueError(f"{text} units: a price is for 1, 1000 or 1000000 of them.")


class Moment(Widget):
    """A day, which begins at midnight in UTC, or a moment."""

    def __init__(self, *, required: bool = False) -> None:
        super().__init__()
        self.required = required

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> datetime | None:
        if isinstance(value, date):  # a cell that the spreadsheet knows to be one
            value = value.isoformat()
        text = text_of(value)
        if not text and not self.required:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(
                f"{quoted(text)} is not a day such as 2026-01-31, "
                "nor a moment such as 2026-01-31T12:00:00Z."
            ) from error
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        if value is None:
            return ""
        text = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return text.removesuffix("T00:00:00Z")


class OneOfTheMeters(Widget):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> str:
        text = text_of(value).lower().replace(" ", "_")
        if text in METERS:
            return text
        near = difflib.get_close_matches(text, METERS, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else f"it is one of {', '.join(METERS)}."
        )
        raise ValueError(f"There is no meter {text!r}: {hint}")


class ServiceTier(Widget):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> str:
        return normal_tier(text_of(value))


class OneOfTheModels(Widget):
    """A model of the price book, named beside its provider."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[str, str], PricedModel] = {}

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> PricedModel:
        provider, name = provider_key(text_of(row.get("provider"))) or "", text_of(value)
        if not provider or not name:
            raise ValueError("Name the provider and the model, as in the list of priced models.")
        found = self.known.get((provider, name))
        if found is None:
            raise ValueError(
                f"The price book has no model {name!r} of {provider}. Create it first, under "
                "Priced models; then import this file again."
            )
        return found

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return value.name if value else ""


class OneOfTheAccounts(Widget):
    """The account whose contract rate it is; empty for the list."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Account] = {}
        self.lists = False

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Account | None:
        slug = text_of(value)
        if not slug and self.lists:
            return None
        if not slug:
            raise ValueError(
                "List prices are kept by platform staff. Name the account whose contract rate "
                "this is."
            )
        if slug not in self.known:
            raise ValueError(f"There is no account {slug!r} whose prices you may edit.")
        return self.known[slug]

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return value.slug if value else ""


class PriceResource(ScopedResource):
    """Rows become drafts; what the book says already is skipped, and approved prices stay."""

    provider = fields.Field("priced_model__provider", "provider", readonly=True)
    model = fields.Field("priced_model", "model", OneOfTheModels())
    account = fields.Field("account", "account", OneOfTheAccounts())
    meter = fields.Field("meter", "meter", OneOfTheMeters())
    unit_price = fields.Field("unit_price", "unit_price", Money())
    per = fields.Field("per", "per", NumberOfUnits())
    from_input_tokens = fields.Field("from_input_tokens", "from_input_tokens", Whole())
    service_tier = fields.Field("service_tier", "service_tier", ServiceTier())
    valid_from = fields.Field("valid_from", "valid_from", Moment(required=True))
    valid_to = fields.Field("valid_to", "valid_to", Moment())
    source = fields.Field("source", "source", Text(empty="file"))
    status = fields.Field("status", "status", readonly=True)

    class Meta:
        model = Price
        fields = (
            *("provider", "model", "account", "meter", "unit_price", "per", "from_input_tokens"),
            *("service_tier", "valid_from", "valid_to", "source", "status"),
        )
        import_order = export_order = fields
        import_id_fields = ()
        skip_unchanged = True
        use_bulk = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fields["account"].widget.lists = kwargs.get("lists", False)
        self.book: dict[changes.Identity, list[Price]] = {}
        self.told: set[tuple[changes.Identity, datetime]] = set()  # by rows of this file

    def get_queryset(self) -> Any:
        return Price.objects.all()

    def get_import_fields(self) -> list[Any]:
        return [field for field in super().get_import_fields() if field.column_name != "status"]

    def get_bulk_update_fields(self) -> list[str]:
        """What a row may change of a draft that it stands for; the rest is how it was found."""
        return ["unit_price", "per", "valid_to", "source"]

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Everything that rows are compared with, read once."""
        models = PricedModel.objects.all()
        self.fields["model"].widget.known = {(m.provider, m.name): m for m in models}
        accounts = Account.objects.filter(pk__in=self.ids["accounts"] or [])
        self.fields["account"].widget.known = {account.slug: account for account in accounts}
        self.book = changes.by_identity(Price.objects.exclude(status=Price.Status.DISCARDED))
        self.told = set()

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        unknown = [name for name in row if name and name not in self.Meta.fields]
        if unknown:  # a misspelt account would make a contract rate a list price
            columns = ", ".join(self.Meta.fields)
            raise ValidationError({unknown[0]: f"There is no such column: there are {columns}."})
        for name in self.Meta.fields:  # a column that is not there is empty, and no way around
            row.setdefault(name, "")

    def get_instance(self, instance_loader: Any, row: Any) -> Price | None:
        """The price that the row is about, where there is one that it may stand for."""
        told = Price()
        try:
            for name in ("model", "account", "unit_price", "per", "valid_from", "valid_to"):
                setattr(told, self.fields[name].attribute, self.fields[name].clean(row))
            for name in changes.TERMS:
                setattr(told, name, self.fields[name].clean(row))
        except ValueError:
            return None  # said at its own field
        return self.standing(told)

    def standing(self, told: Price) -> Price | None:
        """An approved price that says the same, else a draft that begins at the same time."""
        same = [
            price
            for price in self.book.get(changes.identity(told), ())
            if price.valid_from == told.valid_from
        ]
        for price in same:
            if price.status == Price.Status.APPROVED and says_nothing_new(told, price):
                return price
        return next((price for price in same if price.status == Price.Status.DRAFT), None)

    def skip_row(
        self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None
    ) -> bool:
        if instance.status == Price.Status.APPROVED and not import_validation_errors:
            return True
        return bool(super().skip_row(instance, original, row, import_validation_errors))

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """Without a query a row: what a row names was looked up already."""
        errors = dict(import_validation_errors or {})
        if "priced_model" in errors:
            errors["model"] = errors.pop("priced_model")  # as the column is called
        super().validate_instance(instance, errors, validate_unique=False)
        instance.full_clean(
            exclude=("priced_model", "account"), validate_unique=False, validate_constraints=False
        )
        about = (changes.identity(instance), instance.valid_from)
        if about in self.told:
            raise ValidationError({"valid_from": TOLD_TWICE})
        self.told.add(about)

    def after_init_instance(self, instance: Any, new: bool, row: Any, **kwargs: Any) -> None:
        if new:
            instance.status = Price.Status.DRAFT


def says_nothing_new(told: Price, approved: Price) -> bool:
    return told.price_of_one == approved.price_of_one and not review.shortens(told, approved)


class PricedModelResource(ScopedResource):
    further_names = fields.Field("further_names", "further_names", SimpleArrayWidget())

    class Meta:
        model = PricedModel
        fields = ("provider", "name", "pattern", "further_names", "context_window")
        import_id_fields = ("provider", "name")
        skip_unchanged = True
        clean_model_instances = True

    def get_queryset(self) -> Any:
        return PricedModel.objects.all()

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        for name in set(self.Meta.fields) & set(row):
            row[name] = text_of(row[name])

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        if not kwargs.get("dry_run"):
            versions.bump(PRICES_VERSION)
