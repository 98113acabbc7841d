"""A gate before a server: a port that can be shut, hang, or cut whoever is talking."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

RST = struct.pack("ii", 1, 0)  # no goodbye: as a machine that lost its power
PIECE = 65536


class Gate:
    """Passes what comes to `port` on to the port behind it, and back, while it is open."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.listener: socket.socket | None = None
        self.hangs = False
        self.pairs: set[tuple[socket.socket, ...]] = set()
        self.lock = threading.Lock()
        self.port = 0
        self.open()

    def open(self) -> None:
        """As at the beginning, whatever it does now."""
        if self.hangs:
            self.hangs = False
            self.cut()
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self.port = self.listener.getsockname()[1]
            self._in_thread(self._accept, self.listener)

    def refuse(self) -> None:
        """Nobody listens any more, and who was connected is no longer."""
        if self.listener is not None:
            # Whoever waits in accept() is woken by this, and not by closing.
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.cut()

    def hang(self) -> None:
        """Callers are let in and never answered."""
        self.hangs = True

    def cut(self) -> None:
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for end in pair:
                _reset(end)

    def close(self) -> None:
        self.refuse()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            self._in_thread(self._serve, caller)

    def _serve(self, caller: socket.socket) -> None:
        if self.hangs:
            with self.lock:
                self.pairs.add((caller,))
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.behind), timeout=20)
        except OSError:
            _reset(caller)
            return
        server.settimeout(None)
        with self.lock:
            self.pairs.add((caller, server))
        self._in_thread(self._pump, caller, server)
        self._pump(server, caller)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (piece := source.recv(PIECE)) and not self.hangs:
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
            return
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.close()

    @staticmethod
    def _in_thread(act: Callable[..., None], *arguments: socket.socket) -> None:
        threading.Thread(target=act, args=arguments, daemon=True).start()


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        # Threads that wait in recv() wake only then.
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()
