"""A connection in one thread: what a client has sent is there to be read, and what the server wrote is there to be
looked at.
"""

from __future__ import annotations

import os
import select
import socket

from releve.server.http.body import ClientGone, ClientTooSlow


class PairChannel:
    """A ``Channel`` over a socketpair.

    ``client`` is the other end; ``writes`` counts the system calls of the server.
    """

    def __init__(self, *sent: bytes, close: bool = False) -> None:
        self.server, self.client = socket.socketpair()
        self.writes: list[bytes] = []
        self.sendfiles: list[tuple[int, int]] = []  # offset and count of each
        self.refuse_sendfile = False
        self.reads = 0
        self.write_s = 5.0
        for data in sent:
            self.client.sendall(data)
        if close:
            self.client.shutdown(socket.SHUT_WR)

    def read(self, limit: int, timeout_s: float) -> bytes:
        self.reads += 1
        if not select.select([self.server], [], [], timeout_s)[0]:
            raise TimeoutError
        return self.server.recv(limit)

    def write(self, data: bytes | memoryview) -> None:
        self.writes.append(bytes(data))
        self.server.settimeout(self.write_s)
        try:
            self.server.sendall(data)
        except TimeoutError as error:
            raise ClientTooSlow("it takes nothing") from error
        except OSError as error:
            raise ClientGone("it has gone") from error

    def finish_file(self, file: int, offset: int, count: int) -> int:
        if self.refuse_sendfile:
            raise OSError(22, "Invalid argument")
        self.sendfiles.append((offset, count))
        data = os.pread(file, count, offset)
        self.write(data)
        self.writes.pop()
        return len(data)

    def finish(self, data: bytes | memoryview, before: bytes = b"") -> None:
        self.write(before + bytes(data))

    def received(self) -> bytes:
        """Everything the client gets, to the end."""
        self.server.shutdown(socket.SHUT_WR)
        self.client.settimeout(5)
        parts = []
        while data := self.client.recv(65536):
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        self.server.close()
        self.client.close()
