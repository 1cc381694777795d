"""The crash file of one generation: into it faulthandler writes the stacks of a process that a signal ends, or that was
asked for them.

One memfd per generation, which every process of it has open. What was asked for (``ctl dump``) is cut off again once it
is read; should some of it come late, it is not taken for a crash. A crash is written piece by piece, and nothing says
that it is whole but the end of its process: until somebody is told of it, the last one is read again each time.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections import deque
from contextlib import suppress

from releve.config.frozen import dataclass
from releve.server.shared.link import ELSEWHERE, WANTS_ALL

FATAL = "Fatal Python error"  # what a crash begins with, and stacks that were asked for do not
_FATAL_BYTES = FATAL.encode()
_MARKS_MAX_BYTES = 65536  # within so many, the application's marks are looked for
_CRASHES_MAX_BYTES = 1024 * 1024  # read at once
_KEPT_BYTES = 1024 * 1024  # then what was read is cut off
_UNTOLD_MAX = 50
# then nobody's end is told any more that belongs to it (a child that the application made without fork(2))
_UNTOLD_S = 5.0
_TAKEN_MAX_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Written:
    """What was written of one crash so far."""

    seen: float  # monotonic
    text: str


class CrashFile:
    """The crash file of one generation, crash by crash. Owns the descriptor."""

    def __init__(self, fd: int = -1) -> None:
        """A new one; or ``fd``, which was another supervisor's: what is there already was its to tell."""
        self.reading = asyncio.Lock()  # held by who asks for stacks, and takes them
        self._fd = os.memfd_create("releve-crash", os.MFD_CLOEXEC) if fd < 0 else fd
        # every process that shares the description shall write at the end, wherever that is: it may be cut meanwhile
        fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) | os.O_APPEND)
        self._read_bytes = 0  # before that nothing is read again
        self._seen_bytes = 0  # so far it was read
        self._untold: deque[_Written] = deque(maxlen=_UNTOLD_MAX)
        self._growing: _Written | None = None  # the last one, which begins at `_read_bytes`
        self._latest: _Written | None = None
        self._marks: set[bytes] = set()
        if fd >= 0:
            self.look()
            self._untold.clear()
            self._settle()

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._fd

    def written_bytes(self) -> int:
        """How much there is; 0 once it is closed."""
        return 0 if self._fd < 0 else os.fstat(self._fd).st_size

    def look(self) -> None:
        """Take in what has been written since."""
        size = self.written_bytes()
        if self._fd < 0:
            return
        if size < self._read_bytes:  # stacks that were asked for are cut off again
            self._read_bytes, self._growing = size, None
        begin = max(self._read_bytes, size - _CRASHES_MAX_BYTES)
        written = os.pread(self._fd, _CRASHES_MAX_BYTES, begin)
        self._seen_bytes = begin + len(written)
        if begin != self._read_bytes or not written.startswith(_FATAL_BYTES):
            self._growing = None
        crashes = written.split(_FATAL_BYTES)[1:]
        for place, crash in enumerate(crashes):
            text = FATAL + crash.decode("utf-8", "replace").rstrip()
            if self._growing is not None and place == 0:
                self._growing.text = text
            else:
                self._growing = self._latest = _Written(time.monotonic(), text)
                self._untold.append(self._growing)
        if crashes:
            self._read_bytes = self._seen_bytes - len(_FATAL_BYTES) - len(crashes[-1])

    def next(self) -> str:
        """What faulthandler wrote at the first crash that nobody was told of; empty if there is none."""
        self._expire()
        self.look()
        return self._tell() if self._untold else ""

    def _expire(self) -> None:
        while self._untold and self._untold[0].seen < time.monotonic() - _UNTOLD_S:
            self._tell()

    def _tell(self) -> str:
        told = self._untold.popleft()
        if not self._untold:
            self._settle()
        return told.text

    def _settle(self) -> None:
        """Nothing that is read so far is read again; nor kept, where it is much."""
        self._growing, self._read_bytes = None, self._seen_bytes
        if self._read_bytes > _KEPT_BYTES and self._read_bytes == self.written_bytes():
            marks = [mark for mark in (WANTS_ALL, ELSEWHERE) if self._marked(mark)]
            os.ftruncate(self._fd, 0)
            self._read_bytes = self._seen_bytes = 0
            with suppress(OSError):  # no memory: the marks are kept here
                os.write(self._fd, b"".join(marks))

    @property
    def last(self) -> str:
        """What was written of the last crash; empty if there was none."""
        return "" if self._latest is None else self._latest.text

    def forget(self) -> None:
        """What has crashed until now says nothing about what is about to be tried."""
        self.look()
        self._latest = None

    def take(self, begin: int) -> str:
        """What was written from ``begin`` on; cut off, unless a process crashes meanwhile."""
        self._expire()
        self.look()  # a crash that was half written when the stacks were asked for goes on behind them
        written = b""
        while self._fd >= 0 and len(written) < _TAKEN_MAX_BYTES:
            more = os.pread(self._fd, _TAKEN_MAX_BYTES, begin + len(written))
            written += more
            if not more:
                if written and _FATAL_BYTES not in written and not self._untold:
                    os.ftruncate(self._fd, begin)
                break
        return written.decode("utf-8", "replace")

    def close(self) -> None:
        """Read what is left, and close it."""
        self.look()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def wants_all(self) -> bool:
        """Whether the application has asked faulthandler for the stacks of all threads, on standard error."""
        return self._marked(WANTS_ALL)

    @property
    def elsewhere(self) -> bool:
        """Whether it has asked for them in a file of its own, so that they are not here."""
        return self._marked(ELSEWHERE)

    def _marked(self, mark: bytes) -> bool:
        if self._fd >= 0 and mark not in self._marks and mark in os.pread(self._fd, _MARKS_MAX_BYTES, 0):
            self._marks.add(mark)
        return mark in self._marks
