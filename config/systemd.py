"""Tells systemd (`Type=notify`) when the web server has begun to listen: an older one on the same
port may then be stopped, and no caller meets a closed door."""

import os
import socket
import threading
import time

POLL_SECONDS = 0.1


def tell_when_listening(port: int, *, processes: int) -> None:
    """Once as many children of this process listen on the port; at once where nobody asks."""
    if name := os.environ.get("NOTIFY_SOCKET"):
        waiting = threading.Thread(target=_wait_and_tell, args=(name, port, processes), daemon=True)
        waiting.start()


def _wait_and_tell(name: str, port: int, processes: int) -> None:
    while _listening(port) < processes:
        time.sleep(POLL_SECONDS)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        # What begins with @ is a name of the kernel's, and no file.
        notify.connect("\0" + name[1:] if name.startswith("@") else name)
        notify.sendall(b"READY=1")


def _listening(port: int) -> int:
    import psutil

    number = 0
    for child in psutil.Process().children():
        try:
            open_ports = child.net_connections("tcp")
        except psutil.Error:
            continue  # it ended just now
        number += any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in open_ports)
    return number
