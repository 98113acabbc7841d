"""The review of drafts: beside what each would replace, approved or discarded many at a time."""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone

from accounts.access import Right
from accounts.scoped_admin import ScopedAdmin, whole_accounts
from usage.admin.decisions import approve, discard, end
from usage.models import Price
from usage.pricing.catalogue import unlisted_prices
from usage.pricing.meters import METERS
from usage.pricing.review import Change, changes_of
from usage.query_strings import tidied

EDIT = Right.EDIT_PRICES_AND_CLIENTS
MODELS_A_PAGE = 20
PRICES_A_PAGE = 100
LIST = "list"
KINDS = (
    ("changed", "Changed prices"),
    ("new", "New models"),
    ("removed", "No longer listed"),
)


class Group(NamedTuple):
    """One model's drafts, of the list or of one account's contract."""

    priced_model_id: int
    account_id: int | None
    provider: str
    name: str
    account_name: str | None
    account_slug: str | None
    drafts: int
    is_new: bool

    @property
    def key(self) -> tuple[int, int | None]:
        return self.priced_model_id, self.account_id


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of the drafts are looked at; what is not chosen is empty."""

    provider: str = ""
    kind: str = ""
    whose: str = ""
    q: str = ""

    @classmethod
    def of(cls, parameters: QueryDict) -> "Chosen":
        return cls(**{name: parameters.get(name, "") for name in cls.__slots__})

    def fits(self, group: Group) -> bool:
        return (
            self.provider in ("", group.provider)
            and self.kind in ("", "new" if group.is_new else "changed")
            and self.whose in ("", group.account_slug or LIST)
            and self.finds(group.provider, group.name)
        )

    def finds(self, provider: str, name: str) -> bool:
        words = f"{provider} {name}".lower()
        return all(word in words for word in self.q.lower().split())


def page(request: HttpRequest) -> HttpResponse:
    if not may_review(request):
        raise PermissionDenied
    if request.method == "POST":
        return decide(request)
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    chosen, known = Chosen.of(request.GET), approved_keys(request)
    groups = groups_of(request, known)
    unlisted = unlisted_prices(now=timezone.now()) if request.user.is_superuser else []
    context = {
        **admin.site.each_context(request),
        "title": "Price review",
        "chosen": chosen,
        "kinds": KINDS if request.user.is_superuser else KINDS[:2],
        "providers": sorted({group.provider for group in groups}),
        "owners": owners(groups),
        "summary": summary(groups, known, unlisted),
        "filters": filters(request.GET),
        "has_drafts": bool(groups),
        "may_import": request.user.is_superuser,
    }
    if chosen.kind == "removed":
        context |= removed_page(request, [p for p in unlisted if fits_unlisted(p, chosen)])
    else:
        context |= drafts_page(request, [group for group in groups if chosen.fits(group)])
    return TemplateResponse(request, "usage/price_review.html", context)


def removed_page(request: HttpRequest, prices: list[Price]) -> dict[str, Any]:
    return {"page": Paginator(prices, PRICES_A_PAGE).get_page(request.GET.get("page"))}


def drafts_page(request: HttpRequest, groups: list[Group]) -> dict[str, Any]:
    page = Paginator(groups, MODELS_A_PAGE).get_page(request.GET.get("page"))
    entries = with_changes(request, list(page.object_list))
    return {
        "page": page,
        "entries": entries,
        "clashes": any(change.is_clashing for _, changes in entries for change in changes),
        "drafts_found": sum(group.drafts for group in groups),
        "models_found": len(groups),
    }


def decide(request: HttpRequest) -> HttpResponse:
    ids = chosen_ids(request)
    match request.POST.get("decision"):
        case _ if ids is None:
            messages.error(
                request, "The drafts have changed since this page was shown. Look again, please."
            )
        case _ if not ids:
            messages.error(request, "Choose at least one price.")
        case "approve":
            approve(request, ids)
        case "from_today":
            approve(request, ids, from_today=True)
        case "discard":
            discard(request, ids)
        case "end":
            end(request, ids)
    return HttpResponseRedirect(request.get_full_path())


def chosen_ids(request: HttpRequest) -> list[int] | None:
    """What was ticked, or all that the filter finds, unless that is no longer what was seen."""
    own = decidable(request)
    if not request.POST.get("all"):
        ticked = [int(pk) for pk in request.POST.getlist("price") if is_id(pk)]
        return list(own.filter(pk__in=ticked).values_list("pk", flat=True))
    chosen = Chosen.of(request.GET)
    groups = groups_of(request, approved_keys(request))
    keys = {group.key for group in groups if chosen.fits(group)}
    found = own.drafts().values_list("pk", "priced_model_id", "account_id")
    ids = [pk for pk, *key in found if tuple(key) in keys]
    return ids if str(len(ids)) == request.POST.get("expected") else None


def is_id(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


def may_review(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser) or bool(
        whole_accounts(request, EDIT)
    )


def decidable(request: HttpRequest) -> Any:
    """The prices that the caller may decide about: the list is for platform staff."""
    prices = cast(ScopedAdmin, admin.site.get_model_admin(Price))
    return prices.reachable(request, EDIT).order_by()


def approved_keys(request: HttpRequest) -> set[tuple[int, int | None]]:
    """(model, account) of everything that has an approved price."""
    approved = decidable(request).approved()
    return set(approved.values_list("priced_model_id", "account_id").distinct())


def groups_of(request: HttpRequest, known: set[tuple[int, int | None]]) -> list[Group]:
    """Every model with drafts, changed ones first: one query, however many there are."""
    rows = (
        decidable(request)
        .drafts()
        .values_list(
            *("priced_model_id", "account_id", "priced_model__provider", "priced_model__name"),
            *("account__name", "account__slug"),
        )
        .annotate(number=Count("pk"))
    )
    groups = [Group._make((*row, row[:2] not in known)) for row in rows]
    return sorted(groups, key=lambda g: (g.is_new, g.provider, g.name, g.account_name or ""))


def with_changes(request: HttpRequest, groups: list[Group]) -> list[tuple[Group, list[Change]]]:
    """The groups of one page with what each draft would change."""
    if not groups:
        return []
    models, accounts = {g.priced_model_id for g in groups}, {g.account_id for g in groups}
    drafts = (
        decidable(request)
        .drafts()
        .filter(
            Q(account__in=accounts - {None})
            | (Q(account=None) if None in accounts else Q(pk=None)),
            priced_model__in=models,
        )
    )
    by_group: dict[tuple[int, int | None], list[Change]] = {g.key: [] for g in groups}
    for change in sorted(changes_of(drafts, now=timezone.now()), key=order_of):
        key = (change.draft.priced_model_id, change.draft.account_id)
        if key in by_group:
            by_group[key].append(change)
    return [(group, by_group[group.key]) for group in groups]


def order_of(change: Change) -> tuple[Any, ...]:
    """Input before output, and the standard rate before the others, as people compare prices."""
    draft = change.draft
    place = list(METERS).index(draft.meter) if draft.meter in METERS else len(METERS)
    return draft.service_tier, place, draft.from_input_tokens, draft.valid_from


def fits_unlisted(price: Price, chosen: Chosen) -> bool:
    model = price.priced_model
    return chosen.provider in ("", model.provider) and chosen.finds(model.provider, model.name)


def summary(
    groups: list[Group], known: set[tuple[int, int | None]], unlisted: list[Price]
) -> dict[str, int]:
    changed = sum(not group.is_new for group in groups)
    return {
        "changed": changed,
        "new": len(groups) - changed,
        "unchanged": len(known) - changed,
        "removed": len({price.priced_model_id for price in unlisted}),
    }


def owners(groups: list[Group]) -> list[tuple[str, str]]:
    """Whose drafts there are, as (value, name), where there is a choice."""
    found = {(group.account_slug or LIST, group.account_name or "List prices") for group in groups}
    return sorted(found, key=lambda pair: (pair[0] != LIST, pair[1])) if len(found) > 1 else []


def filters(parameters: QueryDict) -> str:
    """The filter without the page, for links to other pages of the same."""
    rest = parameters.copy()
    rest.pop("page", None)
    return rest.urlencode()
