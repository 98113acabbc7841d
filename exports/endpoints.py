"""Which addresses people may have files sent to: none inside the worker's own network.

Whoever may make a destination could otherwise let the worker talk to the cloud's metadata service,
or to any database beside it. The operator names the hosts that are all the same allowed. A name may
answer differently when it is asked again, so each connection is looked at once more, before a byte
is sent on it.
"""

import socket
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from usage.insight.addresses import is_public


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
    if is_allowed(url):
        return
    if parts.scheme != "https":
        raise Refused("Only https, unless the operator allows this host.")
    for address in addresses_of(host, port or 443):
        refuse_private(host, address)


def is_allowed(url: str) -> bool:
    """Whether the operator named its host."""
    return urlsplit(url).hostname in settings.EXPORT_ALLOWED_HOSTS


def refuse_private(host: str, address: str) -> None:
    if not is_public(address):
        raise Refused(f"{host} is inside a private network, which the operator does not allow.")


def addresses_of(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"There is no host {host}.") from error
    return [str(info[4][0]) for info in found]


class Guarded:
    """A connection of urllib3 that is refused where it leads into the private network.

    Through a proxy, which only the operator sets, it is the proxy that decides.
    """

    def _new_conn(self) -> socket.socket:
        connection: Any = super()
        made: socket.socket = connection._new_conn()
        try:
            if getattr(self, "proxy", None) is None:
                refuse_private(self.host, str(made.getpeername()[0]))  # type: ignore[attr-defined]
        except Refused:
            made.close()
            raise
        return made


def guarded(storage: Any) -> Any:
    """The class of storage, with guarded connections in whatever thread it makes them."""

    class Storage(storage):  # type: ignore[misc]
        @property
        def connection(self) -> Any:
            made = super().connection
            guard(made.meta.client)
            return made

    return Storage


def guard(client: Any) -> None:
    """Let the client of botocore make guarded connections only. It has no public way to say so."""
    from botocore import awsrequest as aws

    class Http(Guarded, aws.AWSHTTPConnection):
        pass

    class Https(Guarded, aws.AWSHTTPSConnection):
        pass

    class HttpPool(aws.AWSHTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(aws.AWSHTTPSConnectionPool):
        ConnectionCls = Https

    pools = client._endpoint.http_session._manager
    pools.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
