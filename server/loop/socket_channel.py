"""In the thread that answers: how it reads and writes the socket of a connection, and what it leaves to the loop."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable

from releve.config.settings.timeouts import Timeouts
from releve.server.http.body import ClientGone, ClientTooSlow
from releve.server.loop.pace import Pace
from releve.server.shared import system
from releve.server.shared.native import os, select, socket, time

FILE_PART_BYTES = 256 * 1024  # of a file, before the loop looks at others
_PROGRESS_S = 5.0  # how often a blocked write looks whether the client took something


def _gone(error: OSError) -> ClientGone:
    return ClientGone(f"cannot send the response: {error.strerror or error}")


def unsent_bytes(sock: socket.socket) -> int:
    """Bytes sent that the client has not acknowledged yet; 0 if nobody can tell."""
    try:
        return system.unsent_bytes(sock)
    except OSError:
        return 0


def _wait(sock: socket.socket, event: int, timeout_s: float) -> bool:
    """Whether something happened on the socket in time; errors and hang-ups are events too."""
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(math.ceil(timeout_s * 1000)))


class Rest:
    """The end of a response that its client has not taken: bytes, or a part of a file (owned)."""

    __slots__ = ("_count", "_data", "_file", "_offset")

    def __init__(self, data: memoryview | None = None, file: int = -1, offset: int = 0, count: int = 0) -> None:
        self._data = data
        self._file = os.dup(file) if file >= 0 else -1
        self._offset = offset
        self._count = count

    @property
    def left_bytes(self) -> int:
        """Bytes still to be sent."""
        return self._count if self._data is None else len(self._data)

    def send(self, sock: socket.socket) -> None:
        """Send what the client takes now.

        Raises BlockingIOError if that is nothing, OSError also where the file has become shorter.
        """
        if self._data is not None:
            self._data = self._data[sock.send(self._data) :]
            return
        sent = os.sendfile(sock.fileno(), self._file, self._offset, min(self._count, FILE_PART_BYTES))
        if sent == 0:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        self._offset += sent
        self._count -= sent

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class SocketChannel:
    """In the thread that answers: blocking reads and writes on a non-blocking socket (``channel.py`` has the
    contract).
    """

    __slots__ = ("_before_blocking", "_read_pace", "_socket", "_write_pace", "_write_s", "moved_at", "unsent")

    def __init__(
        self, sock: socket.socket, timeouts: Timeouts, before_blocking: Callable[[], None] = lambda: None
    ) -> None:
        """``before_blocking`` is called whenever the thread is about to wait for the client."""
        self.unsent: Rest | None = None  # what `finish` left
        # monotonic: when the application last took or gave a byte, as far as that went through here
        self.moved_at = 0.0
        self._socket = sock
        self._write_s = timeouts.write
        self._read_pace = Pace(timeouts.body, timeouts.min_rate)
        self._write_pace = Pace(timeouts.write, timeouts.min_rate)
        self._before_blocking = before_blocking

    def read(self, limit: int, timeout_s: float) -> bytes:
        """Up to ``limit`` bytes, ``b""`` at the end. Raises TimeoutError, ConnectionError."""
        began = time.monotonic()
        waited_s = 0.0
        while True:
            try:
                data = self._socket.recv(limit)
            except BlockingIOError:
                self._before_blocking()
                if waited_s >= timeout_s or not _wait(self._socket, select.POLLIN, timeout_s - waited_s):
                    raise TimeoutError("the client sent nothing in time") from None
                waited_s = time.monotonic() - began
                continue
            if self._read_pace.too_slow(waited_s, len(data)):
                raise TimeoutError("the client sends too slowly")
            self.moved_at = began + waited_s
            return data

    def finish(self, data: bytes | memoryview, before: bytes = b"") -> None:
        """Send the last bytes of a response, ``before`` in front of them, in one system call and without copying them
        together; what the client does not take at once is left in ``unsent``.

        Raises ClientGone.
        """
        try:
            sent = self._socket.sendmsg((before, data)) if before else self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise _gone(error) from error
        if sent < len(before):
            self.unsent = Rest(memoryview(before[sent:] + bytes(data)))
        elif sent - len(before) < len(data):
            self.unsent = Rest(memoryview(data)[sent - len(before) :])

    def finish_file(self, file: int, offset: int, count: int) -> int:
        """Send the last part of a response from a file, likewise. Raises as ``sendfile``."""
        sent = 0
        while sent < count:
            try:
                number = os.sendfile(self._socket.fileno(), file, offset + sent, count - sent)
            except BlockingIOError:
                try:
                    self.unsent = Rest(file=file, offset=offset + sent, count=count - sent)
                except OSError as error:  # no descriptor is free
                    if sent:
                        raise _gone(error) from error
                    raise
                return count
            except OSError as error:
                if isinstance(error, ConnectionError) or sent:
                    raise _gone(error) from error
                raise
            if number == 0:
                break
            sent += number
        return sent

    def write(self, data: bytes | memoryview) -> None:
        """Send all of it. Raises ClientGone, ClientTooSlow."""
        view = memoryview(data).cast("B")
        self.moved_at = time.monotonic()
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._wait_until_taken()
            except OSError as error:
                raise _gone(error) from error

    def _wait_until_taken(self) -> None:
        # The kernel reports "writable" only when a third of its buffer is free, which a slow client may
        # need minutes for: a shrinking send queue is progress too.
        self._before_blocking()
        began = at = time.monotonic()
        queued = unsent_bytes(self._socket)
        writable = False
        while not writable:
            writable = _wait(self._socket, select.POLLOUT, min(_PROGRESS_S, max(0.0, began + self._write_s - at)))
            now, left = time.monotonic(), unsent_bytes(self._socket)
            if self._write_pace.too_slow(now - at, max(0, queued - left)):
                raise ClientTooSlow("cannot send the response: the client reads too slowly")
            if left < queued:
                began = now
            elif not writable and now >= began + self._write_s:
                raise ClientTooSlow("cannot send the response: the client reads nothing")
            at, queued = now, left
        self.moved_at = at
