"""Where the web server listens: HOST and PORT."""

import os
from dataclasses import dataclass


class BadAddress(Exception):
    """The environment names no address to listen on; the message is one sentence."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @property
    def reachable_host(self) -> str:
        """What a client on this machine connects to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    @property
    def url(self) -> str:
        host = self.reachable_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def address_from_environment() -> Address:
    port = os.environ.get("PORT", "8000")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadAddress(f"PORT must be a number from 1 to 65535, not {port!r}.")
    return Address(host=os.environ.get("HOST", "127.0.0.1"), port=int(port))
