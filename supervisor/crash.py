"""The crash file: what faulthandler wrote when a process of a generation was ended by a signal, or asked for its stacks.

One memfd per generation; SIGABRT makes a hung import say where it hangs. What was asked for (``dump.py``) is cut off
again once it is read; should some of it come late, it is not taken for a crash.
"""

from __future__ import annotations

import fcntl
import os
import re

_BYTES_MAX = 65536
_TAKEN_MAX_BYTES = 4 * 1024 * 1024
_FRAMES_MAX = 20
_FATAL = "Fatal Python error"  # what a crash begins with, and stacks that were asked for do not
_FRAME = re.compile(r'  File "(?P<file>.*)", line \d+ in .*')
_OURS = re.compile(
    r"<frozen |/importlib/__init__\.py$|/server/(application|master|crew|nursery|fork|worker|lend|__main__)\.py$|<frozen runpy>"
)


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


def read_crash_file(fd: int) -> str:
    """The application's part of the stack, most recent call last as in any traceback; empty if nothing crashed."""
    _, fatal, rest = os.pread(fd, _BYTES_MAX, 0).decode("utf-8", "replace").partition(_FATAL)
    if not fatal:
        return ""
    text = fatal + rest.strip()
    head, frames = [], []
    threads = 0
    for line in text.splitlines():
        if line.startswith(("Thread ", "Current thread ")):
            threads += 1
        elif not threads:
            head.append(line)
        elif threads == 1 and (found := _FRAME.fullmatch(line)) and not _OURS.search(found["file"]):
            frames.append(line)
    return "\n".join([*(line for line in head if line), *reversed(frames[:_FRAMES_MAX])])
