"""Routes that gateways call thousands of times a second, answered beneath Django's middleware.

Each is an ordinary view too, which documents it and makes the same call. Here only the ordinary
case is answered: a POST of known length with a token. Whatever else comes goes on to Django, which
says what is wrong with it.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.http.request import split_domain_port, validate_host
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied
from rest_framework.utils.encoders import JSONEncoder

from accounts.authentication import remembered_token
from accounts.errors import exception_handler
from accounts.models import AccessToken, Scope
from accounts.rates import Body, is_from, rates
from usage import request_ids
from usage.ingest.body import UnreadableBody, inflate
from usage.tally import Counter, counter

logger = logging.getLogger(__name__)
access_log = logging.getLogger("tokenbook.access")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
T = TypeVar("T")

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}


@dataclass(frozen=True, slots=True)
class Posted:
    """What a caller posted: the body is inflated, `token` has the scope that the route needs."""

    token: AccessToken
    body: bytes
    content_type: str
    now: datetime


@dataclass(frozen=True, slots=True)
class HotRoute:
    """A path's scope, and what answers it: plain values that become JSON. It may be tried twice."""

    scope: Scope
    answer: Callable[[Posted], Any]


class HotRoutes:
    """A WSGI application: the routes' own answers, and those of `otherwise` to all the rest."""

    def __init__(self, routes: Mapping[str, HotRoute], *, otherwise: Application) -> None:
        self.routes = routes
        self.otherwise = otherwise

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request_id = request_ids.id_of(environ.get(request_ids.IN_ENVIRON, ""))
        request_ids.current.set(request_id)
        started_at = time.monotonic()
        environ["wsgi.input"] = Body(environ["wsgi.input"])
        path = environ["PATH_INFO"]
        route = self.routes.get(path)
        if route is None or not is_ordinary(environ):
            return self.otherwise(environ, told(start_response, environ, request_id, started_at))
        status, answer, headers = answered(route, environ)
        count(path.rstrip("/"), status)
        if access_log.isEnabledFor(logging.INFO):
            tell(environ, status, started_at)
        start_response(
            f"{status} {REASONS.get(status, 'Error')}",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(answer))),
                ("X-Content-Type-Options", "nosniff"),
                (request_ids.HEADER, request_id),
                *headers,
            ],
        )
        return [answer]


def told(
    start_response: StartResponse, environ: Environ, request_id: str, started_at: float
) -> StartResponse:
    """`start_response` for Django, whose answers carry the id and are counted too."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        code = int(status[:3])
        path = environ["PATH_INFO"]
        count(path.rstrip("/") if path in COUNTED else path[:7], code)
        if access_log.isEnabledFor(logging.INFO):
            tell(environ, code, started_at)
        return start_response(status, [*headers, (request_ids.HEADER, request_id)], *more)

    return start


def tell(environ: Environ, status: int, started_at: float) -> None:
    milliseconds = (time.monotonic() - started_at) * 1000
    access_log.info(
        "%s %s %d %.0f ms", environ["REQUEST_METHOD"], environ["PATH_INFO"], status, milliseconds
    )


def count(place: str, status: int) -> None:
    one = ANSWERS.get((place, status))
    (one or ANSWERS[PLACES.get(place, "other"), status // 100]).add()


PLACES = {"/admin/": "admin", "/api/v1": "api"}
COUNTED = {f"/api/v1/{name}" for name in ("requests/", "ingest/litellm/", "authorize/")}
# By route and status; what has no counter of its own is counted by its class.
ANSWERS: dict[tuple[str, int], Counter] = {
    (path.rstrip("/"), status): counter("answers", place=path[8:-1], status=str(status))
    for path in sorted(COUNTED)
    for status in (200, 400, 401, 403, 413, 429, 500, 503)
} | {
    (place, kind): counter("answers", place=place, status=f"{kind}xx")
    for place in ("admin", "api", "other")
    for kind in range(1, 6)
}


def is_ordinary(environ: Environ) -> bool:
    length = environ.get("CONTENT_LENGTH") or ""
    return (
        environ["REQUEST_METHOD"] == "POST"
        and length.isdecimal()
        and int(length) <= settings.INGEST_MAX_BYTES
        and not environ.get("HTTP_TRANSFER_ENCODING")
        and bool(environ.get("HTTP_AUTHORIZATION"))
        and is_ours(environ.get("HTTP_HOST", ""))
        and is_secure_enough(environ)
    )


def is_secure_enough(environ: Environ) -> bool:
    if not settings.SECURE_SSL_REDIRECT:
        return True
    header, value = settings.SECURE_PROXY_SSL_HEADER or ("", "")
    return bool(header) and environ.get(header) == value


def is_ours(host: str) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def answered(route: HotRoute, environ: Environ) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, JSON and further headers."""
    try:
        return 200, msgspec.json.encode(answer(route, environ)), []
    except Exception as error:
        response = exception_handler(error, {})
        if response is None:
            logger.exception("%s failed", environ["PATH_INFO"])
            return 500, msgspec.json.encode(FAILED), []
        body = json.dumps(response.data, cls=JSONEncoder).encode()
        return response.status_code, body, list(response.headers.items())


FAILED = {
    "error": {
        "code": "error",
        "message": "This failed here, and was written to the server's log. Send it again later.",
        "details": None,
    }
}


def answer(route: HotRoute, environ: Environ) -> Any:
    recycle_connection()
    # Before the body is read, which may never come: a thread waits for no stranger's.
    token = twice(lambda: token_of(route, environ, now=timezone.now()))
    rates.take(token.pk)
    is_from(environ, token.account_id)
    body = body_of(environ)
    return twice(lambda: answer_once(route, environ, body))


def twice(call: Callable[[], T]) -> T:
    """The database may only have been restarted since this thread connected to it."""
    try:
        return call()
    except (OperationalError, InterfaceError):
        connection.close()
        return call()


def token_of(route: HotRoute, environ: Environ, *, now: datetime) -> AccessToken:
    """The caller's token, if it has the scope. Raises AuthenticationFailed, PermissionDenied."""
    token = remembered_token(environ["HTTP_AUTHORIZATION"], now=now)
    if route.scope not in token.scopes:
        raise PermissionDenied(f"This access token lacks the scope {route.scope.value!r}.")
    return token


def answer_once(route: HotRoute, environ: Environ, body: bytes) -> Any:
    now = timezone.now()
    token = token_of(route, environ, now=now)
    encoding = environ.get("HTTP_CONTENT_ENCODING", "")
    return route.answer(
        Posted(
            token=token,
            body=inflate(body, encoding, limit=settings.INGEST_MAX_BYTES),
            content_type=environ.get("CONTENT_TYPE", ""),
            now=now,
        )
    )


def body_of(environ: Environ) -> bytes:
    length = int(environ["CONTENT_LENGTH"])
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise UnreadableBody("The body was cut off on its way. Send it again.")
    return body


def recycle_connection() -> None:
    """As Django does before a request, but without asking PostgreSQL each time how it is."""
    if connection.connection is not None and (
        connection.errors_occurred
        or (connection.close_at is not None and time.monotonic() >= connection.close_at)
    ):
        connection.close()
