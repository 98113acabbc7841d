"""The API's downloads: translate in, one call, translate out."""

from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.access import reach_of_token
from accounts.authentication import token_of
from accounts.models import Scope
from exports.downloads import requests_download, usage_download
from usage.openapi import REPORT_PARAMETERS, REQUEST_PARAMETERS

FILES = {
    (200, "text/csv"): OpenApiTypes.STR,
    (200, "application/json"): {"type": "array", "items": {"type": "object"}},
}
PAGING = {"page_size", "cursor"}


class AsNamed(BaseContentNegotiation):
    """The address says which format it is, whatever Accept says; errors are JSON."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class RequestsExportView(APIView):
    scopes = {"GET": Scope.EXPORT}
    content_negotiation_class = AsNamed

    @extend_schema(
        parameters=[p for p in REQUEST_PARAMETERS if p.name not in PAGING],
        responses=FILES,
        summary="Download the request log",
        description="All requests that the filters leave, the oldest first, as one file.",
    )
    def get(self, request: Request, extension: str) -> StreamingHttpResponse:
        return requests_download(
            request.query_params, reach_of_token(token_of(request)), extension=extension
        )


class UsageExportView(APIView):
    scopes = {"GET": Scope.EXPORT}
    content_negotiation_class = AsNamed

    @extend_schema(
        parameters=REPORT_PARAMETERS,
        responses=FILES,
        summary="Download a report",
        description="The rows of a report as one file, however many they are.",
    )
    def get(self, request: Request, extension: str) -> StreamingHttpResponse:
        return usage_download(
            request.query_params,
            reach_of_token(token_of(request)),
            extension=extension,
            now=timezone.now(),
        )
