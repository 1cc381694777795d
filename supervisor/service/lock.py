"""The lock of the runtime directory: two supervisors never own one service.

An flock(2) on the file ``lock`` and on the directory itself, which the kernel drops with the process. The file stays,
and its text (a pid) is for people only. The directory's is for those who clean up: systemd-tmpfiles passes over a
directory that is locked (tmpfiles.d(5)); and it holds where the file was removed all the same. Where both were, there
is still the control socket, which the kernel knows by its path as long as somebody listens. The descriptors are
close-on-exec, so no master or worker can keep the lock alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from releve.instance import directories, holders, instances, paths
from releve.server.shared.runtime import LOCK_NAME, SOCKET_NAME, is_ours
from releve.server.shared.system import lock_holders

_CLEANER_S = 2.0  # how long a directory may be locked by one who cleans up
_AGAIN_S = 0.05

# Others can reach listening sockets in it, and the control socket only to be refused: nobody sees what else there is.
OPEN_TO_PASS = directories.Access(0o711)


class LockError(Exception):
    """The directory cannot be used, or the lock cannot be taken; nothing was changed."""


class LockHeld(LockError):
    """Another supervisor owns the service. ``pid`` is its process id, or None if it is not known."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class RuntimeLock:
    """The lock, held from ``acquire`` until ``release`` or the end of the process."""

    def __init__(self, directory: Path, access: directories.Access, fd: int = -1) -> None:
        """``fd``: of the file, if it is held already."""
        self.directory = directory
        self.path = os.path.join(directory, LOCK_NAME)
        self._access = access
        self._fd = fd
        self._folder = -1

    @classmethod
    def acquire(cls, directory: Path | str, access: directories.Access = OPEN_TO_PASS) -> RuntimeLock:
        """Take the lock of a runtime directory, making the directory if it is not there.

        Raises LockHeld if a supervisor has it, LockError if the folder cannot be used, or if somebody else has put
        something of ours there.
        """
        lock = cls(Path(directory), access)
        limit = time.monotonic() + _CLEANER_S
        while True:
            try:
                lock._take()
                break
            except LockHeld as error:
                if (error.pid is not None and _lives(error.pid)) or time.monotonic() > limit:
                    raise
            time.sleep(_AGAIN_S)
        pid = holders.listening(os.path.join(directory, SOCKET_NAME))
        if pid is not None:
            lock.release()
            raise _held(f"it listens on {os.path.join(directory, SOCKET_NAME)}", pid)
        return lock

    @classmethod
    def held(cls, directory: Path | str, fd: int, access: directories.Access = OPEN_TO_PASS) -> RuntimeLock:
        """The lock that this process holds already, by a descriptor of the program before us."""
        lock = cls(Path(directory), access, fd)
        with contextlib.suppress(LockError):  # it is tried again
            lock.renew()
        return lock

    def fileno(self) -> int:
        """The descriptor that holds it."""
        return self._fd

    def renew(self) -> bool:
        """Make the directory and the file again where they have gone, and lock them; whether anything had.

        Raises LockError as ``acquire``; then what is held is held.
        """
        if _is(self.path, self._fd) and _is(str(self.directory), self._folder):
            return False
        self._take()
        return True

    def release(self) -> None:
        """Give the lock up; the file stays."""
        for fd in (self._fd, self._folder):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder = -1

    def _take(self) -> None:
        """Lock what lies there now. Raises LockError, and then what was held is held."""
        try:
            directories.prepare(self.directory, os.geteuid(), self._access)
            _refuse_planted(self.directory)
        except instances.InstanceError as error:
            raise LockError(str(error)) from error
        file = self._fd if _is(self.path, self._fd) else self._lock_file()
        try:
            folder = self._folder if _is(str(self.directory), self._folder) else self._lock_folder()
        except LockError:
            if file != self._fd:
                os.close(file)
            raise
        for before, now in ((self._fd, file), (self._folder, folder)):
            if before not in (-1, now):
                os.close(before)
        self._fd, self._folder = file, folder

    def _lock_file(self) -> int:
        while True:
            fd = _open(self.path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is(self.path, fd):
                    # Only for people, so a full disk does not matter.
                    with contextlib.suppress(OSError):
                        os.ftruncate(fd, 0)
                        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
                    return fd
                os.close(fd)  # somebody removed the file meanwhile: what we hold protects nothing
            except OSError as error:
                pid = _read_pid(fd) or next(filter(None, lock_holders(fd)), None)
                os.close(fd)
                if not isinstance(error, BlockingIOError):
                    raise LockError(f"cannot lock {self.path}: {(error.strerror or str(error)).lower()}") from error
                raise _held(f"it holds {self.path}", pid) from error

    def _lock_folder(self) -> int:
        """Raises LockHeld, without a pid where nobody is known who could be a supervisor."""
        fd = _open(str(self.directory), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = holders.listening(str(self.directory / SOCKET_NAME))
            os.close(fd)
            raise _held(f"it holds {self.directory}", pid) from error
        except OSError:
            pass  # a file system without: the file has to do
        return fd


def _lives(pid: int) -> bool:
    """Whether there is such a process.

    Of one that has just ended, a process that looks through /proc may keep a file open for a moment.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _held(how: str, pid: int | None) -> LockHeld:
    who = f"the supervisor with pid {pid}" if pid else "another supervisor"
    return LockHeld(
        f"cannot start: {who} already runs this service ({how}), and keeps serving. "
        "Use ctl upgrade for new code, ctl stop to stop it, or set another runtime_directory for this one",
        pid,
    )


def _open(path: str, flags: int) -> int:
    try:
        return paths.open_file(path, flags)
    except OSError as error:
        raise LockError(f"cannot open {path}: {(error.strerror or str(error)).lower()}") from error


def _refuse_planted(directory: Path) -> None:
    """Raises LockError for a link, or a file of somebody else, in the place of one of ours."""
    try:
        found = [os.path.join(directory, name) for name in os.listdir(directory) if is_ours(name)]
        reason = next(filter(None, (directories.planted(path, os.geteuid()) for path in found)), None)
    except OSError as error:
        raise LockError(f"cannot read {directory}: {(error.strerror or str(error)).lower()}") from error
    if reason is not None:
        raise LockError(
            f"cannot use {directory}: {reason}; check who can write there, and remove it, or choose "
            "another runtime_directory"
        )


def _is(path: str, fd: int) -> bool:
    """Whether a descriptor is of what lies at a path."""
    try:
        return fd >= 0 and os.path.samestat(os.stat(path), os.fstat(fd))
    except OSError:
        return False


def _read_pid(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None
