"""The API's routes for insight: translate in, one call, translate out."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import reach_of_token
from accounts.authentication import token_of
from accounts.models import Scope
from usage.insight import availability_page, spike_words
from usage.insight_models import Saving
from usage.reports import question
from usage.reports.run import plain
from usage.spike_models import Anomaly, SeriesKind
from usage.views import page_url

PAGE_SIZE, LARGEST_PAGE = 100, 1000
PAGING = [
    OpenApiParameter("page_size", int, description=f"1 to {LARGEST_PAGE}."),
    OpenApiParameter("cursor", str, description="From `next`."),
]


def chosen(request: Request, name: str, known: Iterable[str]) -> list[str]:
    """The values of a filter that may be repeated. Raises BadQuestion."""
    values = request.query_params.getlist(name)
    question.closed_list(name, values, known)
    return values


def page_of(request: Request, rows: QuerySet[Any]) -> tuple[list[Any], str | None]:
    """One page of rows, newest first by id, and where the next one is. Raises BadQuestion."""
    parameters = request.query_params
    size = question.whole_number(
        "page_size", parameters.get("page_size") or str(PAGE_SIZE), least=1, most=LARGEST_PAGE
    )
    if cursor := parameters.get("cursor"):
        rows = rows.filter(pk__lt=question.whole_number("cursor", cursor))
    found = list(rows.order_by("-pk")[: size + 1])
    more = str(found[size - 1].pk) if len(found) > size else None
    return found[:size], page_url(request, more)


def key_of(thing: Any, name: str) -> Any:
    return getattr(thing, name) if thing else None


class SavingsView(APIView):
    """What could be saved, with the evidence, and what became of it."""

    scopes = {"GET": Scope.READ}

    @extend_schema(
        operation_id="v1_savings_list",
        parameters=[
            OpenApiParameter("state", str, many=True, enum=Saving.State.values),
            OpenApiParameter("kind", str, many=True, enum=Saving.Kind.values),
            *PAGING,
        ],
        responses=OpenApiTypes.OBJECT,
        summary="List savings",
    )
    def get(self, request: Request) -> Response:
        reach = reach_of_token(token_of(request))
        rows = Saving.objects.filter(workspace__in=reach.workspace_ids).select_related(
            "workspace", "project", "endpoint", "model", "provider", "api_key"
        )
        if states := chosen(request, "state", Saving.State.values):
            rows = rows.filter(state__in=states)
        if kinds := chosen(request, "kind", Saving.Kind.values):
            rows = rows.filter(kind__in=kinds)
        found, following = page_of(request, rows)
        return Response(
            {"results": [saving_json(row) for row in found], "next": following, "previous": None}
        )


def saving_json(saving: Saving) -> dict[str, Any]:
    values = {
        "id": saving.pk,
        "kind": saving.kind,
        "workspace": saving.workspace.slug,
        "project": key_of(saving.project, "tag"),
        "endpoint": key_of(saving.endpoint, "name"),
        "model": key_of(saving.model, "name"),
        "provider": key_of(saving.provider, "name"),
        "api_key": key_of(saving.api_key, "identifier"),
        "candidate": saving.candidate or None,
        "candidate_provider": saving.candidate_provider or None,
        "from": saving.since,
        "to": saving.until,
        "paid": saving.paid,
        "cost_now": saving.cost_now,
        "cost_then": saving.cost_then,
        "monthly": saving.monthly,
        "yearly": saving.yearly and saving.yearly.quantize(saving.monthly or saving.yearly),
        "confidence": saving.confidence,
        "evidence": saving.evidence,
        "state": saving.state,
        "reason": saving.reason or None,
        "decided_at": saving.decided_at,
        "realised": saving.realised,
        "measured_until": saving.measured_until,
    }
    return {name: plain(value) for name, value in values.items()}


class AnomaliesView(APIView):
    """Spikes: who spent more than expected, since when, how much, and because of whom."""

    scopes = {"GET": Scope.READ}

    @extend_schema(
        operation_id="v1_anomalies_list",
        parameters=[
            OpenApiParameter("state", str, many=True, enum=Anomaly.State.values),
            OpenApiParameter("scope", str, many=True, enum=SeriesKind.values),
            *PAGING,
        ],
        responses=OpenApiTypes.OBJECT,
        summary="List spikes",
    )
    def get(self, request: Request) -> Response:
        reach = reach_of_token(token_of(request))
        rows = Anomaly.objects.filter(workspace__in=reach.workspace_ids).select_related("workspace")
        if states := chosen(request, "state", Anomaly.State.values):
            rows = rows.filter(state__in=states)
        if kinds := chosen(request, "scope", SeriesKind.values):
            rows = rows.filter(kind__in=kinds)
        found, following = page_of(request, rows)
        return Response(
            {"results": [anomaly_json(row) for row in found], "next": following, "previous": None}
        )


def anomaly_json(anomaly: Anomaly) -> dict[str, Any]:
    values = {
        "id": anomaly.pk,
        "workspace": anomaly.workspace.slug,
        "scope": anomaly.kind,
        "name": anomaly.subject_name,
        "measure": anomaly.measure,
        "started_at": anomaly.started_at,
        "detected_at": anomaly.detected_at,
        "last_seen_at": anomaly.last_seen_at,
        "ended_at": anomaly.ended_at,
        "noticed_in_minutes": anomaly.window_minutes,
        "noticed": anomaly.noticed,
        "noticed_expected": anomaly.noticed_expected,
        "noticed_at_most": anomaly.noticed_upper,
        "actual": anomaly.actual,
        "expected": anomaly.expected,
        "excess_cost": anomaly.excess_cost,
        "what": spike_words.what(anomaly),
        "why": spike_words.why(anomaly),
        "drivers": anomaly.drivers,
        "state": anomaly.state,
        "note": anomaly.note or None,
        "decided_at": anomaly.decided_at,
    }
    return {name: plain(value) for name, value in values.items()}


class AvailabilityView(APIView):
    """The providers that are used: up or down, what checks say, and what becomes of requests."""

    scopes = {"GET": Scope.READ}

    @extend_schema(
        operation_id="v1_availability_list",
        responses=OpenApiTypes.OBJECT,
        summary="Availability of providers",
    )
    def get(self, request: Request) -> Response:
        token = token_of(request)
        found = availability_page.standings_of(
            reach_of_token(token), now=timezone.now(), zone=token.account.zone
        )
        return Response({"providers": [availability_page.as_json(one) for one in found]})
