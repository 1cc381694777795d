"""Clients that ask at a steady rate, whatever the answers take: ``steady.py PORT PATH RATE SECONDS``.

Each request has its time, and what it takes counts from then on: one that finds all connections out waits, and its
wait counts. Prints the time (monotonic) and the milliseconds of each, as JSON; none of one without an answer.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time
from collections import deque

CONNECTIONS = 16
END = b"\r\n\r\n"
LATE_S = 10.0  # for the last answers


class Client:
    """The connections, and what they wait for."""

    def __init__(self, port: int, path: str) -> None:
        self.took_ms: list[tuple[float, float | None]] = []  # since when, and how long
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._poll = select.epoll()
        self._free = deque(self._connect() for _ in range(CONNECTIONS))
        self._asked: dict[int, tuple[socket.socket, float, bytes]] = {}  # by descriptor: since when, and what came
        self._due: deque[float] = deque()

    def run(self, rate: float, seconds: float) -> None:
        """Ask at that rate (a second) for so long, then wait for the last answers."""
        started = time.monotonic()
        number, end = 0, started + seconds
        while (now := time.monotonic()) < end or (self._asked and now < end + LATE_S):
            while started + number / rate <= min(now, end):
                self._due.append(started + number / rate)
                number += 1
            while self._due and self._free:
                self._ask(self._free.popleft(), self._due.popleft())
            for fd, _ in self._poll.poll(max(0.0, started + number / rate - now) if now < end else LATE_S):
                self._read(fd)
        self.took_ms += [(due, None) for due in (*(due for _, due, _ in self._asked.values()), *self._due)]

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(made, select.EPOLLIN)
        return made

    def _ask(self, connection: socket.socket, due: float) -> None:
        try:
            connection.sendall(self._request)
        except OSError:  # it was closed while it was idle: as any client, once more on another one
            self._drop(connection)
            connection = self._connect()
            connection.sendall(self._request)
        self._asked[connection.fileno()] = (connection, due, b"")

    def _read(self, fd: int) -> None:
        if fd not in self._asked:  # an idle one was closed
            for connection in [one for one in self._free if one.fileno() == fd]:
                self._free.remove(connection)
                self._drop(connection)
                self._free.append(self._connect())
            return
        connection, due, before = self._asked[fd]
        try:
            came = connection.recv(65536)
        except OSError:
            came = b""
        answer = before + came
        head, found, body = answer.partition(END)
        if came and not (found and len(body) >= _length(head)):
            self._asked[fd] = (connection, due, answer)
            return
        del self._asked[fd]
        good = came and head.startswith(b"HTTP/1.1 200")
        self.took_ms.append((due, (time.monotonic() - due) * 1000 if good else None))
        if not good or b"\r\nconnection: close" in head.lower():
            self._drop(connection)
            connection = self._connect()
        self._free.append(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._poll.unregister(connection)
        connection.close()


def _length(head: bytes) -> int:
    """Of the body, by its head."""
    return int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])


if __name__ == "__main__":
    gc.disable()
    client = Client(int(sys.argv[1]), sys.argv[2])
    client.run(float(sys.argv[3]), float(sys.argv[4]))
    json.dump(client.took_ms, sys.stdout)
