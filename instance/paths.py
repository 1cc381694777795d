"""Paths that somebody else may have a hand in: walked step by step, and acted on by name in a folder that is held open.

A supervisor of root opens, makes, renames and removes files where users with less may write: a log in a folder of the
application's, a socket in its run folder. Whoever may write in a folder on the way could put a symbolic link there, at
any moment, and have root act somewhere else. So links are followed only in folders that nobody but root and we can
write in; from the first one on that somebody else can, a link is refused (docs/adr/0033-safe-paths.md). Every module of
the supervisor that changes a file does so through here (tests/instance/test_paths.py).

Standard library only. Functions raise OSError; ELOOP is a link that is not followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from releve.instance.folder import A_LINK, READ, WALK, Folder

Path = str | os.PathLike[str]

LINKS_MAX = 40  # as the kernel: path_resolution(7)


def folder(path: Path) -> Folder:
    """The folder at an absolute path, to be closed by the caller."""
    return _walk(os.fspath(path), last=False)[0]


def locate(path: Path) -> tuple[Folder, str]:
    """The folder in which the file at an absolute path lies, to be closed by the caller, and its name there.

    The end of the path may be a link too, where links are followed: then it is what that leads to.
    """
    return _walk(os.fspath(path), last=True)


@contextmanager
def parent(path: Path) -> Iterator[tuple[Folder, str]]:
    """The folder of a path, and the last name of it, which may be a link itself."""
    above, name = os.path.split(os.fspath(path))
    with folder(above) as found:
        yield found, name


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the file at an absolute path, owned by the caller."""
    found, name = locate(path)
    with found:
        return found.open(name, flags, mode)


def open_regular(path: Path, also_of: int | None = None) -> int:
    """A descriptor to read the regular file at an absolute path, owned by the caller: no device is touched, and no FIFO
    waited for.

    ``also_of``: a user whose own files are read through any link.
    """
    try:
        found, name = locate(path)
        with found:
            return found.open_regular(name)
    except OSError as error:
        if error.errno != errno.ELOOP or also_of is None:
            raise
        held = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            seen = os.fstat(held)
            if seen.st_uid != also_of or not stat.S_ISREG(seen.st_mode):
                raise
            return os.open(f"/proc/self/fd/{held}", READ)
        finally:
            os.close(held)


def make_folder(path: Path, mode: int) -> bool:
    """Make a folder with this very mode in one that is there; whether it was not there.

    FileExistsError for another kind of file.
    """
    with parent(path) as (above, name):
        return above.make(name, mode) if name else False


def remove(path: Path) -> None:
    """Remove the file at a path, or the link. FileNotFoundError if there is none."""
    with parent(path) as (above, name):
        above.remove(name)


def inode(path: Path) -> tuple[int, int] | None:
    """Device and number of what lies at a path, a link itself; None where that cannot be told."""
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _walk(path: str, *, last: bool) -> tuple[Folder, str]:
    """Step by step from the root; ``last``: not into the last name, but to its folder."""
    if not os.path.isabs(path):
        raise OSError(errno.EINVAL, "it is not an absolute path", path)
    here = Folder(os.open("/", WALK), "/")
    todo = path.split("/")[::-1]
    links = 0
    try:
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == ".." and here.foreign:
                raise OSError(errno.ELOOP, "'..' leads out of a folder that another user may write in", path)
            target = None if here.in_proc else here.link(name)
            if target is not None:
                links += 1
                if here.foreign or links > LINKS_MAX:
                    raise OSError(
                        errno.ELOOP, A_LINK if here.foreign else os.strerror(errno.ELOOP), os.path.join(here.path, name)
                    )
                todo += target.split("/")[::-1]
                if os.path.isabs(target):
                    here.close()
                    here = Folder(os.open("/", WALK), "/")
            elif last and not any(todo):
                return here, name
            else:
                below = here.enter(name)
                here.close()
                here = below
    except BaseException:
        here.close()
        raise
    return here, ""
