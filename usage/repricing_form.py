"""What somebody chooses to have re-priced, and what is offered before they choose."""

from datetime import date, datetime, timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, QueryDict

from accounts.access import Reach
from accounts.models import Account, Workspace
from usage.models import LlmModel, Price, Repricing
from usage.pricing.ratecard import compile_rate_card
from usage.reports.question import Question
from usage.reports.run import ask

DAYS_OFFERED = 90  # the longest that single requests are kept
MODELS_OFFERED = 300
WHICH = (("unpriced", "Requests without a price"), ("all", "All requests"))


class RepricingForm(forms.Form):
    account = forms.ChoiceField()
    first = forms.DateField(label="From")
    through = forms.DateField()
    which = forms.ChoiceField(choices=WHICH)
    workspaces = forms.ModelMultipleChoiceField(Workspace.objects.none(), required=False)
    models = forms.ModelMultipleChoiceField(LlmModel.objects.none(), required=False)
    reason = forms.CharField(required=False, max_length=2000)

    def __init__(self, *args: Any, accounts: list[Account], shown: Account, **more: Any) -> None:
        super().__init__(*args, **more)
        self.accounts = {account.slug: account for account in accounts}
        self.shown_account = shown
        cast(forms.ChoiceField, self.fields["account"]).choices = [(a, a) for a in self.accounts]
        workspaces = cast(forms.ModelMultipleChoiceField, self.fields["workspaces"])
        workspaces.queryset = shown.workspaces.all()
        models = cast(forms.ModelMultipleChoiceField, self.fields["models"])
        models.queryset = models_in(shown)

    def clean_account(self) -> Account:
        return self.accounts[self.cleaned_data["account"]]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        first, through = given.get("first"), given.get("through")
        if first and through and through < first:
            self.add_error("through", "The last day is before the first.")
        if through == date.max:  # it has no day after it
            self.add_error("through", "Name an earlier day.")
        return given

    def shown(self, name: str) -> str:
        """As the page shows it: what was sent, else what is offered."""
        return str(self.data.get(name, "") if self.is_bound else self.initial.get(name, ""))

    def shown_all(self, name: str) -> set[str]:
        if self.is_bound:
            return set(cast(QueryDict, self.data).getlist(name))
        return {str(value) for value in self.initial.get(name, ())}


def form_for(request: HttpRequest, accounts: list[Account], *, now: datetime) -> RepricingForm:
    """What was sent, or what the address asks to be offered."""
    if request.method == "POST":
        shown = by_slug(accounts, request.POST.get("account")) or accounts[0]
        return RepricingForm(request.POST, accounts=accounts, shown=shown)
    initial = initial_for(request, accounts, now=now)
    return RepricingForm(initial=initial, accounts=accounts, shown=initial["shown"])


def by_slug(accounts: list[Account], slug: str | None) -> Account | None:
    return next((account for account in accounts if account.slug == slug), None)


def initial_for(request: HttpRequest, accounts: list[Account], *, now: datetime) -> dict[str, Any]:
    """`account`, `model` (names), `which`, `from` and `through` of the address; or all that has
    no price; or what `price` touches; or the same as re-pricing `again`."""
    asked = request.GET
    again = one(Repricing, request, asked.get("again"))
    price = one(Price, request, asked.get("price"))
    owner = again.account if again else price.account if price else None
    shown = by_slug(accounts, asked.get("account")) or owner
    if shown not in accounts:
        shown = accounts[0]
    initial: dict[str, Any] = {"shown": shown, "account": shown.slug, "which": "unpriced"}
    initial |= offered(shown, now=now)
    if again and again.account == shown:
        initial |= same_as(again)
    if price:
        initial |= touched_by(price, shown, initial["first"], initial["through"])
    if names := [name for name in asked.getlist("model") if "\x00" not in name]:
        initial["models"] = list(
            models_in(shown).filter(name__in=names).values_list("pk", flat=True)
        )
    given = {
        "first": asked.get("from"),
        "through": asked.get("through"),
        "which": asked.get("which"),
    }
    return initial | {name: value for name, value in given.items() if value}


def one(model: Any, request: HttpRequest, pk: str | None) -> Any:
    """A row that the user sees in the admin, by the number in an address."""
    if not (pk and pk.isdecimal() and len(pk) < 10):
        return None
    return admin.site.get_model_admin(model).get_queryset(request).filter(pk=pk).first()


def offered(account: Account, *, now: datetime) -> dict[str, date]:
    """All days that single requests may still be of, as far as the books are open."""
    today = now.astimezone(account.zone).date()
    first = today - timedelta(DAYS_OFFERED)
    return {"first": max(first, account.books_closed_until or first), "through": today}


def same_as(repricing: Repricing) -> dict[str, Any]:
    return {
        "first": repricing.start_on,
        "through": repricing.end_on - timedelta(1),
        "which": "unpriced" if repricing.only_unpriced else "all",
        "workspaces": repricing.workspace_ids,
        "models": repricing.model_ids,
        "reason": repricing.reason,
    }


# Names tell much: nobody is offered, or told, those of another account's models.
USED = """
SELECT model_id FROM usage_day_model WHERE workspace_id = ANY(%s)
UNION SELECT model_id FROM usage_requestlog WHERE batch_id = ANY(ARRAY(
    SELECT batch_id FROM usage_batch WHERE workspace_id = ANY(%s))) AND workspace_id = ANY(%s)
"""


def models_in(account: Account) -> QuerySet[LlmModel]:
    """The models that the account's requests went to."""
    workspaces = list(account.workspaces.values_list("pk", flat=True))
    return LlmModel.objects.filter(pk__in=RawSQL(USED, [workspaces] * 3))  # noqa: S611 (a constant)


def touched_by(price: Price, account: Account, first: date, through: date) -> dict[str, Any]:
    """The models that go by the price, in the days that it holds, with and without a cost."""
    card = compile_rate_card([price])
    models = models_in(account).values_list("pk", "name")
    touched = [pk for pk, name in models if card.entry(price.priced_model.provider, name)]
    return {
        # A day more on either side: which day a moment is in, the account's zone decides.
        "first": max(first, price.valid_from.date() - timedelta(1)),
        "through": min(through, price.valid_to.date() + timedelta(1))
        if price.valid_to
        else through,
        "which": "all",
        "models": touched,
    }


def models_of(account: Account, chosen: set[str], *, now: datetime) -> list[dict[str, Any]]:
    """The models of the account's recent requests, those without a price first."""
    days = offered(account, now=now)
    workspaces = tuple(account.workspaces.select_related("account"))
    found = ask(
        Question(
            reach=Reach((account,), workspaces),
            start=days["through"] - timedelta(DAYS_OFFERED),
            end=days["through"] + timedelta(1),
            group_by=("model",),
            metrics=("requests", "unpriced_requests", "cost"),
            order=("-unpriced_requests", "-requests"),
            limit=MODELS_OFFERED,
        ),
        now=now,
    ).rows
    rows = [row | {"chosen": str(row["model_id"]) in chosen} for row in found]
    known = {str(row["model_id"]) for row in found}
    others = [pk for pk in chosen - known if pk.isdecimal() and len(pk) < 10]
    for model in models_in(account).filter(pk__in=others):
        unknown = dict.fromkeys(("requests", "unpriced_requests", "cost"))
        rows.append(unknown | {"model_id": model.pk, "model": model.name, "chosen": True})
    return sorted(rows, key=lambda row: not row["chosen"])


def names_of(repricing: Repricing) -> list[str]:
    models = LlmModel.objects.filter(pk__in=repricing.model_ids)
    return list(models.order_by("name").values_list("name", flat=True))
