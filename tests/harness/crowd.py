"""A crowd: many clients that connect anew, ask once and go; who answered each of them, counted."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

TOGETHER = 25
TIMEOUT_S = 30.0
REQUEST = b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def crowd(address: Any, connections: int, *, first: bytes = b"", together: int = TOGETHER) -> Counter[str]:
    """Answers by generation. ``first``: what each connection begins with. Every one must be answered, with 200."""
    answers: Counter[str] = Counter()
    left = connections
    while left:
        socks = [connect(address) for _ in range(min(together, left))]
        left -= len(socks)
        for sock in socks:
            sock.sendall(first + REQUEST)
        answers.update(map(generation, socks))
    return answers


def connect(address: Any) -> socket.socket:
    """A connection of its own; a path is a Unix socket."""
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.settimeout(TIMEOUT_S)
    sock.connect(address)
    return sock


def generation(sock: socket.socket) -> str:
    """Which one answered, to the end of the connection."""
    with sock:
        data = b""
        while piece := sock.recv(65536):
            data += piece
    head = data.partition(b"\r\n\r\n")[0].decode("latin-1")
    assert head.startswith("HTTP/1.1 200 "), data
    return next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("X-Generation: "))
