"""The content security policy: pages run our own files only, and ask no other host for anything.

The theme's Alpine makes functions of the expressions in its attributes, which takes `unsafe-eval`;
inline scripts are not allowed anywhere. It and the charts set styles of elements, which takes
`unsafe-inline` for styles, where nothing that people send is ever written.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class ContentSecurityPolicy:
    """Says so with every answer that does not bring a policy of its own, and asks for no device."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        return response
