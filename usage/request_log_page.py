"""The request log in the admin: a list paged by key, and one request with its bill."""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from accounts.access import Reach, Right
from accounts.models import ApiKey, Member, Project
from accounts.scoped_admin import reach_of
from usage import periods, request_filters, requests
from usage.pricing.explain import explain
from usage.pricing.ratecard import rate_card
from usage.query_strings import tidied
from usage.reports import question, run
from usage.reports.catalogue import DIMENSIONS

Beside = Callable[[HttpRequest, dict[str, Any]], dict[str, Any]]

PAGE_SIZES = (25, 50, 100, 250)
RANGES = ("today", "7d", "30d", "month")
STATUSES = (("2xx", "2xx succeeded"), ("4xx", "4xx refused"), ("5xx", "5xx failed"))


def log(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    reach, now = reach_of(request), timezone.now()
    zone = zone_of(reach.within(account=request.GET.get("account")))
    names = request_filters.names_by_id(request.GET, partial(visible, request))
    problem, page = "", requests.Page([], None, None)
    try:
        page = page_of(request.GET, reach)
    except question.BadQuestion as error:
        problem = str(error.detail)
    return render(
        request,
        "usage/request_log.html",
        title="Request log",
        reach=reach,
        zone=zone,
        page=page,
        problem=problem,
        given=request.GET,
        chips=request_filters.chips(request.GET, reach, zone=zone, names=names),
        chosen={name: ", ".join(found.values()) for name, found in names.items()},
        filters=request_filters.query_string(request.GET),
        newer=with_cursor(request.GET, page.previous),
        older=with_cursor(request.GET, page.next),
        options=request_filters.suggestions(
            reach.within(account=request.GET.get("account")),
            members=visible(request, Member),
            projects=visible(request, Project),
            keys=visible(request, ApiKey),
            now=now,
        ),
        statuses=STATUSES,
        ranges=ranges(request.GET, question.today_in(reach, now=now)),
        page_sizes=PAGE_SIZES,
        summary=None if problem else summary(request.GET, reach, now=now),
        may_export=bool(reach_of(request, Right.EXPORT).workspaces),
        last_day=request_filters.edge_text("to", request.GET.get("to", ""), zone=zone)[:10],
        first_day=request.GET.get("from", "")[:10],
    )


def detail(request: HttpRequest, *, beside: Beside | None = None) -> HttpResponse:
    """One request. `beside` tells what those know of it who are above usage."""
    workspace = request.GET.get("workspace", "")
    found = requests.one(
        reach_of(request),
        request.GET.get("id", "").replace("\x00", ""),
        workspace_id=int(workspace) if workspace.isdecimal() else None,
    )
    if found is None:
        raise Http404("There is no such request, or it is not yours to see.")
    account = next(a for a in reach_of(request).accounts if a.pk == found["account_id"])
    return render(
        request,
        "usage/request_detail.html",
        title="Request",
        row=found,
        account=account,
        zone=account.zone,
        explanation=explain(found, rate_card()),
        similar=similar(found, account.slug),
        **(beside(request, found) if beside else {}),
    )


def ranges(parameters: QueryDict, today: date) -> list[dict[str, Any]]:
    """The usual periods, as links that leave the other filters as they are."""
    found = []
    for key in RANGES:
        period = periods.preset(key, today=today)
        changed = parameters.copy()
        changed.pop("cursor", None)
        changed["from"], changed["to"] = period.start.isoformat(), period.end.isoformat()
        chosen = (parameters.get("from"), parameters.get("to")) == (changed["from"], changed["to"])
        found.append({"label": periods.LABELS[key], "query": changed.urlencode(), "chosen": chosen})
    return found


def page_of(parameters: QueryDict, reach: Reach) -> requests.Page:
    """Raises BadQuestion."""
    size = parameters.get("page_size") or str(requests.PAGE_SIZE)
    if not size.isdecimal():
        raise question.BadQuestion("page_size is a whole number.")
    return requests.page(
        requests.parse(parameters, reach),
        size=min(int(size), max(PAGE_SIZES)),
        cursor=parameters.get("cursor"),
    )


def summary(parameters: QueryDict, reach: Reach, *, now: datetime) -> dict[str, Any] | None:
    """How many requests these are and what they cost, where roll-ups can tell without counting."""
    asked = parameters.copy()
    for name in request_filters.PAGING:
        asked.pop(name, None)
    dimensions = {name.removesuffix("_id") for name in asked} - {"from", "to", "account"}
    countable = all(name in DIMENSIONS and not DIMENSIONS[name].raw_only for name in dimensions)
    if not countable or "from" not in asked:
        return None
    asked["metrics"] = "requests,cost,unpriced_requests"
    try:
        return run.ask(question.parse(asked, reach, now=now), now=now).totals
    except question.BadQuestion:
        return None  # the list says why


def similar(row: dict[str, Any], account: str) -> dict[str, str]:
    """Where requests with the same model, member, ... are listed."""
    names = ("workspace", "project", "member", "api_key", "model", "provider", "endpoint", "status")
    log_url = reverse("admin:request_log")
    return {
        name: f"{log_url}?{urlencode({'account': account, name: row[name]})}"
        for name in names
        if row[name] is not None
    }


def visible(request: HttpRequest, model: Any) -> QuerySet[Any]:
    return admin.site.get_model_admin(model).get_queryset(request)


def with_cursor(parameters: QueryDict, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    changed = parameters.copy()
    changed["cursor"] = cursor
    return changed.urlencode()


def zone_of(reach: Reach) -> ZoneInfo:
    return reach.accounts[0].zone if reach.accounts else ZoneInfo("UTC")


def render(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
