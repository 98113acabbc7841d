"""The one JSON shape of every API error: `{"error": {"code", "message", "details"}}`."""

from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback


class ApiError(exceptions.APIException):
    """An expected failure. Subclasses say the status, the code and what the caller can do."""

    status_code: int = status.HTTP_400_BAD_REQUEST
    default_code = "bad_request"

    def __init__(self, message: str, *, details: Any = None, code: str | None = None) -> None:
        super().__init__(message, code or self.default_code)
        self.details = details


class BodyTooLarge(ApiError):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


class LengthRequired(ApiError):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"


class TooSlow(ApiError):
    """Asking again would take as long."""

    default_code = "too_slow"

    def __init__(self) -> None:
        super().__init__("This takes too long. Ask for a shorter period, or for fewer groups.")


def is_too_slow(error: Exception) -> bool:
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is no such thing here, or it is not yours to see.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, OperationalError | InterfaceError):
        if is_too_slow(error) and "request" in context and context["request"].method == "GET":
            error = TooSlow()
        else:
            return unavailable()
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    return Response({"error": shape(error)}, status=error.status_code, headers=headers_of(error))


def shape(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        return {
            "code": "invalid",
            "message": "Some values cannot be used; details says which and why.",
            "details": error.detail,
        }
    return {
        "code": str(getattr(error.detail, "code", error.default_code)),
        "message": str(error.detail),
        "details": getattr(error, "details", None),
    }


def headers_of(error: exceptions.APIException) -> dict[str, str]:
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return {"WWW-Authenticate": "Bearer"}
    wait = getattr(error, "wait", None)
    return {"Retry-After": str(int(wait))} if wait else {}


def unavailable() -> Response:
    """The store is down. 503, never 500: gateways keep what they have and send it again."""
    error = {
        "code": "unavailable",
        "message": "The database cannot be reached. Nothing was stored; send it again.",
        "details": None,
    }
    return Response({"error": error}, status=503, headers={"Retry-After": "5"})
