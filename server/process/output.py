"""In master and workers: where standard output and error lead, and what the application writes to them.

What Python code writes (``print``, tracebacks, handlers of logging) is tagged with the process that it comes from: each
line, or the first of those that come in one write, as a record of logging with its traceback does. What a C library or
another program writes goes to the same descriptors as it is. Nobody reads it on its way: no process of ours that hangs
or dies can hold it up or lose it (docs/adr/0027-output.md).
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from typing import Any

from releve.config.settings.log import Log
from releve.server.scoreboard.recorder import Keep
from releve.server.shared import log as logs
from releve.server.shared import system
from releve.server.shared.log import Entry, Sink, Who
from releve.server.shared.native import get_ident, os

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
UNENDED_MAX_BYTES = 1 << 20  # of a line that does not end; then it is written all the same

TRACEBACK = b"Traceback (most recent call last):\n"  # it is printed call by call, and is one thing
# The exception, below the calls; lines of its own that are indented may follow it, as pydantic and yaml have them.
_EXCEPTION = re.compile(rb"\n[^ \t]")

_NAMES = {STANDARD_OUTPUT: "stdout", STANDARD_ERROR: "stderr"}


class Standard:
    """Descriptors 1 and 2 of this process: as they came, or led to the file of the log."""

    def __init__(self) -> None:
        self._came: dict[int, int] = {}  # duplicates of what they were, once they lead elsewhere

    @property
    def output(self) -> int:
        """A descriptor of standard output as it came, not to be closed."""
        return self._came.get(STANDARD_OUTPUT, STANDARD_OUTPUT)

    def lead(self, fd: int) -> None:
        """Have both lead to the file of ``fd``, which stays the caller's; -1: to where they led in the beginning.

        Raises OSError.
        """
        if fd >= 0 and not self._came:
            self._came = {number: system.duplicate(number) for number in _NAMES}
        for number in self._came:
            os.dup2(fd if fd >= 0 else self._came[number], number)


class Lines(io.RawIOBase):
    """What is under ``sys.stdout`` or ``sys.stderr``: whole lines, one write for all that come at once.

    Each thread has its own line, so that those of two do not mix. A line is written when it ends; ``flush`` ends it,
    and so does time.
    """

    def __init__(self, fd: int) -> None:
        self.name = f"<{_NAMES[fd]}>"
        # writes what came at once, one line or several; None: it is written as it is
        self.tag: Callable[[str], None] | None = None
        self.sink = Sink(fd, "text")
        self._fd = fd

    def writable(self) -> bool:
        """As a file that somebody prints to: it is."""
        return True

    def fileno(self) -> int:
        """The descriptor itself, for other programs; what is written to it is not tagged."""
        return self._fd

    def isatty(self) -> bool:
        """Whether it leads to a terminal."""
        return os.isatty(self._fd)

    def write(self, data: Any) -> int:
        """Take some bytes; never raises for where they go."""
        data, here = bytes(data), (self._fd, get_ident())
        if not data:
            return 0
        end = data.rfind(b"\n") + 1
        line = begun.pop(here, None)
        if end and holding and self.tag is not None and _goes_on(line, data):
            end = 0
        if end:
            self.put(bytes(line) + data[:end] if line else data[:end])
            line = None
        if end < len(data):
            line = line or bytearray()
            line += data[end:]
            begun[here] = line
            if len(line) > UNENDED_MAX_BYTES:
                self.flush()
        return len(data)

    def flush(self) -> None:
        """Write the line that this thread has begun."""
        _end((self._fd, get_ident()))

    def put(self, data: bytes) -> None:
        """Write whole lines, or one that has to be written without its end."""
        if kept is not None:
            kept(data)
        if self.tag is None:
            self.sink.put(data)
        else:
            self.tag(data.removesuffix(b"\n").decode("utf-8", "backslashreplace"))


def begin(settings: Log, who: Who) -> None:
    """Set up the log of this process, and what the application writes, by these settings; again whenever they
    change.
    """
    logs.setup(settings, who)
    for fd, name in _NAMES.items():
        stream = _streams.get(fd)
        if stream is None:
            stream = _streams[fd] = Lines(fd)
            _replace(name, stream)
        stream.sink = Sink(fd, settings.format)
        stream.tag = _tagger(stream.sink, who, name) if settings.output != "plain" else None


def keep(where: Keep) -> None:
    """In the worker: have what is written from now on kept there too; what its children write is not."""
    global kept
    kept = where


def hold() -> None:
    """In the worker: its loop runs, and settles what waits; from now on a traceback waits for its exception.

    Before that, and in the master, nobody would settle it: its lines are written as they come.
    """
    global holding
    holding = True


def drain() -> None:
    """Write every line that was begun and has not ended: nobody will end it. Never raises."""
    for name in _NAMES.values():
        with contextlib.suppress(Exception):  # None, closed, or the application's own
            getattr(sys, name).flush()
    for key in list(begun):
        _end(key)


def snapshot() -> dict[tuple[int, int], int]:
    """The lines that have begun and not ended, and how long they are: for ``settle``."""
    return {key: len(line) for key, line in list(begun.items())}


def settle(before: dict[tuple[int, int], int]) -> None:
    """Write those that have not grown since the snapshot: nobody may ever end them."""
    for key, size in before.items():
        if len(begun.get(key, b"")) == size:
            _end(key)


def _goes_on(line: bytearray | None, data: bytes) -> bool:
    """Whether a traceback that has begun is not over with this: no line of it is that of the exception."""
    begins = bytes(line[: len(TRACEBACK)]) if line else b""
    if (begins + data[: len(TRACEBACK)])[: len(TRACEBACK)] != TRACEBACK:
        return False
    since = bytes(line[max(0, line.rfind(b"\n")) :]) if line else b""  # what came before was looked at when it came
    return _EXCEPTION.search(since + data) is None


def _forked() -> None:
    """In a child: the parent has the lines that were begun still, a loop that settles them, and a recorder of its
    own.
    """
    global kept, holding
    begun.clear()
    kept, holding = None, False


def _end(key: tuple[int, int]) -> None:
    if line := begun.pop(key, None):
        _streams[key[0]].put(bytes(line))


def _tagger(sink: Sink, who: Who, stream: str) -> Callable[[str], None]:
    def write(text: str) -> None:
        level = "error" if TRACEBACK.decode() in text else "info"
        sink.write(Entry(level, who.tag(), text, process=who.process, release=who.release, stream=stream))

    return write


def _replace(name: str, stream: Lines) -> None:
    """Put a text stream in the place of ``sys.stdout`` or ``sys.stderr``, once: handlers of logging keep what they have
    found.
    """
    with contextlib.suppress(Exception):
        getattr(sys, name).flush()
    # write_through: TextIOWrapper keeps nothing back, and so cannot mix what two threads have begun.
    fresh = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)
    fresh.mode = "w"  # type: ignore[misc]
    setattr(sys, name, fresh)
    setattr(sys, f"__{name}__", fresh)


standard = Standard()
begun: dict[tuple[int, int], bytearray] = {}  # descriptor and thread -> the line that it has begun
holding = False  # a traceback may wait for its exception
kept: Keep | None = None  # keeps the last lines where others find them (`recorder.py`)
os.register_at_fork(after_in_child=_forked)
_streams: dict[int, Lines] = {}
