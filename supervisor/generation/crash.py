"""The crash file: what faulthandler wrote when a process of a generation was ended by a signal, or asked for its
stacks.

One memfd per generation; SIGABRT makes a hung import say where it hangs. What was asked for (``dump.py``) is cut off
again once it is read; should some of it come late, it is not taken for a crash.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import re
import signal
import time
from collections import deque
from typing import Any

import releve.server
from releve.config.frozen import dataclass
from releve.server.shared.link import ELSEWHERE, WANTS_ALL

# Those that faulthandler writes at; signal(7).
SIGNALS = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL})
_BYTES_MAX = 65536
_CRASHES_MAX_BYTES = 1024 * 1024  # read at once
_KEPT_BYTES = 1024 * 1024  # then what was read is cut off
_UNTOLD_MAX = 50
# then nobody's end is told any more that belongs to it (a child that the application made without fork(2))
_UNTOLD_S = 5.0
_HEAD_MAX = 100  # characters
_NO_PYTHON = "C stack trace (most recent call first):"
_TAKEN_MAX_BYTES = 4 * 1024 * 1024
_FRAMES_MAX = 20
# at either end of a head, and characters: whoever crashes may write anything, and ctl is told it
_HEAD_LINES, _LINE_MAX = 4, 250
_FATAL = "Fatal Python error"  # what a crash begins with, and stacks that were asked for do not
_FRAME = re.compile(r'  File "(?P<file>.*)", line \d+ in .*')
_OWN = os.path.dirname(releve.server.__file__)
_OURS = re.compile(rf"<frozen |/importlib/__init__\.py$|/threading\.py$|/releve/server/|^{re.escape(_OWN)}/")


def open_crash_file() -> int:
    """A new crash file (close-on-exec); the caller owns it."""
    return os.memfd_create("releve-crash", os.MFD_CLOEXEC)


def append_only(fd: int) -> None:
    """Have every process that shares the description write at the end, wherever that is: it may be cut meanwhile."""
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)


def written_bytes(fd: int) -> int:
    """How much there is."""
    return os.fstat(fd).st_size


def take(fd: int, begin: int) -> str:
    """What was written from ``begin`` on; cut off, unless a process has crashed meanwhile."""
    text = os.pread(fd, _TAKEN_MAX_BYTES, begin).decode("utf-8", "replace")
    if _FATAL not in text:
        os.ftruncate(fd, begin)
    return text


@dataclass(frozen=True, slots=True)
class Crash:
    """A process that a fatal signal has ended."""

    when: float  # seconds since the epoch
    words: str
    stack: str  # of the thread that crashed; empty if nobody knows

    def picture(self) -> dict[str, Any]:
        """For the history and for ``--json``."""
        when = datetime.datetime.fromtimestamp(self.when, datetime.UTC).isoformat(timespec="milliseconds")
        return {"when": when, "what": self.words, "stack": self.stack}

    @classmethod
    def pictured(cls, picture: dict[str, Any]) -> Crash:
        """One of a picture. Raises ValueError, KeyError, TypeError."""
        return cls(
            datetime.datetime.fromisoformat(picture["when"]).timestamp(), str(picture["what"]), str(picture["stack"])
        )


class CrashFile:
    """What is in the crash file of one generation, crash by crash. Does not own the descriptor."""

    def __init__(self, fd: int, *, adopted: bool = False) -> None:
        """``adopted``: what is there already was another supervisor's to tell."""
        self.last = ""  # the stack of the last crash
        self._fd = fd
        self._read = 0  # bytes
        self._untold: deque[tuple[float, str]] = deque(maxlen=_UNTOLD_MAX)  # when it was seen (monotonic)
        if adopted:
            self.look()
            self._untold.clear()

    def look(self) -> None:
        """Take in what has been written since."""
        size = written_bytes(self._fd)
        begin = self._read = min(self._read, size)  # stacks that were asked for are cut off again
        if size > begin + _CRASHES_MAX_BYTES:
            begin = size - _CRASHES_MAX_BYTES
        written = os.pread(self._fd, _CRASHES_MAX_BYTES, begin)
        for crash in written.split(_FATAL.encode())[1:]:
            text = _FATAL + crash.decode("utf-8", "replace").rstrip()
            self._untold.append((time.monotonic(), text))
            self.last = stack(text)
            self._read = size
        if self._read == size > _KEPT_BYTES and _FATAL.encode() in written:
            marks = [mark for mark, there in ((WANTS_ALL, self.wants_all), (ELSEWHERE, self.elsewhere)) if there]
            os.ftruncate(self._fd, 0)
            self._read = 0
            os.write(self._fd, b"".join(marks))

    def next(self) -> str:
        """What faulthandler wrote at the first crash that nobody was told of; empty if there is none."""
        while self._untold and self._untold[0][0] < time.monotonic() - _UNTOLD_S:
            self._untold.popleft()
        self.look()
        return self._untold.popleft()[1] if self._untold else ""

    def forget(self) -> None:
        """What has crashed until now says nothing about what is about to be tried."""
        self.look()
        self.last = ""

    @property
    def wants_all(self) -> bool:
        """Whether the application has asked faulthandler for the stacks of all threads, on standard error."""
        return WANTS_ALL in os.pread(self._fd, _BYTES_MAX, 0)

    @property
    def elsewhere(self) -> bool:
        """Whether it has asked for them in a file of its own, so that they are not here."""
        return ELSEWHERE in os.pread(self._fd, _BYTES_MAX, 0)


def stack(text: str) -> str:
    """Of what faulthandler wrote: why, and the application's part of the thread that crashed, most recent call last as
    in any traceback.

    A few thousand characters at most.

    Where we ended a process that hung (SIGABRT), the signal is the main thread's, which only waits: then it is the
    first thread that is in the application.
    """
    head: list[str] = []
    threads: list[tuple[bool, list[str]]] = []
    for line in text.splitlines():
        if line.startswith(("Thread ", "Current thread ")):
            if line.endswith(_NO_PYTHON):  # "Current thread's C stack trace"
                break
            threads.append((line.startswith("Current"), []))
        elif not threads and line:
            head.append(line)
        elif threads and _FRAME.fullmatch(line):
            threads[-1][1].append(line)
        elif threads and not line.strip() and threads[-1][0] and "Aborted" not in text[:_HEAD_MAX]:
            break
    current = next((frames for crashed, frames in threads if crashed), [])
    found = _application(current)
    if not found and "Aborted" in text[:_HEAD_MAX]:
        found = next((theirs for _, frames in threads if (theirs := _application(frames))), [])
    found = found or current
    if len(head) > 2 * _HEAD_LINES:
        head[_HEAD_LINES:-_HEAD_LINES] = []
    shown = list(reversed(found[:_FRAMES_MAX])) or ["  (the thread that crashed runs no Python code)"]
    return "\n".join(line if len(line) <= _LINE_MAX else f"{line[: _LINE_MAX - 1]}…" for line in [*head, *shown])


def _application(frames: list[str]) -> list[str]:
    return [line for line in frames if (found := _FRAME.fullmatch(line)) and not _OURS.search(found["file"])]
