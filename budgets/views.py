"""The API's routes for authorizations, holds and budgets."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import narrowed_to, reach_of_token
from accounts.authentication import token_of
from accounts.errors import ApiError
from accounts.models import AccessToken, Scope
from budgets import authorize, changes, ledger, outlook
from budgets.blocks import blocks
from budgets.key_standing import NAMES, NoSuchCaller, key_standing
from budgets.models import Budget
from budgets.openapi import ASK, CALLER, DECISION, STANDING
from budgets.serializers import OWN_FIELDS, BudgetSerializer, as_json, checked
from budgets.standing import standings
from usage.hot_routes import HotRoute, Posted
from usage.ingest.body import rows_of
from usage.ingest.schema import RowError
from usage.tally import counter
from usage.views import posted

MAX_ASKS = 1000
ALLOWED, REFUSED = (counter("decisions", outcome=outcome) for outcome in ("allowed", "refused"))


class CannotDecide(ApiError):
    """An ask that cannot be decided. Nothing was held for any of its array."""

    default_code = "cannot_decide"


def prepare(
    raw: Sequence[bytes | msgspec.Raw], *, token: AccessToken, now: datetime
) -> list[authorize.Prepared]:
    """Raises CannotDecide with the place of the first ask that cannot be decided."""
    prepare_one = authorize.preparer(token=token, now=now)
    prepared = []
    for index, one in enumerate(raw):
        try:
            prepared.append(prepare_one(authorize.decode(one)))
        except RowError as error:
            details = {"index": index} | error.as_dict()
            raise CannotDecide(error.message, details=details) from error
    return prepared


def is_one_object(body: bytes, raw: Sequence[bytes | msgspec.Raw]) -> bool:
    """Whether one ask was sent by itself, so that one answer and not a list of one is due."""
    return body.lstrip()[:1] == b"{" and len(raw) == 1


def decide(call: Posted) -> dict[str, Any] | list[dict[str, Any]]:
    raw = rows_of(call.body, content_type=call.content_type)
    if len(raw) > MAX_ASKS:
        raise CannotDecide(f"Ask for at most {MAX_ASKS:,} calls at once.")
    prepared = prepare(raw, token=call.token, now=call.now)
    answers = authorize.authorize(prepared, account_id=call.token.account_id, now=call.now)
    allowed = sum(answer["allowed"] for answer in answers)
    ALLOWED.add(allowed)
    REFUSED.add(len(answers) - allowed)
    return answers[0] if is_one_object(call.body, raw) else answers


class AuthorizeView(APIView):
    """May these calls go? Allowed or not, the answer is 200."""

    scopes = {"POST": Scope.AUTHORIZE, "GET": Scope.AUTHORIZE}

    @extend_schema(
        request=ASK,
        responses=DECISION,
        summary="May this call go?",
        description="One ask gets one answer, an array a list of them, decided in order.",
    )
    def post(self, request: Request) -> Response:
        return Response(decide(posted(request)))

    @extend_schema(
        operation_id="v1_authorize_standing",
        parameters=CALLER,
        responses=STANDING,
        summary="How a key stands with its budgets, without a hold",
    )
    def get(self, request: Request) -> Response:
        unknown = sorted(set(request.query_params) - set(NAMES))
        if unknown:
            raise ApiError(f"There is no parameter {unknown[0]!r}: one of {', '.join(NAMES)}.")
        names = {name: str(value) for name, value in request.query_params.items()}
        if any("\x00" in value for value in names.values()):
            raise Http404
        try:
            return Response(key_standing(names, token=token_of(request), now=timezone.now()))
        except NoSuchCaller as error:
            raise Http404 from error


HOT_ROUTES = {"authorize/": HotRoute(Scope.AUTHORIZE, decide)}


class HoldView(APIView):
    scopes = {"DELETE": Scope.AUTHORIZE}

    @extend_schema(responses={204: None}, summary="Release a hold")
    def delete(self, request: Request, hold_id: uuid.UUID) -> Response:
        if not authorize.release(str(hold_id), token=token_of(request), now=timezone.now()):
            raise Http404
        return Response(status=204)


BLOCKS = inline_serializer(
    "Blocks",
    {
        "blocks": inline_serializer(
            "Block",
            {
                "scope": serializers.ChoiceField(choices=Budget.Scope.choices),
                "key": serializers.CharField(
                    help_text="Slug, tag or identifier of what may not spend."
                ),
                "workspace": serializers.CharField(
                    allow_null=True, help_text="Slug of the workspace that it is in."
                ),
                "reason": serializers.CharField(),
                "budget_id": serializers.IntegerField(
                    allow_null=True, help_text="Null where the API key itself is disabled."
                ),
                "resets_at": serializers.DateTimeField(allow_null=True),
            },
            many=True,
        )
    },
)


class BlocksView(APIView):
    """What is paused, for gateways that cannot ask before every call."""

    scopes = {"GET": Scope.AUTHORIZE}

    @extend_schema(
        parameters=[
            OpenApiParameter("If-None-Match", location="header", description="The last ETag.")
        ],
        responses={200: BLOCKS, 304: None},
        summary="List what is paused",
    )
    def get(self, request: Request) -> HttpResponseBase:
        reach = reach_of_token(token_of(request))
        body = msgspec.json.encode({"blocks": blocks(reach, now=timezone.now())})
        etag = quote_etag(hashlib.sha256(body).hexdigest())
        answer = HttpResponse(body, content_type="application/json", headers={"ETag": etag})
        return get_conditional_response(request._request, etag=etag, response=answer) or answer


class BudgetsView(APIView):
    scopes = {"GET": Scope.READ, "POST": Scope.MANAGE}

    @extend_schema(
        operation_id="v1_budgets_list", responses=OpenApiTypes.OBJECT, summary="List budgets"
    )
    def get(self, request: Request) -> Response:
        found = standings(reach_of_token(token_of(request)), now=timezone.now())
        return Response(
            {"results": [as_json(one) for one in found], "next": None, "previous": None}
        )

    @extend_schema(
        request=BudgetSerializer, responses={201: OpenApiTypes.OBJECT}, summary="Create a budget"
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        reach = reach_of_token(token_of(request))
        serializer = BudgetSerializer(data=request.data, context={"reach": reach})
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        if narrowed_to(token_of(request)) and values["scope"] in ("account", "member"):
            raise PermissionDenied("This access token is narrowed to some workspaces.")
        subject = {values["scope"]: values["subject"]} if "subject" in values else {}
        budget = Budget(
            account=token_of(request).account,
            **{name: values[name] for name in OWN_FIELDS},
            **subject,
        )
        ledger.open_budget(checked(budget), now=now)
        return Response(as_json(one_of(request, budget.pk)), status=201)


class BudgetView(APIView):
    scopes = {"GET": Scope.READ, "PATCH": Scope.MANAGE, "DELETE": Scope.MANAGE}

    @extend_schema(responses=OpenApiTypes.OBJECT, summary="One budget and where it stands")
    def get(self, request: Request, budget_id: int) -> Response:
        return Response(as_json(one_of(request, budget_id)))

    @extend_schema(
        request=BudgetSerializer, responses=OpenApiTypes.OBJECT, summary="Change a budget"
    )
    def patch(self, request: Request, budget_id: int) -> Response:
        one_of(request, budget_id)
        serializer = BudgetSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        if serializer.validated_data:
            budget = Budget.objects.get(pk=budget_id)
            for name, value in serializer.validated_data.items():
                setattr(budget, name, value)
            changes.save(checked(budget), by=token_of(request).name, now=timezone.now())
        return Response(as_json(one_of(request, budget_id)))

    @extend_schema(responses={204: None}, summary="Archive a budget")
    def delete(self, request: Request, budget_id: int) -> Response:
        one_of(request, budget_id)
        now = timezone.now()
        Budget.objects.filter(pk=budget_id).update(archived_at=now)
        changes.note_archived(Budget.objects.get(pk=budget_id), by=token_of(request).name, now=now)
        return Response(status=204)


class BudgetForecastView(APIView):
    """What the budget will come to, and when it runs out: expected, and a range."""

    scopes = {"GET": Scope.READ}

    @extend_schema(responses=OpenApiTypes.OBJECT, summary="Where a budget is going")
    def get(self, request: Request, budget_id: int) -> Response:
        if budget_id >= 2**63:
            raise Http404
        standing = one_of(request, budget_id)
        budget = Budget.objects.select_related("account").get(pk=budget_id)
        return Response(outlook.as_json(outlook.outlook_of(budget, standing, now=timezone.now())))


def one_of(request: Request, budget_id: int) -> Any:
    found = standings(reach_of_token(token_of(request)), now=timezone.now(), budget_id=budget_id)
    if not found:
        raise Http404
    return found[0]
