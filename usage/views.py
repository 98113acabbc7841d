"""The API's routes for request logs and reports: translate in, one call, translate out."""

from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import reach_of_token
from accounts.authentication import token_of
from accounts.errors import BodyTooLarge
from accounts.models import Scope
from accounts.rates import reports
from usage import requests
from usage.hot_routes import HotRoute, Posted
from usage.ingest.body import chunks, inflate, rows_of
from usage.ingest.receive import receive
from usage.openapi import (
    INGEST_REQUEST,
    INGEST_RESPONSES,
    REPORT_PARAMETERS,
    REPORT_RESPONSES,
    REQUEST_PARAMETERS,
)
from usage.reports import catalogue, question, run


def posted(request: Request) -> Posted:
    """What the request posted. Raises UnreadableBody, BodyTooLarge and LengthRequired."""
    limit = settings.INGEST_MAX_BYTES
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLarge(f"A body may have {limit:,} bytes; send smaller batches.")
    in_chunks = bool(request.META.get("HTTP_TRANSFER_ENCODING"))
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "")
    return Posted(
        token=token_of(request),
        body=inflate(
            chunks(request.META, limit=limit) if in_chunks else request.body, encoding, limit=limit
        ),
        content_type=request.content_type or "",
        now=timezone.now(),
    )


def record_native(call: Posted) -> dict[str, Any]:
    return recorded(call, source="native")


def record_litellm(call: Posted) -> dict[str, Any]:
    return recorded(call, source="litellm")


def recorded(call: Posted, *, source: str) -> dict[str, Any]:
    answer = receive(
        rows_of(call.body, content_type=call.content_type),
        source=source,
        account=call.token.account,
        token=call.token,
        now=call.now,
    )
    return answer.as_dict()


class RequestsView(APIView):
    """POST request logs; GET the log, newest first."""

    scopes = {"POST": Scope.INGEST, "GET": Scope.READ}

    @extend_schema(request=INGEST_REQUEST, responses=INGEST_RESPONSES, summary="Record requests")
    def post(self, request: Request) -> Response:
        return Response(record_native(posted(request)))

    @extend_schema(
        operation_id="v1_requests_list",
        parameters=REQUEST_PARAMETERS,
        responses=OpenApiTypes.OBJECT,
        summary="List requests",
    )
    def get(self, request: Request) -> Response:
        size = request.query_params.get("page_size") or str(requests.PAGE_SIZE)
        page = requests.page(
            requests.parse(request.query_params, reach_of_token(token_of(request))),
            size=question.whole_number("page_size", size, least=1),
            cursor=request.query_params.get("cursor"),
        )
        return Response(
            {
                "results": [as_json(row) for row in page.rows],
                "next": page_url(request, page.next),
                "previous": page_url(request, page.previous),
                "searched_to": run.plain(page.searched_to),
            }
        )


class RequestView(APIView):
    scopes = {"GET": Scope.READ}

    @extend_schema(responses=OpenApiTypes.OBJECT, summary="One request")
    def get(self, request: Request, request_id: str) -> Response:
        found = requests.one(reach_of_token(token_of(request)), request_id)
        if found is None:
            raise Http404
        return Response(as_json(found))


class LiteLLMView(APIView):
    """LiteLLM's stock `generic_api` callback posts here."""

    scopes = {"POST": Scope.INGEST}

    @extend_schema(
        request=OpenApiTypes.OBJECT, responses=INGEST_RESPONSES, summary="Record LiteLLM events"
    )
    def post(self, request: Request) -> Response:
        return Response(record_litellm(posted(request)))


class UsageView(APIView):
    """A report: any metrics, by any dimensions, over any period."""

    scopes = {"GET": Scope.READ}

    @extend_schema(
        parameters=REPORT_PARAMETERS, responses=REPORT_RESPONSES, summary="Report on usage"
    )
    def get(self, request: Request) -> Response:
        now, token = timezone.now(), token_of(request)
        asked = question.parse(request.query_params, reach_of_token(token), now=now)
        with reports.one_more(token.account_id):
            return Response(run.as_json(run.ask(asked, now=now)))


class UsageSchemaView(APIView):
    scopes = {"GET": Scope.READ}

    @extend_schema(responses=OpenApiTypes.OBJECT, summary="Metrics and dimensions of reports")
    def get(self, request: Request) -> Response:
        return Response(catalogue.schema())


HOT_ROUTES = {
    "requests/": HotRoute(Scope.INGEST, record_native),
    "ingest/litellm/": HotRoute(Scope.INGEST, record_litellm),
}


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    hidden = {"workspace_id", "account_id"}
    return {name: run.plain(value) for name, value in row.items() if name not in hidden}


def page_url(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    parameters = request.query_params.copy()
    parameters["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")
