"""The pages of spikes: which there are, and of one who, how, since when, and what to do."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounts.access import Right
from accounts.models import ApiKey, User
from accounts.scoped_admin import reach_of
from usage.insight import spike_words, spikes
from usage.insight.drivers import NAMES
from usage.insight.pages import Part, part_of, render
from usage.query_strings import tidied
from usage.spike_models import Anomaly, SeriesHour, SeriesKind, SpikeWatch

SHOWN = 100
SUMMED_DAYS = 30
BEFORE, AFTER = timedelta(hours=36), timedelta(hours=11)
BAR_HEIGHT = 140
DIMENSION_LABELS = {
    "api_key": "API key",
    "model": "Model",
    "endpoint": "Endpoint",
    "member": "Member",
    "project": "Project",
}
STATES = {
    "open": ("Open", [Anomaly.State.OPEN, Anomaly.State.ACKNOWLEDGED]),
    "past": ("Expected and resolved", [Anomaly.State.EXPECTED, Anomaly.State.RESOLVED]),
}


@dataclass(frozen=True, slots=True)
class Line:
    anomaly: Anomaly
    what: str
    why: list[str]


@dataclass(frozen=True, slots=True)
class Bar:
    """An hour of the chart; heights are of `BAR_HEIGHT`."""

    hour: datetime
    label: str
    height: float
    is_within: bool
    cost: Decimal


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    part, now = part_of(request), timezone.now()
    tab = request.GET.get("state", "open")
    tab = tab if tab in STATES else "open"
    mine = Anomaly.objects.filter(workspace__in=part.reach.workspace_ids)
    shown = mine.filter(state__in=STATES[tab][1]).select_related("workspace__account")
    recent = mine.filter(started_at__gt=now - timedelta(SUMMED_DAYS))
    return render(
        request,
        "usage/insight/spikes.html",
        title="Spikes",
        part=part,
        tab=tab,
        tabs=tabs(request, mine),
        lines=[Line(a, spike_words.what(a), spike_words.why(a)) for a in shown[:SHOWN]],
        lasting=mine.lasting().count(),
        open=mine.open().count(),
        excess=recent.aggregate(total=Sum("excess_cost"))["total"] or Decimal(0),
        found=recent.count(),
        days=SUMMED_DAYS,
        settings=settings_of(request, part),
    )


def tabs(request: HttpRequest, mine: QuerySet[Anomaly]) -> list[tuple[str, str, int, str]]:
    found = []
    for key, (label, states) in STATES.items():
        query = request.GET.copy()
        query["state"] = key
        found.append((key, label, mine.filter(state__in=states).count(), query.urlencode()))
    return found


def settings_of(request: HttpRequest, part: Part) -> list[tuple[Any, SpikeWatch, str]]:
    """(workspace, how it is watched, where that is changed) of each workspace that is shown."""
    own = {
        w.workspace_id: w for w in SpikeWatch.objects.filter(workspace__in=part.reach.workspace_ids)
    }
    manageable = set(reach_of(request, Right.MANAGE).workspace_ids)
    found = []
    for workspace in part.reach.workspaces:
        watch = own.get(workspace.pk)
        link = ""
        if workspace.pk in manageable:
            link = (
                reverse("admin:usage_spikewatch_change", args=[watch.pk])
                if watch
                else f"{reverse('admin:usage_spikewatch_add')}?workspace={workspace.pk}"
            )
        found.append((workspace, watch or SpikeWatch(workspace=workspace), link))
    return found


def detail(request: HttpRequest, pk: int) -> HttpResponse:
    anomaly = one(request, pk, Right.SEE)
    zone = anomaly.workspace.account.zone
    bars = bars_of(anomaly)
    may_decide = anomaly.workspace_id in reach_of(request, Right.MANAGE).workspace_ids
    return render(
        request,
        "usage/insight/spike.html",
        title=str(anomaly),
        anomaly=anomaly,
        zone=zone,
        what=spike_words.what(anomaly),
        why=spike_words.why(anomaly),
        by=[
            (DIMENSION_LABELS[name], [driver(each) for each in found])
            for name, found in anomaly.drivers.get("by", {}).items()
            if found
        ],
        factors=factors(anomaly),
        bars=bars,
        last_hour=bars[-1].hour if bars else None,
        bar_height=BAR_HEIGHT,
        most=max((bar.cost for bar in bars), default=Decimal(0)),
        actual=spike_words.amount(anomaly, anomaly.actual),
        expected=spike_words.amount(anomaly, anomaly.expected),
        key=key_to_disable(anomaly) if may_decide else None,
        may_decide=may_decide,
        log_url=log_url(anomaly),
    )


def one(request: HttpRequest, pk: int, right: Right) -> Anomaly:
    found = (
        Anomaly.objects.filter(workspace__in=reach_of(request, right).workspace_ids)
        .select_related("workspace__account", "decided_by")
        .filter(pk=pk if pk < 2**63 else 0)
        .first()
    )
    if found is None:
        raise Http404("There is no such spike, or it is not yours to see.")
    return found


def driver(found: dict[str, Any]) -> dict[str, Any]:
    share = min(Decimal(found["share"]), Decimal(1))
    return {
        "name": found["name"],
        "share": share,
        "excess": Decimal(found["excess"]),
        "width": f"{share * 100:.1f}",
    }


def factors(anomaly: Anomaly) -> list[tuple[str, str, Any, Any]]:
    """(label, how it is shown, before, now), where both are known."""
    found = anomaly.drivers.get("factors") or {}
    now, before = found.get("now"), found.get("before") or {}
    if not now:
        return []
    return [
        (label, kind, number(before.get(name)), number(now.get(name)))
        for label, kind, name in (
            ("Requests", "count", "requests"),
            ("Cost", "money", "cost"),
            ("Cost a request", "money", "cost_per_request"),
            ("Tokens a request", "count", "tokens_per_request"),
            ("Input from a cache", "percent", "cached"),
        )
    ]


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def bars_of(anomaly: Anomaly) -> list[Bar]:
    """The series' hours: a day and a half before the episode, and after it as far as known."""
    start = floor(anomaly.started_at - BEFORE)
    end = floor((anomaly.ended_at or anomaly.last_seen_at) + AFTER)
    rows = SeriesHour.objects.filter(
        workspace=anomaly.workspace_id,
        kind=anomaly.kind,
        subject_id=anomaly.subject_id,
        hour__gte=start,
        hour__lt=end,
    )
    is_spend = anomaly.measure == Anomaly.Measure.SPEND
    known = {row.hour: row.cost if is_spend else Decimal(row.tokens) for row in rows}
    most = max(known.values(), default=Decimal(0)) or Decimal(1)
    zone = anomaly.workspace.account.zone
    hours = [start + timedelta(hours=i) for i in range(int((end - start) / timedelta(hours=1)))]
    return [
        Bar(
            hour,
            f"{hour.astimezone(zone):%a %H:%M}: "
            f"{spike_words.amount(anomaly, known.get(hour, Decimal(0)))}",
            float(known.get(hour, Decimal(0)) / most) * BAR_HEIGHT,
            hour + timedelta(hours=1) > anomaly.started_at
            and hour < (anomaly.ended_at or anomaly.last_seen_at),
            known.get(hour, Decimal(0)),
        )
        for hour in hours
    ]


def floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def key_to_disable(anomaly: Anomaly) -> ApiKey | None:
    """The key that spends: the series itself, or what brings at least half of the excess."""
    pk = anomaly.subject_id if anomaly.kind == SeriesKind.API_KEY else None
    for found in anomaly.drivers.get("by", {}).get("api_key", [])[:1]:
        if pk is None and Decimal(found["share"]) >= spike_words.MUCH:
            pk = found["id"]
    return ApiKey.objects.filter(pk=pk, workspace=anomaly.workspace_id).first() if pk else None


def log_url(anomaly: Anomaly) -> str:
    """The episode's requests, by ids: names may be anything."""
    column = NAMES[SeriesKind(anomaly.kind)][0]
    given: dict[str, Any] = {
        "account": anomaly.workspace.account.slug,
        "workspace": anomaly.workspace.slug,
        "from": anomaly.started_at.isoformat(),
        "to": (anomaly.ended_at or anomaly.last_seen_at).isoformat(),
    }
    if anomaly.kind != SeriesKind.WORKSPACE:
        given[column] = anomaly.subject_id
    return f"{reverse('admin:request_log')}?{urlencode(given)}"


# What people do about it.


def decide(request: HttpRequest, pk: int) -> HttpResponse:
    anomaly = one(request, pk, Right.MANAGE)
    if request.method == "POST":
        note = request.POST.get("note", "").replace("\x00", "")[:2000]
        user, now = cast(User, request.user), timezone.now()
        try:
            spikes.decide(anomaly.pk, request.POST.get("state", ""), note=note, by=user, now=now)
        except spikes.CannotDecide as error:
            messages.error(request, str(error))
    return to(anomaly)


def disable_key(request: HttpRequest, pk: int) -> HttpResponse:
    """No call is authorized with it any more, from the next second on."""
    anomaly = one(request, pk, Right.MANAGE)
    key = key_to_disable(anomaly)
    if request.method == "POST" and key is not None and key.disabled_at is None:
        key.disabled_at = timezone.now()
        key.save(update_fields=["disabled_at"])
        LogEntry.objects.log_actions(
            request.user.pk or 0, [key], CHANGE, change_message="Disabled because of a spike."
        )
        messages.success(request, f"{key} is disabled. Gateways that ask first refuse its calls.")
    return to(anomaly)


def to(anomaly: Anomaly) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:spike", args=[anomaly.pk]))
