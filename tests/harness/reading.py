"""Reading from a socket, up to something."""

from __future__ import annotations

import socket

from harness.service import PATIENCE_S


def read_until(sock: socket.socket, end: bytes) -> bytes:
    """What comes, up to this end of it, which must come before that of the connection."""
    sock.settimeout(PATIENCE_S)
    read = b""
    while not read.endswith(end):
        read += (got := sock.recv(4096))
        assert got, read
    return read
