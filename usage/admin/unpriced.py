"""The queue of unpriced models: what waits for a price, why, and what to do about it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from accounts import versions
from accounts.access import Right
from accounts.scoped_admin import reach_of, whole_accounts
from usage.admin.decisions import approve
from usage.models import Price, PricedModel
from usage.pricing.changes import holding
from usage.pricing.names import provider_key, providers_to_ask, spellings
from usage.pricing.patterns import LONGEST_NAME, names_of, suggested
from usage.pricing.ratecard import PRICES_VERSION, rate_card
from usage.pricing.unpriced import MOST_MODELS, WINDOW, Book, Waiting, Why, waiting
from usage.query_strings import tidied

FOUND_MODELS = 20
SHOWN_WORKSPACES = 3


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    reach = reach_of(request).within(account=request.GET.get("account"))
    queue = waiting(reach, rate_card(), now=timezone.now())
    return render(
        request,
        "usage/unpriced.html",
        title="Unpriced models",
        reach=reach_of(request),
        account=request.GET.get("account", ""),
        entries=[
            (one, links(request, one), places(one, with_account=len(reach.accounts) > 1))
            for one in queue
        ],
        requests=sum(one.requests for one in queue),
        ceiling=sum((one.ceiling_cost for one in queue), Decimal(0)),
        is_cut=len(queue) == MOST_MODELS,
        days=WINDOW.days,
        reprice=address("admin:repricing") if may_edit_prices(request) else "",
    )


def places(one: Waiting, *, with_account: bool) -> tuple[str, str]:
    """The first workspaces in words, and all of them for whoever hovers."""
    names = sorted(
        f"{workspace.account} / {workspace}" if with_account else str(workspace)
        for workspace in one.workspaces
    )
    more = len(names) - SHOWN_WORKSPACES
    shown = ", ".join(names[:SHOWN_WORKSPACES]) + (f" and {more} more" if more > 0 else "")
    return shown, ", ".join(names)


def links(request: HttpRequest, one: Waiting) -> list[tuple[str, str]]:
    """(title, address) of what this reader can do about it, the likeliest first."""
    why = one.why
    if why is None:
        return []
    log = {"unpriced": "1", "model": one.model, "provider": one.provider or "none"}
    if account := request.GET.get("account"):
        log["account"] = account
    requests = ("Requests", f"{reverse('admin:request_log')}?{urlencode(log)}")
    return [*remedies(request, one, why), requests]


def remedies(request: HttpRequest, one: Waiting, why: Why) -> list[tuple[str, str]]:
    if why.drafts and may_edit_prices(request):
        name = why.priced_model.name if why.priced_model else one.model
        return [("Review its drafts", f"{reverse('admin:price_review')}?{urlencode({'q': name})}")]
    if why.kind == "priced_since":
        return [("Re-price", link) for link in [repricing_of(request, one)] if link]
    query = urlencode({"provider": one.provider or "", "model": one.model})
    add = ("Add a price", f"{reverse('admin:unpriced_price')}?{query}")
    if why.kind in ("no_model", "no_price") and is_platform_staff(request):
        answers = f"{reverse('admin:unpriced_answers')}?{query}"
        return [add, ("Answers to an existing model", answers)] if why.has_likes else [add]
    if why.priced_model and may_edit_prices(request):
        return [("Add a price", f"{reverse('admin:usage_price_add')}?{prefilled(one, why)}")]
    return []


def repricing_of(request: HttpRequest, one: Waiting) -> str:
    """Where the requests are re-priced, of an account whose prices the caller keeps."""
    own = whole_accounts(request, Right.EDIT_PRICES_AND_CLIENTS)
    slugs = sorted(w.account.slug for w in one.workspaces if w.account_id in own)
    page = address("admin:repricing")
    if not (slugs and page):
        return ""
    return f"{page}?{urlencode({'account': slugs[0], 'model': one.model})}"


def may_edit_prices(request: HttpRequest) -> bool:
    return bool(admin.site.get_model_admin(Price).has_add_permission(request))


def is_platform_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def prefilled(one: Waiting, why: Why) -> str:
    """What the form for one price begins with."""
    start = midnight(one.price_from or timezone.now().date())
    return urlencode(
        {
            "priced_model": why.priced_model.pk if why.priced_model else "",
            "meter": why.meter or "input",
            "valid_from": f"{start:%Y-%m-%dT%H:%M:%S}",
            "source": "by hand",
        }
    )


class FirstPriceForm(forms.Form):
    """A model that the price book lacks, with its first prices for a million tokens."""

    name = forms.CharField(max_length=200)
    pattern = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}))
    input = forms.DecimalField(min_value=0, max_digits=24, decimal_places=12)
    output = forms.DecimalField(min_value=0, max_digits=24, decimal_places=12)
    cache_read = forms.DecimalField(min_value=0, max_digits=24, decimal_places=12, required=False)
    cache_write_5m = forms.DecimalField(
        min_value=0, max_digits=24, decimal_places=12, required=False
    )
    valid_from = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    source = forms.CharField(max_length=100)

    METERS = ("input", "output", "cache_read", "cache_write_5m")

    def __init__(self, *args: Any, provider: str, model: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.provider, self.model = provider, model

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not {"name", "pattern"} <= set(given):
            return given
        known = PricedModel.objects.filter(provider=self.provider, name=given["name"]).first()
        self.priced_model = known or PricedModel(provider=self.provider, name=given["name"])
        self.priced_model.pattern = given["pattern"]
        try:
            self.priced_model.full_clean()
        except ValidationError as error:
            for name, wrong in error.message_dict.items():
                self.add_error(name if name in self.fields else None, wrong)
            return given
        answers = names_of(self.priced_model)
        if not any(answers.search(name) for name in spellings(self.model)):
            self.add_error("pattern", f"This pattern does not match {self.model}.")
        return given

    def save(self) -> list[Price]:
        """The model and a draft for each price that was given."""
        given = self.cleaned_data
        self.priced_model.save()
        return [
            Price.objects.create(
                priced_model=self.priced_model,
                meter=meter,
                unit_price=given[meter],
                valid_from=midnight(given["valid_from"]),
                source=given["source"],
            )
            for meter in self.METERS
            if given[meter] is not None
        ]


@transaction.atomic
def price(request: HttpRequest) -> HttpResponse:
    """Platform staff give a model its first prices, as drafts or counting at once."""
    provider, model = asked_about(request)
    book = Book.of(providers_to_ask(provider))
    known = book.answering(provider, model)
    key = provider_key(known.provider if known else provider) or ""
    form = FirstPriceForm(
        request.POST or None,
        provider=key,
        model=model,
        initial={
            "name": known.name if known else spellings(model)[0],
            "pattern": known.pattern if known else suggested(model),
            "valid_from": lambda: first_day(request, provider, model),
            "source": "by hand",
        },
    )
    if request.method == "POST" and form.is_valid():
        drafts = form.save()
        versions.bump(PRICES_VERSION)
        if request.POST.get("then") == "approve":
            approve(request, [draft.pk for draft in drafts])
            return HttpResponseRedirect(reverse("admin:unpriced"))
        messages.success(request, f"{len(drafts)} drafts. They count once they are approved.")
        query = urlencode({"q": form.priced_model.name})
        return HttpResponseRedirect(f"{reverse('admin:price_review')}?{query}")
    return render(
        request,
        "usage/unpriced_price.html",
        title="Add a price",
        form=form,
        provider=key,
        model=model,
        closest=[] if known else with_prices(book.closest(provider, model)[:3]),
    )


def first_day(request: HttpRequest, provider: str, model: str) -> date:
    """Since when the model was seen without a price, so that all of its requests get one."""
    now = timezone.now()
    for one in waiting(reach_of(request), rate_card(), now=now):
        if one.model == model and one.provider == provider and one.price_from:
            return one.price_from
    return now.date()


@transaction.atomic
def answers(request: HttpRequest) -> HttpResponse:
    """Platform staff say that a name is a spelling of a model in the price book."""
    provider, model = asked_about(request)
    asked = providers_to_ask(provider)
    if request.method == "POST":
        return answer_to(request, provider, model)
    words = request.GET.get("q", "").replace("\x00", "").split()
    if words:
        found = PricedModel.objects.filter(provider__in=asked, prices__status="approved")
        for word in words:
            found = found.filter(name__icontains=word)
        models = list(found.distinct()[:FOUND_MODELS])
    else:
        models = Book.of(asked).closest(provider, model)
    return render(
        request,
        "usage/unpriced_answers.html",
        title="Answers to an existing model",
        provider=provider,
        model=model,
        q=request.GET.get("q", ""),
        entries=with_prices(models),
        asked=asked,
    )


def answer_to(request: HttpRequest, provider: str, model: str) -> HttpResponse:
    chosen = request.POST.get("priced_model", "")
    rows = PricedModel.objects.filter(provider__in=providers_to_ask(provider))
    found = rows.filter(pk=int(chosen)).first() if is_id(chosen) else None
    if found is None:
        messages.error(request, "Choose a model of this provider.")
        return HttpResponseRedirect(request.get_full_path())
    name = spellings(model)[0]
    if name not in found.further_names:
        found.further_names = [*found.further_names, name]
        found.save(update_fields=["further_names"])
        LogEntry.objects.log_actions(
            request.user.pk or 0, [found], CHANGE, change_message=f"Answers to {name} too."
        )
    versions.bump(PRICES_VERSION)
    messages.success(
        request,
        f"From now on {name} is billed as {found}. Its requests so far wait to be re-priced.",
    )
    return HttpResponseRedirect(reverse("admin:unpriced"))


def asked_about(request: HttpRequest) -> tuple[str, str]:
    """The provider and model of the address. Raises PermissionDenied and Http404."""
    if not is_platform_staff(request):
        raise PermissionDenied
    provider, model = (request.GET.get(n, "").replace("\x00", "") for n in ("provider", "model"))
    if not provider or not 0 < len(model) <= LONGEST_NAME:
        raise Http404("Name the provider and the model.")
    return provider, model


def with_prices(models: list[PricedModel]) -> list[tuple[PricedModel, Price | None, Price | None]]:
    """Each model with its list prices for input and output of now: one query."""
    now = timezone.now()
    rows = Price.objects.approved().filter(
        priced_model__in=models,
        account=None,
        service_tier="",
        from_input_tokens=0,
        meter__in=("input", "output"),
    )
    found: dict[tuple[int, str], list[Price]] = {}
    for row in rows:
        found.setdefault((row.priced_model_id, row.meter), []).append(row)

    def now_at(model: PricedModel, meter: str) -> Price | None:
        return holding(found.get((model.pk, meter), []), now)

    return [(model, now_at(model, "input"), now_at(model, "output")) for model in models]


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), tzinfo=UTC)


def is_id(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


def address(name: str) -> str:
    """Where a page is; nothing where there is no such page."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def render(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
