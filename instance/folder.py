"""A folder that is held open: what is done in it is done there, by name, whatever its path leads to by then.

Standard library only. Methods raise OSError; ELOOP is a link that is not followed.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress

from releve.instance.ownership import open_to, ours

A_LINK = "a symbolic link, in a folder that another user may write in"
WALK = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# Not to wait: for who has a lease on it (F_SETLEASE of fcntl(2)), or for what the kernel has not got to say yet
# (/proc/kmsg).
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_PRIVATE = 0o700


class Folder:
    """A folder held open, whatever its path leads to by now.

    ``why``: why its entries may be somebody else's, in words; None where only root and we can have put them there.
    """

    __slots__ = ("_exchanged", "_sticky", "fd", "path", "why")

    def __init__(self, fd: int, path: str, parent: Folder | None = None) -> None:
        """Takes the descriptor over. ``parent``: the folder that it was entered from; none for ``/``."""
        self.fd = fd
        self.path = path
        seen = os.fstat(fd)
        told: str | None = None
        if parent is not None:
            told = parent._exchanged if parent._sticky and ours(seen) else parent.why
        why = open_to(fd, seen, path)
        self._exchanged: str | None = told  # why the folder itself may be another one than was meant
        self._sticky: bool = told is None and ours(seen) and bool(seen.st_mode & stat.S_ISVTX)
        self.why: str | None = told or why

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its descriptor; again, nothing happens."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def foreign(self) -> bool:
        """Whether its entries may be somebody else's."""
        return self.why is not None

    @property
    def in_proc(self) -> bool:
        """Whether it is in proc(5), whose links the kernel makes, and which lead where no path does."""
        with suppress(OSError):
            return os.fstat(self.fd).st_dev == os.stat("/proc").st_dev
        return False

    def look(self, name: str) -> os.stat_result:
        """What lies there; a link itself."""
        return os.lstat(name, dir_fd=self.fd) if name else os.fstat(self.fd)

    def link(self, name: str) -> str | None:
        """Where a symbolic link points; None for anything else, and nothing."""
        try:
            return os.readlink(name, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise

    def enter(self, name: str) -> Folder:
        """A folder in it, to be closed by the caller; NotADirectoryError also for a link to one, but in proc(5)."""
        follow = 0 if self.in_proc else os.O_NOFOLLOW
        return Folder(os.open(name, WALK | follow, dir_fd=self.fd), os.path.join(self.path, name), self)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor of a file in it, owned by the caller."""
        if not name:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
        follow = 0 if self.in_proc else os.O_NOFOLLOW
        try:
            fd = os.open(name, (flags & ~os.O_TRUNC) | follow | os.O_CLOEXEC, mode, dir_fd=self.fd)
        except OSError as error:
            raise _with_path(error, self._path_of(name)) from error
        try:
            seen = os.fstat(fd)
            if self.foreign and stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
                raise OSError(
                    errno.EMLINK,
                    "a file with a second name, in a folder that another user may write in",
                    self._path_of(name),
                )
            if flags & os.O_TRUNC:
                os.ftruncate(fd, 0)
        except OSError:
            os.close(fd)
            raise
        return fd

    def open_regular(self, name: str) -> int:
        """A descriptor to read a regular file, owned by the caller: no device is touched, and no FIFO waited for."""
        held = self.open(name, os.O_PATH)
        try:
            mode = os.fstat(held).st_mode
            if stat.S_ISLNK(mode):
                raise OSError(errno.ELOOP, A_LINK, self._path_of(name))
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "it is not a file", self._path_of(name))
            return os.open(f"/proc/self/fd/{held}", READ)
        finally:
            os.close(held)

    def make(self, name: str, mode: int) -> bool:
        """Make a folder with this very mode, if there is none; whether there was none.

        FileExistsError for another kind of file.
        """
        try:
            os.mkdir(name, _PRIVATE, dir_fd=self.fd)
        except FileExistsError as error:
            if stat.S_ISDIR(os.stat(name, dir_fd=self.fd).st_mode):
                return False
            raise _with_path(error, self._path_of(name)) from error
        with self.enter(name) as made:
            made.give(mode)
        return True

    def give(self, mode: int, group: int | None = None) -> None:
        """Set the mode, and the group, of the folder itself."""
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            if group is not None:
                os.fchown(fd, -1, group)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)

    def change(self, name: str, mode: int, uid: int = -1, gid: int = -1, inode: tuple[int, int] | None = None) -> None:
        """Set owner, group and mode of what lies there, which must be no link; ``inode``: and be this one (its device
        and number).
        """
        fd = self.open(name, os.O_PATH)
        try:
            seen = os.fstat(fd)
            if stat.S_ISLNK(seen.st_mode):
                raise OSError(errno.ELOOP, "it is a symbolic link", self._path_of(name))
            if inode is not None and (seen.st_dev, seen.st_ino) != inode:
                raise FileNotFoundError(errno.ENOENT, "another file is there", self._path_of(name))
            by_descriptor = f"/proc/self/fd/{fd}"  # the one way to change a socket's file, and none other's
            if (uid, gid) != (-1, -1):
                os.chown(by_descriptor, uid, gid)
            os.chmod(by_descriptor, mode)
        finally:
            os.close(fd)

    def rename(self, name: str, other: str, to: Folder | None = None) -> None:
        """Give it another name, in place of what has that name; ``to``: in another folder."""
        os.rename(name, other, src_dir_fd=self.fd, dst_dir_fd=(to or self).fd)

    def remove(self, name: str) -> None:
        """Remove a name that is no folder's. FileNotFoundError if there is none."""
        os.unlink(name, dir_fd=self.fd)

    def write(self, name: str, data: bytes, mode: int, *, sync: bool = False) -> None:
        """Put a file there, whole or not at all, in place of what has that name; ``sync``: and on the disk, before it
        has the name.
        """
        beside = f".{name}.{os.getpid()}"
        with suppress(FileNotFoundError):
            self.remove(beside)
        fd = self.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with open(fd, "wb") as file:
                os.fchmod(fd, mode)
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(fd)
            self.rename(beside, name)
        except OSError:
            with suppress(OSError):
                self.remove(beside)
            raise

    def read_ours(self, name: str, most_bytes: int) -> bytes:
        """The beginning of a file that only root or we can have written; PermissionError for one of somebody else."""
        with open(self.open_regular(name), "rb") as file:
            seen = os.fstat(file.fileno())
            if self.foreign or not ours(seen) or seen.st_mode & stat.S_IWOTH:
                raise PermissionError(errno.EPERM, "another user may have written it", self._path_of(name))
            return file.read(most_bytes)

    def bind(self, sock: socket.socket, name: str, path: str = "") -> tuple[int, int]:
        """Bind a Unix socket to a new name here, with mode 0600: its device and number, by which ``change`` gives it to
        others.

        ``path``: this folder and the name, as people know them. Where somebody else may write, the socket is made in a
        folder of its own and moved here, so that it is certain which file it is.
        """
        if not self.foreign:
            return self._bind_new(sock, name, path or self._path_of(name))
        nest = f".{os.urandom(6).hex()}"
        os.mkdir(nest, _PRIVATE, dir_fd=self.fd)
        try:
            with self.enter(nest) as folder:
                seen = os.fstat(folder.fd)
                if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o077:
                    raise PermissionError(
                        errno.EPERM, "another user replaces what is created in this folder", self.path
                    )
                inode = folder._bind_new(sock, "s", f"/proc/self/fd/{folder.fd}/s")
                folder.rename("s", name, self)
        finally:
            with suppress(OSError):
                os.rmdir(nest, dir_fd=self.fd)
        return inode

    def _bind_new(self, sock: socket.socket, name: str, path: str) -> tuple[int, int]:
        mask = os.umask(0o177)  # reachable for nobody else, not even for a moment
        try:
            sock.bind(path)
        finally:
            os.umask(mask)
        return self.inode(name)

    def inode(self, name: str) -> tuple[int, int]:
        """Device and number of what lies there; a link itself."""
        seen = self.look(name)
        return seen.st_dev, seen.st_ino

    def free(self, name: str) -> bool:
        """Whether nothing has that name."""
        try:
            self.look(name)
        except FileNotFoundError:
            return True
        return False

    def holds(self, name: str, inode: tuple[int, int] | None) -> bool:
        """Whether exactly this lies there."""
        try:
            return self.inode(name) == inode
        except FileNotFoundError:
            return False

    def _path_of(self, name: str) -> str:
        return os.path.join(self.path, name)


def _with_path(error: OSError, path: str) -> OSError:
    return type(error)(error.errno, A_LINK if error.errno == errno.ELOOP else error.strerror, path)
