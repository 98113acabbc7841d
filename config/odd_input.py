"""Addresses that ask the database for what it cannot make sense of, such as half a regular
expression, are the asker's mistake: 400, not a failure of ours."""

from collections.abc import Callable

from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

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
        return None
