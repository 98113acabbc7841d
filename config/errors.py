"""Answers where no view answers: to programs in the API's one shape, to people as a page."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

NO_ROUTE = (
    "There is no such route. Routes are under /api/v1/ and end with a slash; /api/docs/ lists them."
)
FAILED = "This failed here, and was written to the server's log. Send it again later."


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return error("not_found", NO_ROUTE, status=404)
    return defaults.page_not_found(request, exception)


def failed(request: HttpRequest) -> HttpResponse:
    if is_api(request):
        return error("error", FAILED, status=500)
    return defaults.server_error(request)


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def error(code: str, message: str, *, status: int) -> JsonResponse:
    return JsonResponse(
        {"error": {"code": code, "message": message, "details": None}}, status=status
    )
