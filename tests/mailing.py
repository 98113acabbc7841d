"""A mail server for tests: keeps what it gets, refuses whom it is told to, and can be down."""

import socket
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class MailServer:
    def __init__(self) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self.messages: list[EmailMessage] = []
        self.refused: set[str] = set()
        self.controller: Controller | None = None

    @property
    def url(self) -> str:
        """For EMAIL_URL of a process of its own."""
        return f"smtp://{self.host}:{self.port}"

    def start(self) -> None:
        self.controller = Controller(self, hostname=self.host, port=self.port)
        self.controller.start()

    def close(self) -> None:
        """Down: connections are refused until `start` is called again."""
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    def refuse(self, *addresses: str) -> None:
        self.refused.update(addresses)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        # Who really got it, whatever the headers say.
        message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        self.messages.append(message)
        return "250 OK"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
