"""The API's downloads: translate in, one call, translate out."""

from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.access import reach_of_token
from accounts.authentication import token_of
from accounts.models import Scope
from exports.catalogue import DATASETS
from exports.downloads import dataset_download
from exports.kinds import EXTENSIONS
from usage.openapi import REPORT_PARAMETERS, REQUEST_PARAMETERS

FILES = {
    (200, "text/csv"): OpenApiTypes.STR,
    (200, "application/json"): {"type": "array", "items": {"type": "object"}},
    (200, "application/octet-stream"): OpenApiTypes.BINARY,
}
PAGING = {"page_size", "cursor"}
PARAMETERS = {p.name: p for p in (*REPORT_PARAMETERS, *REQUEST_PARAMETERS) if p.name not in PAGING}


class AsNamed(BaseContentNegotiation):
    """The address says which format it is, whatever Accept says; errors are JSON."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class DatasetView(APIView):
    scopes = {"GET": Scope.EXPORT}
    content_negotiation_class = AsNamed

    @extend_schema(
        parameters=[
            OpenApiParameter("dataset", str, "path", enum=list(DATASETS)),
            OpenApiParameter("extension", str, "path", enum=EXTENSIONS),
            *PARAMETERS.values(),
        ],
        responses=FILES,
        summary="Download a dataset",
        description="The whole dataset as one file, streamed. "
        + " ".join(f"`{d.name}`: {d.description}" for d in DATASETS.values())
        + " `requests` takes the filters of the list of requests, the others those of reports.",
    )
    def get(self, request: Request, dataset: str, extension: str) -> StreamingHttpResponse:
        return dataset_download(
            dataset,
            request.query_params,
            reach_of_token(token_of(request)),
            extension=extension,
            now=timezone.now(),
        )
