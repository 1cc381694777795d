"""The lock in the runtime directory: two supervisors never own one service.

An flock(2) on the file ``lock``, which the kernel drops with the process; the
file stays, and its text (a pid) is for people only. The descriptor is
close-on-exec, so no master or worker can keep the lock alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path

from releve.supervisor import instances, paths
from releve.supervisor.instances import LOCK_NAME

# What a supervisor puts into its runtime directory; listening sockets of the configuration may be there too, whoever owns those.
_WRITTEN = r"(?:instance\.json|guard\.pid|hook\.pid|gen-\d+\.json)"
_OURS = re.compile(rf"lock|ctl\.sock|gen-\d+\.sock|{_WRITTEN}|\.{_WRITTEN}\.\d+")


# Others can reach listening sockets in it, and the control socket only to be refused: nobody sees what else there is.
OPEN_TO_PASS = instances.Access(0o711)


class LockError(Exception):
    """The directory cannot be used, or the lock cannot be taken; nothing was changed."""


class LockHeld(LockError):
    """Another supervisor owns the service. ``pid`` is its process id, or None if it is not known."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class RuntimeLock:
    """The lock, held from ``acquire`` until ``release`` or the end of the process."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, directory: Path | str, access: instances.Access = OPEN_TO_PASS) -> RuntimeLock:
        """Take the lock of a runtime directory, making the directory if it is not there.

        Raises LockHeld if a supervisor has it, LockError if the folder cannot be used, or if somebody else has put something of
        ours there.
        """
        try:
            instances.prepare(Path(directory), os.geteuid(), access)
            _refuse_planted(directory)
        except instances.InstanceError as error:
            raise LockError(str(error)) from error
        path = os.path.join(directory, LOCK_NAME)
        while True:
            try:
                fd = paths.open_file(path, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                raise LockError(f"cannot open {path}: {(error.strerror or str(error)).lower()}") from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is(path, fd):
                    # Only for people, so a full disk does not matter.
                    with contextlib.suppress(OSError):
                        os.ftruncate(fd, 0)
                        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
                    return cls(path, fd)
                os.close(fd)  # somebody removed the file meanwhile: what we hold protects nothing
            except OSError as error:
                pid = _read_pid(fd)
                os.close(fd)
                if not isinstance(error, BlockingIOError):
                    raise LockError(f"cannot lock {path}: {(error.strerror or str(error)).lower()}") from error
                who = f"the supervisor with pid {pid}" if pid else "another supervisor"
                raise LockHeld(
                    f"cannot start: {who} already runs this service (it holds {path}); it goes on serving. "
                    "Use ctl upgrade for new code, ctl stop to end it, or give this one a runtime_directory of its own",
                    pid,
                ) from error

    @classmethod
    def held(cls, directory: Path | str, fd: int) -> RuntimeLock:
        """The lock that this process holds already, by a descriptor of the program before us."""
        return cls(os.path.join(directory, LOCK_NAME), fd)

    def fileno(self) -> int:
        """The descriptor that holds it."""
        return self._fd

    def release(self) -> None:
        """Give the lock up; the file stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _refuse_planted(directory: Path | str) -> None:
    """Raises LockError for a link, or a file of somebody else, in the place of one of ours."""
    try:
        found = [os.path.join(directory, name) for name in os.listdir(directory) if _OURS.fullmatch(name)]
        reason = next(filter(None, (instances.planted(path, os.geteuid()) for path in found)), None)
    except OSError as error:
        raise LockError(f"cannot look into {directory}: {(error.strerror or str(error)).lower()}") from error
    if reason is not None:
        raise LockError(f"cannot use {directory}: {reason}; see who can write there, and remove it, or choose another runtime_directory")


def _is(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _read_pid(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None
