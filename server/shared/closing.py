"""Closing what another process has sent: on threads of its own, since a close may wait.

The last close of a connection with SO_LINGER waits for its peer (socket(7)), whatever its mode; so does the close of a
socket in whose queue such a one lies, and that of a file of somebody's own file system. Who may send us descriptors
could hold us up for hours in that way. Here it holds up a thread that nobody waits for. Used by the supervisor for what
comes from a release, and by workers for connections that come from another generation; never by a process that forks
and lives on in its children.

The threads take no signal, and touch nothing but descriptors. The end of the process, and exec, end them.
"""

from __future__ import annotations

import struct
from _thread import LockType
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from releve.server.shared.native import Lock, os, signal, socket, start_thread

THREADS_MAX = 16  # as many closes may wait; what comes then waits for one of them
REST_S = 1.0  # how long a thread waits for more to close, before it ends
_NO_LINGER = struct.pack("ii", 0, 0)


class _Closer:
    """What waits to be closed, and how many threads do it.

    A thread at rest has a lock of its own to be called by: ``SimpleQueue.get`` of CPython 3.11 to 3.13 may wait for
    ever when it is woken for what another thread has taken, and its time runs out just then (a negative rest of it
    counts as none).
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[int] = deque()
        # the calls of threads that have nothing to do; the last to rest is the first to be called
        self._resting: list[LockType] = []
        self._threads = 0

    @property
    def at_rest(self) -> bool:
        """Whether everything is closed."""
        with self._lock:
            return not self._waiting and len(self._resting) == self._threads

    def take(self, fd: int) -> None:
        with self._lock:
            self._waiting.append(fd)
            if self._resting:
                self._resting.pop().release()
            elif self._threads < THREADS_MAX:
                # the system gives no thread: then it waits for another one, or for the end of the process
                with suppress(RuntimeError):
                    start_thread("closer", self._serve)
                    self._threads += 1

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        with suppress(OSError), open("/proc/thread-self/comm", "w") as file:
            file.write("closer")
        call = Lock()
        call.acquire()
        while (fd := self._next(call)) >= 0:
            _hasten(fd)
            with suppress(OSError):
                os.close(fd)

    def _next(self, call: LockType) -> int:
        """What is to be closed next; -1 if there is nothing for a while, and the thread counts no more."""
        while True:
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                self._resting.append(call)
            if call.acquire(timeout=REST_S):
                continue  # another thread may have taken it
            with self._lock:
                if call in self._resting:
                    self._resting.remove(call)
                    self._threads -= 1
                    return -1
                call.acquire()  # the call came just then


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
            asked, seconds = struct.unpack(
                "ii", borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_NO_LINGER))
            )
            if asked and seconds:  # for none it is an end by a reset, which does not wait
                borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        finally:
            borrowed.detach()
