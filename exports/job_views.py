"""The API's exports that the worker makes: ask, look, fetch, cancel."""

import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.access import Reach, reach_of_token
from accounts.authentication import token_of
from accounts.errors import ApiError
from accounts.models import Scope
from exports import jobs
from exports.catalogue import DATASETS, query_of
from exports.downloads import chunks, download
from exports.kinds import EXTENSIONS, kind_of
from exports.models import Export
from exports.places import PlaceError
from exports.views import AsNamed
from usage.reports.question import BadQuestion, whole_number
from usage.views import page_url

PAGE_SIZE, LARGEST_PAGE = 50, 1000


class NotReady(ApiError):
    """There is no file: not yet, or not any more."""

    status_code = 409
    default_code = "not_ready"


class Gone(ApiError):
    """The file cannot be fetched from where it was put."""

    status_code = 503
    default_code = "unavailable"


class AskSerializer(serializers.Serializer):
    dataset = serializers.ChoiceField(choices=list(DATASETS))
    format = serializers.ChoiceField(choices=EXTENSIONS, default="csv")
    parameters = serializers.DictField(
        default=dict, help_text="As in the dataset's query string; a list for several values."
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(set(self.initial_data) - set(self.fields)):
            raise serializers.ValidationError({unknown[0]: "There is no such field."})
        return values

    def validate_parameters(self, given: dict[str, Any]) -> dict[str, list[str]]:
        return {name: texts(value) for name, value in given.items()}


def texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values):
        raise serializers.ValidationError("Values are texts, numbers or lists of them.")
    return [str(one) for one in values]


def as_json(export: Export, request: Request) -> dict[str, Any]:
    """Like everything else of the API: moments in UTC, null where there is nothing."""
    is_done = export.state == Export.State.DONE
    return {
        "id": str(export.pk),
        "dataset": export.dataset,
        "format": export.extension,
        "parameters": export.parameters,
        "state": export.state,
        "rows": export.rows,
        "percent": export.percent,
        "bytes": export.size if is_done else None,
        "requested_at": export.requested_at,
        "finished_at": export.finished_at,
        "expires_at": export.expires_at,
        "error": export.error or None,
        "download": reverse("api:export_download", [export.pk], request=request)
        if is_done
        else None,
        "manifest": export.manifest if is_done else None,
    }


EXPORT = inline_serializer(
    "Export",
    {
        "id": serializers.UUIDField(),
        "dataset": serializers.CharField(),
        "format": serializers.CharField(),
        "parameters": serializers.DictField(),
        "state": serializers.ChoiceField(choices=Export.State.choices),
        "rows": serializers.IntegerField(help_text="So far, or in all."),
        "percent": serializers.IntegerField(
            allow_null=True, help_text="How much of the work is done; null where nobody knows."
        ),
        "bytes": serializers.IntegerField(allow_null=True),
        "requested_at": serializers.DateTimeField(),
        "finished_at": serializers.DateTimeField(allow_null=True),
        "expires_at": serializers.DateTimeField(allow_null=True),
        "error": serializers.CharField(allow_null=True),
        "download": serializers.URLField(allow_null=True),
        "manifest": serializers.DictField(allow_null=True),
    },
)


def seen_by(reach: Reach) -> Any:
    exports = Export.objects.seen_by(reach.account_ids, reach.workspace_ids)
    return exports.select_related("account")


def one(request: Request, export_id: uuid.UUID) -> Export:
    """Raises Http404, also for what belongs to others."""
    export = seen_by(reach_of_token(token_of(request))).filter(pk=export_id).first()
    if export is None:
        raise Http404
    return export


class ExportsView(APIView):
    scopes = {"POST": Scope.EXPORT, "GET": Scope.EXPORT}

    @extend_schema(
        request=AskSerializer,
        responses={202: EXPORT},
        summary="Ask for an export",
        description="The worker makes the file. Look at the export until its `state` is `done`, "
        "then fetch `download`.",
    )
    def post(self, request: Request) -> Response:
        asked = AskSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token = token_of(request)
        made = jobs.ask(
            asked.validated_data["dataset"],
            query_of(asked.validated_data["parameters"]),
            reach_of_token(token),
            extension=asked.validated_data["format"],
            token=token,
            now=timezone.now(),
        )
        return Response(as_json(made, request), status=202)

    @extend_schema(
        parameters=[
            OpenApiParameter("page_size", int, description=f"1 to {LARGEST_PAGE}."),
            OpenApiParameter("cursor", str, description="From `next`."),
        ],
        responses=OpenApiTypes.OBJECT,
        operation_id="v1_exports_list",
        summary="List exports, the newest first",
    )
    def get(self, request: Request) -> Response:
        found, following = page_of(request, seen_by(reach_of_token(token_of(request))))
        results = [as_json(export, request) for export in found]
        return Response({"results": results, "next": following, "previous": None})


def page_of(request: Request, exports: Any) -> tuple[list[Export], str | None]:
    """The newest first, after the one that the cursor names. Raises BadQuestion."""
    given = request.query_params.get("page_size") or str(PAGE_SIZE)
    size = whole_number("page_size", given, least=1, most=LARGEST_PAGE)
    if cursor := request.query_params.get("cursor"):
        last = named(cursor, exports)
        exports = exports.filter(
            Q(requested_at__lt=last.requested_at)
            | Q(requested_at=last.requested_at, pk__lt=last.pk)
        )
    found = list(exports[: size + 1])
    following = str(found[size - 1].pk) if len(found) > size else None
    return found[:size], page_url(request, following)


def named(cursor: str, exports: Any) -> Export:
    try:
        return exports.get(pk=cursor)
    except (ValidationError, Export.DoesNotExist) as error:
        raise BadQuestion("cursor is what `next` says.") from error


class ExportView(APIView):
    scopes = {"GET": Scope.EXPORT, "DELETE": Scope.EXPORT}

    @extend_schema(responses=EXPORT, summary="One export: how far it is, and its manifest")
    def get(self, request: Request, export_id: uuid.UUID) -> Response:
        return Response(as_json(one(request, export_id), request))

    @extend_schema(responses={204: None}, summary="Cancel an export")
    def delete(self, request: Request, export_id: uuid.UUID) -> Response:
        if not jobs.cancel(one(request, export_id), now=timezone.now()):
            raise NotReady("It has ended already.")
        return Response(status=204)


class ExportDownloadView(APIView):
    scopes = {"GET": Scope.EXPORT}
    content_negotiation_class = AsNamed

    @extend_schema(responses={(200, "*/*"): OpenApiTypes.BINARY}, summary="Fetch an export's file")
    def get(self, request: Request, export_id: uuid.UUID) -> HttpResponseBase:
        return file_of(one(request, export_id))


def file_of(export: Export) -> HttpResponseBase:
    """For those who may see the export. Raises NotReady, Gone."""
    if export.state != Export.State.DONE:
        raise NotReady(f"There is no file: the export is {export.state}.")
    try:
        file = jobs.files().open(export.key)
    except PlaceError as error:
        raise Gone(f"The file cannot be read now: {error}") from error
    return download(
        chunks(file),
        kind_of(export.extension).media_type,
        export.file_name,
        caller=export.account_id,
        headers={"Content-Length": str(export.size)},
    )
