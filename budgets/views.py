"""The API's routes for authorizations, holds and budgets."""

import uuid
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import narrowed_to, reach_of_token
from accounts.authentication import token_of
from accounts.errors import ApiError
from accounts.models import Scope
from budgets import authorize, ledger
from budgets.models import Budget
from budgets.serializers import BudgetSerializer, as_json
from budgets.standing import standings
from usage.ingest.schema import RowError
from usage.views import posted_rows

MAX_ASKS = 1000


class CannotDecide(ApiError):
    """An ask that cannot be decided. Nothing was held for any of its array."""

    default_code = "cannot_decide"


class AuthorizeView(APIView):
    """May these calls go? Allowed or not, the answer is 200."""

    scopes = {"POST": Scope.AUTHORIZE}

    @extend_schema(
        request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT, summary="May this call go?"
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        raw = posted_rows(request)
        if len(raw) > MAX_ASKS:
            raise CannotDecide(f"Ask for at most {MAX_ASKS:,} calls at once.")
        try:
            asks = [authorize.decode(one) for one in raw]
            prepared = authorize.prepare(asks, token=token_of(request), now=now)
        except RowError as error:
            raise CannotDecide(error.message, details=error.as_dict()) from error
        answers = authorize.authorize(prepared, account_id=token_of(request).account_id, now=now)
        return Response(answers if request.body.lstrip()[:1] == b"[" else answers[0])


class HoldView(APIView):
    scopes = {"DELETE": Scope.AUTHORIZE}

    @extend_schema(responses={204: None}, summary="Release a hold")
    def delete(self, request: Request, hold_id: uuid.UUID) -> Response:
        if not authorize.release(str(hold_id), token=token_of(request), now=timezone.now()):
            raise Http404
        return Response(status=204)


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
        names = ("name", "scope", "limit", "period", "hard", "thresholds", "recipients")
        budget = Budget(
            account=token_of(request).account, **{name: values[name] for name in names}, **subject
        )
        ledger.open_budget(budget, now=now)
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
            Budget.objects.filter(pk=budget_id).update(**serializer.validated_data)
        return Response(as_json(one_of(request, budget_id)))

    @extend_schema(responses={204: None}, summary="Archive a budget")
    def delete(self, request: Request, budget_id: int) -> Response:
        one_of(request, budget_id)
        Budget.objects.filter(pk=budget_id).update(archived_at=timezone.now())
        return Response(status=204)


def one_of(request: Request, budget_id: int) -> Any:
    found = standings(reach_of_token(token_of(request)), now=timezone.now(), budget_id=budget_id)
    if not found:
        raise Http404
    return found[0]
