"""The crashes of a generation: processes that a fatal signal has ended, and of what faulthandler wrote, what is to be
told.
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import releve.server
from releve.config.frozen import dataclass
from releve.supervisor.channels.crash_file import CrashFile
from releve.supervisor.reporting.log import log

# Those that faulthandler writes at; signal(7).
SIGNALS = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL})
KEPT = 5
_HEAD_MAX = 100  # characters
_NO_PYTHON = "C stack trace (most recent call first):"
_FRAMES_MAX = 20
# at either end of a head, and characters: whoever crashes may write anything, and ctl is told it
_HEAD_LINES, _LINE_MAX = 4, 250
_FRAME = re.compile(r'  File "(?P<file>.*)", line \d+ in .*')
_OWN = os.path.dirname(releve.server.__file__)
_OURS = re.compile(rf"<frozen |/importlib/__init__\.py$|/threading\.py$|/releve/server/|^{re.escape(_OWN)}/")


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


class Crashes:
    """The crashes of one generation. Lives in the supervisor's loop; owns the crash file."""

    def __init__(self, file: CrashFile) -> None:
        self.file = file
        self.recent: deque[Crash] = deque(maxlen=KEPT)
        self.on_crash: Callable[[Crash], None] = lambda crash: None

    def note(self, words: str, tag: Mapping[str, str], *, booting: bool = False) -> None:
        """A process has ended by a fatal signal: keep its stack, and log it.

        ``words`` say which and how, ``tag`` whose it is in the log. Of a boot, the attempt logs why it has failed.
        """
        text = self.file.next()
        found = stack(text) if text else ""
        if not found and self.file.elsewhere:
            found = "(no stack: the application's own faulthandler writes it, to another file)"
        whole = bool(text) and self.file.wants_all
        if (not booting or whole) and log.isEnabledFor(logging.ERROR):
            shown = text if whole else found
            log.handle(
                log.makeRecord(log.name, logging.ERROR, __file__, 0, words, (), None, extra=tag, sinfo=shown or None)
            )
        crash = Crash(time.time(), words, found)
        self.recent.append(crash)
        self.on_crash(crash)

    def stack(self) -> str:
        """The stack of the last process that crashed; empty if none did."""
        self.file.look()
        return stack(self.file.last) if self.file.last else ""

    def forget(self) -> None:
        """What has crashed until now is no evidence against what is about to be tried."""
        self.file.forget()

    def close(self) -> None:
        """Read what is left in the file, and close it."""
        self.file.close()
