"""The explorer's pages: translate an address in, ask once, and show the answer."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone

from accounts.access import Reach, Right
from accounts.scoped_admin import reach_of
from usage import buckets, periods, request_filters, request_log_page
from usage.explorer import controls, drill, words
from usage.explorer.exploration import Exploration, explore
from usage.explorer.grid import Grid, lay_out
from usage.explorer.table import table_of
from usage.query_strings import tidied
from usage.reports.question import BadQuestion

# Problems of what is chosen in the toolbar; the others stand beside their own controls.
IN_TOOLBAR = ("chart", "metric", "compare", "limit", "order")


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    now = timezone.now()
    reach = reach_of(request)
    exploration = explore(request.GET, reach, now=now)
    problems = dict(exploration.problems)
    grid = answer(exploration, problems, now=now)
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
        controls=controls.controls_of(exploration, reach),
        requests_url=drill.requests_url(exploration),
        steps=drill.steps(exploration),
        api_call=api_call(request, exploration),
        may_export=bool(reach_of(request, Right.EXPORT).workspaces),
        query=exploration.query(),
        drawn_label=words.metric_label(exploration.drawn),
        shown_problems=[problems[name] for name in IN_TOOLBAR if name in problems],
        filters=list(controls.filter_chips(exploration, names)),
        filter_problems=[(n, text) for n, text in problems.items() if n.startswith("filter")],
        **period_fields(exploration),
        now=now,
    )


def answer(exploration: Exploration, problems: dict[str, str], *, now: datetime) -> Grid | None:
    try:
        return lay_out(exploration, now=now)
    except BadQuestion as error:
        problems["order"] = str(error.detail)
        return None


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


def api_call(request: HttpRequest, exploration: Exploration) -> str:
    """A line for a shell that asks the API the same."""
    address = request.build_absolute_uri("/api/v1/usage/")
    return (
        f"curl -H \"Authorization: Bearer $TOKENBOOK_TOKEN\" '{address}?{exploration.api_query()}'"
    )


def render(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
