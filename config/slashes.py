"""Whoever leaves out the slash at the end of an address is led to it, if that loses nothing."""

from django.http import HttpRequest
from django.middleware.common import CommonMiddleware

from config.errors import is_api

WITHOUT_BODY = ("GET", "HEAD")


class Slashes(CommonMiddleware):
    """Clients follow a redirect by GET: to the API they would have posted nothing, and not know."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        if is_api(request) and request.method not in WITHOUT_BODY:
            return False
        return super().should_redirect_with_slash(request)
