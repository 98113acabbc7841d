"""The page of savings: what could be saved and why one may believe it, and what was decided."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django_q.tasks import async_task

from accounts.access import Reach, Right
from accounts.models import User
from accounts.scoped_admin import reach_of
from usage import formatting
from usage.insight import savings
from usage.insight.pages import part_of, render
from usage.insight_models import ModelCapability, Saving
from usage.query_strings import tidied
from usage.reports.question import Question, today_in
from usage.reports.run import ask

State = Saving.State
TABS = {
    "open": ("Open", [State.OPEN]),
    "taken": ("Accepted and done", [State.ACCEPTED, State.DONE]),
    "dismissed": ("Dismissed", [State.DISMISSED]),
}
RATES = ("cached", "pays_from")
SHOWN = 200
COMPARED_DAYS = 30
COMPARED_MODELS = 15
RELATED = (
    *("account", "workspace", "project__client", "endpoint", "model", "provider", "api_key"),
    "decided_by",
)


@dataclass(frozen=True, slots=True)
class Side:
    """One of two models in comparison, in the words of the page."""

    title: str
    name: str
    figures: dict[str, Any] | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Card:
    saving: Saving
    title: str
    place: str
    sides: tuple[Side, ...]
    log_url: str
    may_decide: bool

    @property
    def days(self) -> str:
        return formatting.span(self.saving.since, self.saving.until)

    @property
    def evidence(self) -> dict[str, Any]:
        """Rates as numbers again: JSON keeps them as text, so that they stay exact."""
        kept = self.saving.evidence
        return kept | {name: Decimal(kept[name]) for name in RATES if name in kept}


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    part, now = part_of(request), timezone.now()
    tab = request.GET.get("state", "open")
    tab = tab if tab in TABS else "open"
    kind = request.GET.get("kind", "")
    mine = Saving.objects.filter(workspace__in=part.reach.workspace_ids)
    shown = mine.filter(state__in=TABS[tab][1]).select_related(*RELATED)
    if kind in Saving.Kind.values:
        shown = shown.filter(kind=kind)
    manageable = set(reach_of(request, Right.MANAGE).workspace_ids)
    cards = [card(saving, saving.workspace_id in manageable) for saving in shown[:SHOWN]]
    return render(
        request,
        "usage/insight/savings.html",
        title="Savings",
        part=part,
        tab=tab,
        kind=kind,
        kinds=Saving.Kind.choices,
        tabs=tabs(request, mine),
        sections=sections(cards) if tab == "open" else [("", "", cards)] if cards else [],
        summary=summary(list(mine.open())),
        realised=mine.decided().aggregate(total=Sum("realised"))["total"],
        taken=mine.decided().count(),
        found_at=mine.aggregate(at=Max("found_at"))["at"],
        compared=compared(part.reach, now=now),
        compared_days=COMPARED_DAYS,
        capabilities=capabilities_url(request),
        may_judge=admin.site.get_model_admin(ModelCapability).has_change_permission(request),
        may_find=bool(manageable & set(part.reach.workspace_ids)),
    )


def tabs(request: HttpRequest, mine: Any) -> list[tuple[str, str, int, str]]:
    """(key, label, how many, query string) of each."""
    counts = dict(mine.order_by().values_list("state").annotate(Count("pk")))
    found = []
    for key, (label, states) in TABS.items():
        query = request.GET.copy()
        query["state"] = key
        found.append((key, label, sum(counts.get(s, 0) for s in states), query.urlencode()))
    return found


def summary(rows: Iterable[Saving]) -> dict[str, Decimal]:
    """A month's saving, each traffic counted once by its best: what is likely, and what may be."""
    likely: dict[Any, Decimal] = {}
    possible: dict[Any, Decimal] = {}
    for saving in rows:
        if saving.monthly is None:
            continue
        key = saving.traffic
        possible[key] = max(possible.get(key, Decimal(0)), saving.monthly)
        if saving.confidence != Saving.Confidence.LOW:
            likely[key] = max(likely.get(key, Decimal(0)), saving.monthly)
    sure = sum(likely.values(), Decimal(0))
    most = sum(possible.values(), Decimal(0))
    return {"likely": sure, "possible": most, "yearly": sure * 365 / 30}


def sections(cards: list[Card]) -> list[tuple[str, str, list[Card]]]:
    """(title, what it means, cards): what is likely first, and what is not about money last."""
    likely: list[Card] = []
    unsure: list[Card] = []
    free: list[Card] = []
    for each in cards:
        is_low = each.saving.confidence == Saving.Confidence.LOW
        (free if each.saving.monthly is None else unsure if is_low else likely).append(each)
    found = [
        ("Likely", "as capable by the table of capabilities, and priced to the cent", likely),
        ("Worth a try", "less certain: read the doubts", unsure),
        ("Not about money", "", free),
    ]
    return [section for section in found if section[2]]


def card(saving: Saving, may_decide: bool) -> Card:
    titles = {
        Saving.Kind.SUBSTITUTION: f"{saving.model} → {saving.candidate}",
        Saving.Kind.CACHING: f"Cache the prompts to {saving.model}",
        Saving.Kind.ERRORS: f"Failed requests to {saving.model} that were paid for",
        Saving.Kind.IDLE_KEY: f"API key {saving.api_key} is not used",
    }
    return Card(
        saving,
        titles[Saving.Kind(saving.kind)],
        place_of(saving),
        sides_of(saving),
        log_url(saving),
        may_decide,
    )


def place_of(saving: Saving) -> str:
    parts = [str(saving.workspace)]
    if saving.kind != Saving.Kind.IDLE_KEY:
        parts += [str(saving.project or "no project"), str(saving.endpoint or "no endpoint")]
    return " · ".join(parts)


def sides_of(saving: Saving) -> tuple[Side, ...]:
    if saving.kind != Saving.Kind.SUBSTITUTION:
        return ()
    evidence = saving.evidence
    return (
        Side("Now", str(saving.model), numbers(evidence["now"]), saving.cost_now),
        Side("Instead", saving.candidate, numbers(evidence["candidate"]), saving.cost_then),
    )


def numbers(figures: dict[str, Any] | None) -> dict[str, Any] | None:
    """As JSON keeps them, exact again."""
    return figures and figures | {"error_rate": Decimal(figures["error_rate"])}


def log_url(saving: Saving) -> str:
    if saving.kind == Saving.Kind.IDLE_KEY:
        return reverse("admin:accounts_apikey_change", args=[saving.api_key_id])
    given = {
        "account": saving.account.slug,
        "workspace": saving.workspace.slug,
        "project": saving.project.tag if saving.project else "none",
        "endpoint": saving.endpoint.name if saving.endpoint else "none",
        "model": saving.model.name if saving.model else "none",
        "from": saving.since.isoformat(),
        "to": saving.until.isoformat(),
    }
    return f"{reverse('admin:request_log')}?{urlencode(given)}"


def compared(reach: Reach, *, now: datetime) -> list[dict[str, Any]]:
    """The models in use, by what a million tokens of them really cost."""
    end = today_in(reach, now=now) + timedelta(1)
    question = Question(
        reach=reach,
        start=end - timedelta(COMPARED_DAYS),
        end=end,
        group_by=("model", "provider"),
        metrics=(
            *("cost", "requests", "total_tokens", "cost_per_million_tokens", "cache_hit_rate"),
            *("error_rate", "latency_ms_p50"),
        ),
        limit=COMPARED_MODELS,
    )
    rows = [row for row in ask(question, now=now).rows if row["cost_per_million_tokens"]]
    most = max((row["cost_per_million_tokens"] for row in rows), default=Decimal(1))
    for row in rows:
        row["width"] = f"{row['cost_per_million_tokens'] * 100 / most:.2f}"
    return sorted(rows, key=lambda row: -row["cost_per_million_tokens"])


def capabilities_url(request: HttpRequest) -> str:
    table = admin.site.get_model_admin(ModelCapability)
    if not table.has_view_permission(request):
        return ""
    return reverse("admin:usage_modelcapability_changelist")


def decide(request: HttpRequest, pk: int) -> HttpResponse:
    reach = reach_of(request, Right.MANAGE)
    if request.method != "POST" or pk >= 2**63:
        raise Http404
    if not Saving.objects.filter(pk=pk, workspace__in=reach.workspace_ids).exists():
        raise Http404("There is no such saving, or it is not yours to decide.")
    try:
        savings.decide(
            pk,
            request.POST.get("state", ""),
            reason=request.POST.get("reason", "").replace("\x00", "")[:2000],
            by=cast(User, request.user),
            now=timezone.now(),
        )
    except savings.CannotDecide as error:
        messages.error(request, str(error))
    return back(request)


def find_now(request: HttpRequest) -> HttpResponse:
    """Have the savings of the accounts that the caller manages found anew, by the workers."""
    accounts = {w.account_id for w in reach_of(request, Right.MANAGE).workspaces}
    if not accounts:
        raise PermissionDenied
    if request.method == "POST":
        for account_id in accounts:
            async_task("usage.tasks.find_savings", account_id)
        messages.success(request, "Looking. What is found appears here in a minute.")
    return back(request)


def back(request: HttpRequest) -> HttpResponse:
    page = reverse("admin:savings")
    to = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(to, allowed_hosts=None) and to.startswith(page)
    return HttpResponseRedirect(to if safe else page)
