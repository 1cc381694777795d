"""Closing what another process has sent: on threads of its own, since a close may wait.

The last close of a connection with SO_LINGER waits for its peer (socket(7)), whatever its mode; so does the close of a socket in
whose queue such a one lies, and that of a file of somebody's own file system. Who may send us descriptors could hold us up for
hours in that way. Here it holds up a thread that nobody waits for. Used by the supervisor for what comes from a release, and by workers for
connections that come from another generation; never by a process that forks and lives on in its children.

The threads take no signal, and touch nothing but descriptors. The end of the process, and exec, end them.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from queue import SimpleQueue

THREADS_MAX = 16  # as many closes may wait; what comes then waits for one of them
_NO_LINGER = struct.pack("ii", 0, 0)


class _Closer:
    """Used by one thread, which is not one of those that close."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[int] = SimpleQueue()
        self._idle = threading.Semaphore(0)  # as many threads wait for something to close
        self._threads = 0

    def take(self, fd: int) -> None:
        if not self._idle.acquire(blocking=False) and self._threads < THREADS_MAX:
            with suppress(RuntimeError):  # the system gives no thread: then it waits for another one, or for the end of the process
                threading.Thread(target=self._serve, name="closer", daemon=True).start()
                self._threads += 1
        self._waiting.put(fd)

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        while True:
            fd = self._waiting.get()
            _hasten(fd)
            with suppress(OSError):
                os.close(fd)
            self._idle.release()


_closer = _Closer()


def close(fds: Iterable[int]) -> None:
    """Close descriptors, soon. They are nobody's from now on."""
    for fd in fds:
        _closer.take(fd)


def close_socket(sock: socket.socket) -> None:
    """Close a socket in whose queue there may be what others have sent. Nothing happens if it is closed."""
    fd = sock.detach()
    if fd >= 0:
        _closer.take(fd)


def _hasten(fd: int) -> None:
    """Have its close not wait, where it is such a socket itself; who shares it may undo that."""
    with suppress(OSError):
        borrowed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
        try:
            asked, seconds = struct.unpack("ii", borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_NO_LINGER)))
            if asked and seconds:  # for none it is an end by a reset, which does not wait
                borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        finally:
            borrowed.detach()
