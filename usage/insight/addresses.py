"""Which addresses may be asked: those on the internet, and not what lies behind our own walls.

A name is resolved once, every address that it has is looked at, and the connection goes to one of
just those: a name that answers differently the second time gains nothing.
"""

import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings

NAT64 = ipaddress.ip_network("64:ff9b::/96")
PORTS = {"http": 80, "https": 443}


class BadAddress(ValueError):
    """An address that is not asked; the message says why."""


class Parts(NamedTuple):
    is_tls: bool
    host: str
    port: int
    path: str


def parts_of(url: str) -> Parts:
    """Raises BadAddress."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise BadAddress("This is not an address.") from error
    if split.scheme not in PORTS or not split.hostname:
        raise BadAddress("Begin with https:// or http:// and the name of a host.")
    if split.username or split.password:
        raise BadAddress("A name or password may not stand in the address.")
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    if any(ord(c) <= 32 or ord(c) > 126 for c in path + split.hostname):
        raise BadAddress("An address has no spaces, and letters of ASCII only.")
    return Parts(split.scheme == "https", split.hostname, port or PORTS[split.scheme], path)


def resolved(host: str, port: int) -> str:
    """One address of the host, all of which may be asked. Raises BadAddress and OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(address[0]) for *_, address in found]
    if not settings.CHECK_PRIVATE_ADDRESSES:
        for address in addresses:
            if not is_public(address):
                raise BadAddress(f"{host} is {address}, which is not on the internet.")
    return addresses[0]


def is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if within is not None:
            return is_public(str(within))
        if address in NAT64 or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
