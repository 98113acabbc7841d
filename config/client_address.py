"""Where a request comes from, seen through the proxies that are ours and through no others."""

from django.conf import settings
from django.http import HttpRequest

LONGEST = 45  # an IPv6 address with an IPv4 one in it


def address_of(request: HttpRequest) -> str:
    """Each of our proxies adds whom it heard from; what stands before that, anybody may have
    written."""
    heard_from = request.META.get("REMOTE_ADDR", "")
    if not settings.TRUSTED_PROXIES:
        return str(heard_from)[:LONGEST]
    told = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    hops = [*filter(None, told), heard_from]
    return str(hops[max(-1 - settings.TRUSTED_PROXIES, -len(hops))])[:LONGEST]
