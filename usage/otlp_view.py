"""The route that OpenTelemetry exporters post traces to, as OTLP/HTTP has it."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import Scope
from usage.ingest.otlp import requests_of
from usage.ingest.receive import Received, receive
from usage.views import posted

PROTOBUF, JSON = "application/x-protobuf", "application/json"


class StatusRenderer(BaseRenderer):
    """An error as `google.rpc.Status`.

    That is not among the messages of OpenTelemetry, whose own Status has its text in the same
    field and is the same on the wire.
    """

    media_type = PROTOBUF
    format = "protobuf"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return Status(message=data["error"]["message"]).SerializeToString()


class AsSent(BaseContentNegotiation):
    """The answer has the encoding of the request, whatever the request says that it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None  # the view reads the body itself

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        sent = media_type_of(request)
        chosen = next((one for one in renderers if one.media_type == sent), renderers[0])
        return chosen, chosen.media_type


class TracesView(APIView):
    """POST an export of traces: spans of billed calls become requests, others are ignored."""

    scopes = {"POST": Scope.INGEST}
    renderer_classes = [JSONRenderer, StatusRenderer]
    content_negotiation_class = AsSent

    @extend_schema(
        parameters=[OpenApiParameter("format", exclude=True)],
        request={JSON: OpenApiTypes.OBJECT, PROTOBUF: OpenApiTypes.BINARY},
        responses={(200, JSON): OpenApiTypes.OBJECT, (200, PROTOBUF): OpenApiTypes.BINARY},
        summary="Record OpenTelemetry traces",
        description="ExportTraceServiceRequest of OTLP/HTTP, in protobuf or JSON, plain or gzip. "
        "Rejected spans are counted in partialSuccess and set aside.",
    )
    def post(self, request: Request) -> HttpResponse:
        call, sent = posted(request), media_type_of(request)
        if call.body and sent not in (JSON, PROTOBUF):
            raise UnsupportedMediaType(sent, f"Send {PROTOBUF} or {JSON}, not {sent!r}.")
        answer = receive(
            requests_of(call.body, as_json=sent == JSON) if call.body else [],
            source="otlp",
            account=call.token.account,
            token=call.token,
            now=call.now,
        )
        message = response_to(answer)
        if sent == PROTOBUF:
            return HttpResponse(message.SerializeToString(), content_type=PROTOBUF)
        return JsonResponse(MessageToDict(message))


def media_type_of(request: Request) -> str:
    return str(request.META.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


def response_to(answer: Received) -> ExportTraceServiceResponse:
    response = ExportTraceServiceResponse()
    if answer.rejected:
        error = answer.rejected[0].error
        response.partial_success.rejected_spans = len(answer.rejected)
        response.partial_success.error_message = (
            f"Set aside, to be corrected in the admin. The first: {error.field}: {error.message}"
        )
    return response
