"""Addresses that ask the database for what it cannot make sense of, such as half a regular
expression, are the asker's mistake: 400, not a failure of ours. Asking for too much at once is
another: 429.
"""

from collections.abc import Callable

from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework.exceptions import Throttled

from config.errors import is_api


class OddInput:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        asks = request.method in ("GET", "HEAD") and not is_api(request)
        if asks and isinstance(exception, DataError):
            return render(request, "400.html", status=400)
        if isinstance(exception, Throttled) and not is_api(request):
            return later(exception)
        return None


def later(exception: Throttled) -> HttpResponse:
    return HttpResponse(
        str(exception.detail),
        status=429,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": str(int(getattr(exception, "wait", 1)))},
    )
