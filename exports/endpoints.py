"""Which addresses people may have files sent to: none inside the worker's own network.

Whoever may make a destination could otherwise let the worker talk to the cloud's metadata service,
or to any database beside it. The operator names the hosts that are all the same allowed.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings


class Refused(ValueError):
    """Why the worker does not go there."""


def check_endpoint(url: str) -> None:
    """Raises Refused. Asked when a destination is saved, and each time before it is used."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Refused(f"{url!r} is not an address.") from error
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.path.strip("/"):
        raise Refused("An endpoint is https://host or https://host:port, and nothing more.")
    if host in settings.EXPORT_ALLOWED_HOSTS:
        return
    if parts.scheme != "https":
        raise Refused("Only https, unless the operator allows this host.")
    for address in addresses_of(host, port or 443):
        if not address.is_global or address.is_multicast:
            raise Refused(f"{host} is inside a private network, which the operator does not allow.")


def addresses_of(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"There is no host {host}.") from error
    return [plain(ipaddress.ip_address(str(info[4][0]).partition("%")[0])) for info in found]


def plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address
