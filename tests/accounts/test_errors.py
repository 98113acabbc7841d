"""Every error of the API in one shape."""

import pytest
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions

from accounts.errors import ApiError, BodyTooLarge, exception_handler


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ApiError("no"), 400, "bad_request"),
        (ApiError("no", code="special"), 400, "special"),
        (BodyTooLarge("no"), 413, "body_too_large"),
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "permission_denied"),
        (exceptions.NotAuthenticated(), 401, "not_authenticated"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.ParseError("where"), 400, "parse_error"),
        (exceptions.ValidationError({"name": ["missing"]}), 400, "invalid"),
        (OperationalError(), 503, "unavailable"),
        (InterfaceError(), 503, "unavailable"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_failure_has_its_status_and_code(error, status, code):
    response = exception_handler(error, {})

    assert response is not None
    assert (response.status_code, list(response.data)) == (status, ["error"])
    assert set(response.data["error"]) == {"code", "message", "details"}
    assert response.data["error"]["code"] == code


def test_details_say_which_values_and_why():
    given = exception_handler(exceptions.ValidationError({"name": ["missing"]}), {})
    own = exception_handler(ApiError("no", details={"at": 5}), {})

    assert given.data["error"]["details"] == {"name": ["missing"]}
    assert own.data["error"]["details"] == {"at": 5}


def test_who_should_wait_or_log_in_is_told_how():
    assert exception_handler(exceptions.Throttled(wait=7.5), {}).headers["Retry-After"] == "8"
    assert (
        exception_handler(exceptions.NotAuthenticated(), {}).headers["WWW-Authenticate"] == "Bearer"
    )
    assert exception_handler(OperationalError(), {}).headers["Retry-After"] == "5"


def test_what_nobody_expected_is_not_hidden():
    assert exception_handler(ZeroDivisionError(), {}) is None
