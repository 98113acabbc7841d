"""The explorer's pages: translate an address in, ask once, and show the answer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone

from accounts.access import Reach, Right
from accounts.scoped_admin import reach_of
from usage import buckets, periods, request_filters, request_log_page
from usage.explorer import controls, drill, notes, saved, words
from usage.explorer.chart import chart_of
from usage.explorer.exploration import TIME, Exploration
from usage.explorer.grid import Grid, lay_out
from usage.explorer.patience import TooLong, patience
from usage.explorer.reading import explore
from usage.explorer.table import table_of
from usage.explorer.values import found_values
from usage.query_strings import tidied
from usage.reports.catalogue import DIMENSIONS
from usage.reports.question import BadQuestion

# Problems of what is chosen in the toolbar; the others stand beside their own controls.
IN_TOOLBAR = ("question", "chart", "metric", "compare", "limit", "order")


@dataclass(frozen=True, slots=True)
class Answer:
    """The grid, and what there is to know of it; nothing where there is no answer."""

    grid: Grid | None = None
    incomparable: str = ""
    unpriced: int = 0
    slow: str = ""


def page(request: HttpRequest) -> HttpResponse:
    asked = with_filter(request.GET)
    tidy = tidied(asked)
    if tidy is not None or asked != request.GET:
        query = asked.urlencode() if tidy is None else tidy
        return HttpResponseRedirect(f"{request.path}?{query}")
    now = timezone.now()
    reach = reach_of(request)
    exploration = explore(request.GET, reach, now=now)
    problems = dict(exploration.problems)
    found = answer(exploration, problems, now=now)
    grid = found.grid
    exportable = reach_of(request, Right.EXPORT)
    names = names_of_values(request, exploration, reach)
    return render(
        request,
        "usage/explorer.html",
        title="Explorer",
        reach=reach,
        exploration=exploration,
        problems=problems,
        grid=grid,
        table=table_of(grid) if grid else None,
        zone_label=zone_label(exploration),
        before=notes.label_of(exploration),
        incomparable=found.incomparable,
        unpriced=found.unpriced,
        slow=found.slow,
        unpriced_url=f"{drill.requests_url(exploration)}&unpriced=1",
        chart=chart_of(grid) if grid else None,
        chart_words=chart_words(exploration),
        controls=controls.controls_of(exploration, reach),
        requests_url=drill.requests_url(exploration),
        steps=drill.steps(exploration),
        api_call=api_call(request, exploration),
        may_export=bool(exportable.workspaces),
        exports_less=len(exportable.workspaces) < len(reach.workspaces),
        query=exploration.query(),
        export_query=exploration.api_query(all_rows=True),
        **saved_views(request, exploration),
        drawn_label=words.metric_label(exploration.drawn),
        shown_problems=[problems[name] for name in IN_TOOLBAR if name in problems],
        filters=list(controls.filter_chips(exploration, names)),
        filter_problems=[(n, text) for n, text in problems.items() if n.startswith("filter")],
        dimensions=[(name, words.dimension_label(name)) for name in DIMENSIONS],
        **period_fields(exploration),
        now=now,
    )


def with_filter(parameters: QueryDict) -> QueryDict:
    """A filter as the form without a script sends it, as the parameter that it means."""
    if "filter_by" not in parameters:
        return parameters
    found = parameters.copy()
    name, value = found.pop("filter_by")[-1], found.pop("filter_value", [""])[-1]
    if value and name in DIMENSIONS and value not in found.getlist(name):
        found.appendlist(name, value)
    return found


def values(request: HttpRequest) -> HttpResponse:
    """What there is to filter by, as somebody types."""
    now = timezone.now()
    asked = request.GET.copy()
    dimension, text = (asked.pop(name, [""])[-1] for name in ("dimension", "q"))
    exploration = explore(asked, reach_of(request), now=now)
    try:
        with patience():
            return JsonResponse({"results": found_values(exploration, dimension, text, now=now)})
    except BadQuestion as error:
        return JsonResponse({"error": str(error.detail)}, status=400)


def answer(exploration: Exploration, problems: dict[str, str], *, now: datetime) -> Answer:
    asked = exploration.question
    try:
        with patience():
            grid = lay_out(exploration, now=now)
            return Answer(
                grid,
                notes.why_incomparable(grid, now=now),
                notes.unpriced_requests(asked, now=now),
                notes.why_slow(asked),
            )
    except BadQuestion as error:
        problems["question" if isinstance(error, TooLong) else "order"] = str(error.detail)
    return Answer()


def chart_words(exploration: Exploration) -> str:
    """What the chart shows, for those who do not see it."""
    axes = [words.axis_label(axis).lower() for axis in exploration.row_axes]
    over = ["time" if exploration.spread == TIME else exploration.axis] if exploration.axis else []
    by = " and ".join([*axes, *(str(name) for name in over)])
    return f"{words.metric_label(exploration.drawn)}{f' by {by}' if by else ''}"


def period_fields(exploration: Exploration) -> dict[str, str]:
    """The period as its form has it: people name the last day, not the one after it."""
    asked, zone = exploration.question, exploration.zone
    first, last = buckets.day_of(asked.start, zone), buckets.day_of(asked.end, zone)
    if asked.by_days or buckets.moment_of(last, zone) == asked.end:
        last -= timedelta(1)
    label = periods.days_label(first, last + timedelta(1))
    if not asked.by_days:
        start, end = (edge.astimezone(zone) for edge in (asked.start, asked.end))  # type: ignore[attr-defined]
        label = f"{start:%b} {start.day}, {start:%H:%M} – {end:%b} {end.day}, {end:%H:%M}"
    return {
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "period_label": label,
    }


def names_of_values(
    request: HttpRequest, exploration: Exploration, reach: Reach
) -> dict[str, dict[str, str]]:
    """Parameter -> value -> name, of what the address filters by and the reader may see."""
    chosen = QueryDict(exploration.query())
    workspaces = {w.slug: w.name for w in reach.workspaces}
    ids = {str(w.pk): w.name for w in reach.workspaces}
    by_id = request_filters.names_by_id(chosen, partial(request_log_page.visible, request))
    return {**by_id, "workspace": workspaces, "workspace_id": ids}


def zone_label(exploration: Exploration) -> str:
    zones = {account.time_zone for account in exploration.question.reach.accounts}
    if exploration.question.time_zone or len(zones) <= 1:
        return str(exploration.zone)
    return "each account's own zone"


def saved_views(request: HttpRequest, exploration: Exploration) -> dict[str, Any]:
    views = saved.seen(request)
    view = saved.current(views, exploration)
    return {
        "views": views,
        "view": view,
        "view_is_own": view is not None and view.owner_id == request.user.pk,
        "view_is_changed": view is not None and view.query != exploration.query(view=None),
    }


def api_call(request: HttpRequest, exploration: Exploration) -> str:
    """A line for a shell that asks the API the same."""
    address = request.build_absolute_uri("/api/v1/usage/")
    return (
        f"curl -H \"Authorization: Bearer $TOKENBOOK_TOKEN\" '{address}?{exploration.api_query()}'"
    )


def render(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
