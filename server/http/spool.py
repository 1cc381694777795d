"""In the worker: bodies of requests that their clients send slowly, in files, so that no thread waits for them.

A file has no name (O_TMPFILE): nothing of it is left, whatever ends the worker. All of a worker together keep up to
``limits.spool``; what a file holds counts until its request is over.
"""

from __future__ import annotations

import errno
import logging

from releve.server.shared.native import os, time

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
SCARCE = frozenset({errno.EMFILE, errno.ENFILE})
QUIET_S = 60.0  # between two lines of the log on files that cannot be written

log = logging.getLogger("releve.worker")


def spool_directory(configured: str | None) -> str:
    """Where the files are: as configured, else ``$TMPDIR``, ``/var/tmp`` or ``/tmp``, the first that can be used; with
    none, whoever needs a file is told.

    Not ``/tmp`` first: where that is a tmpfs, what is there is in memory.
    """
    if configured is not None:
        return configured
    for folder in (os.environ.get("TMPDIR"), "/var/tmp", "/tmp"):
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return "/var/tmp"


class Spool:
    """One file: the beginning of a body, to its end or not.

    Written by the loop, then read by the thread that has the request.

    Closed when nobody refers to it any more, and not before: a thread that the application has started may be reading.
    """

    __slots__ = ("_fd", "_read_bytes", "written_bytes")

    def __init__(self, directory: str) -> None:
        """``directory``: where the file lies, without a name. Raises OSError."""
        self._fd = -1
        self._fd = _unnamed(directory)
        self.written_bytes = 0
        self._read_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of it. Raises OSError; then the file is of no more use."""
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self.written_bytes += written
            view = view[written:]

    def read(self, limit: int) -> bytes:
        """The next bytes, ``b""`` after the last one."""
        data = os.pread(self._fd, limit, self._read_bytes)
        self._read_bytes += len(data)
        return data

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class Spools:
    """In the leader: the files of one worker, and how much they may hold."""

    def __init__(self, directory: str, limit_bytes: int) -> None:
        """With a limit of 0 there are none."""
        self.directory = directory
        self._limit_bytes = limit_bytes
        self.used_bytes = 0
        self._complained_at = float("-inf")

    def take(self, count: int) -> bool:
        """Reserve room for so many bytes. False: there is not so much."""
        if self.used_bytes + count > self._limit_bytes:
            return False
        self.used_bytes += count
        return True

    def release(self, count: int) -> None:
        """A request is over that had so much."""
        self.used_bytes -= count

    def complain(self, error: OSError) -> None:
        """A file could not be made or written: one line for all that are refused in a minute."""
        now = time.monotonic()
        if now - self._complained_at < QUIET_S:
            return
        self._complained_at = now
        if error.errno in FULL:
            what = "free some space, or change spool_directory"
        elif error.errno in SCARCE:
            what = "raise LimitNOFILE (ulimit -n)"
        else:
            what = "create the folder and let the service's user write there, or change spool_directory"
        log.error(
            "refusing request bodies with status 503: cannot store them in %s: %s; %s",
            self.directory,
            error.strerror,
            what,
        )


def _unnamed(directory: str) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    # A file system that has no such files. Not `tempfile`, whose import costs a start 2 ms.
    path = os.path.join(directory, f"releve-body-{os.urandom(16).hex()}")
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd
