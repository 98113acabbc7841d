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
from accounts.errors import BodyTooLarge, LengthRequired
from accounts.models import Scope
from usage import requests
from usage.ingest.body import inflate, rows_of
from usage.ingest.receive import receive
from usage.openapi import (
    INGEST_REQUEST,
    INGEST_RESPONSES,
    REPORT_PARAMETERS,
    REPORT_RESPONSES,
    REQUEST_PARAMETERS,
)
from usage.reports import catalogue, question, run


def posted_body(request: Request) -> bytes:
    """The inflated body of a request. Raises UnreadableBody, BodyTooLarge and LengthRequired."""
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        raise LengthRequired("Send the body with a Content-Length; chunks are not read here.")
    limit = settings.INGEST_MAX_BYTES
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLarge(f"A body may have {limit:,} bytes; send smaller batches.")
    return inflate(request.body, request.META.get("HTTP_CONTENT_ENCODING", ""), limit=limit)


def posted_rows(request: Request) -> list[Any]:
    """The rows in the body of a request. Raises as `posted_body` does."""
    return rows_of(posted_body(request), content_type=request.content_type or "")


def received(request: Request, *, source: str) -> Response:
    answer = receive(
        posted_rows(request),
        source=source,
        account=token_of(request).account,
        token=token_of(request),
        now=timezone.now(),
    )
    return Response(answer.as_dict())


class RequestsView(APIView):
    """POST request logs; GET the log, newest first."""

    scopes = {"POST": Scope.INGEST, "GET": Scope.READ}

    @extend_schema(request=INGEST_REQUEST, responses=INGEST_RESPONSES, summary="Record requests")
    def post(self, request: Request) -> Response:
        return received(request, source="native")

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
        return received(request, source="litellm")


class UsageView(APIView):
    """A report: any metrics, by any dimensions, over any period."""

    scopes = {"GET": Scope.READ}

    @extend_schema(
        parameters=REPORT_PARAMETERS, responses=REPORT_RESPONSES, summary="Report on usage"
    )
    def get(self, request: Request) -> Response:
        now = timezone.now()
        asked = question.parse(request.query_params, reach_of_token(token_of(request)), now=now)
        return Response(run.as_json(run.ask(asked, now=now)))


class UsageSchemaView(APIView):
    scopes = {"GET": Scope.READ}

    @extend_schema(responses=OpenApiTypes.OBJECT, summary="Metrics and dimensions of reports")
    def get(self, request: Request) -> Response:
        return Response(catalogue.schema())


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    hidden = {"workspace_id", "account_id"}
    return {name: run.plain(value) for name, value in row.items() if name not in hidden}


def page_url(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    parameters = request.query_params.copy()
    parameters["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")
