"""The crash file: what faulthandler wrote when a process of a generation was ended by a signal.

One memfd per generation; SIGABRT makes a hung import say where it hangs.
"""

from __future__ import annotations

import os
import re

_BYTES_MAX = 65536
_FRAMES_MAX = 20
_FRAME = re.compile(r'  File "(?P<file>.*)", line \d+ in .*')
_OURS = re.compile(
    r"<frozen |/importlib/__init__\.py$|/server/(application|master|crew|nursery|fork|worker|lend|__main__)\.py$|<frozen runpy>"
)


def open_crash_file() -> int:
    """A new crash file (close-on-exec); the caller owns it."""
    return os.memfd_create("releve-crash", os.MFD_CLOEXEC)


def read_crash_file(fd: int) -> str:
    """The application's part of the stack, most recent call last as in any traceback; empty if nothing crashed."""
    text = os.pread(fd, _BYTES_MAX, 0).decode("utf-8", "replace").strip()
    if not text:
        return ""
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
