"""The file that the access log goes to: opened here, written by the workers, who may run as a user that cannot open it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from releve.supervisor.failure import StepFailed

MODE = 0o640
# Not to wait for the reader of a FIFO (fifo(7)): without one, it cannot be opened.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def open_access_file(path: str | None) -> int:
    """A descriptor to append to ``log.access``, owned by the caller; -1 if it is off or standard output. Raises StepFailed."""
    if path is None or path == "-":
        return -1
    try:
        return os.open(path, _FLAGS, MODE)
    except OSError as error:
        reason = f"cannot open the access log {path}: {error.strerror}; mend log.access, or the folder that it names"
        raise StepFailed("log", reason) from error


@contextmanager
def lent_access_file(path: str | None) -> Iterator[list[int]]:
    """The same descriptor, if there is one, for as long as it takes to send it. Raises StepFailed."""
    fd = open_access_file(path)
    try:
        yield [] if fd < 0 else [fd]
    finally:
        if fd >= 0:
            os.close(fd)
