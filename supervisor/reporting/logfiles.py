"""The log files: opened here, written by masters and workers, who may run as a user that cannot open them.

Each is opened to append: whole lines of many processes do not mix, and a file that is truncated under them is filled
from its beginning. Which file lies at a path now is asked again from time to time: after a rename by logrotate it is
another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from releve.config.frozen import dataclass
from releve.config.settings.log import Log
from releve.instance import paths as trusted
from releve.supervisor.reporting.failure import StepFailed

MODE = 0o640
# Not to wait for the reader of a FIFO (fifo(7)): without one, it cannot be opened.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

# name on the link (server/prefork/boot.py) -> the key that says where it is, in words
KINDS = {"access": ("log.access", "the access log"), "log": ("log.file", "the log")}


def paths(log: Log) -> dict[str, str]:
    """Where the log files of some settings are, by name; what is no file (off, a standard stream) is left out."""
    return {name: path for name, path in (("access", log.access), ("log", log.file)) if path not in (None, "-")}


def open_file(name: str, path: str) -> int:
    """A descriptor to append to a log file, owned by the caller. Raises StepFailed."""
    key, words = KINDS[name]
    try:
        return trusted.open_file(path, _FLAGS, MODE)
    except OSError as error:
        raise StepFailed(
            "log", f"cannot open {words} {path}: {error.strerror}; change {key}, or the mode of the folder"
        ) from error


@dataclass(slots=True)
class Held:
    """What was opened last at a path.

    ``inode``: its device and number; None where it is no regular file, which nobody rotates.
    """

    path: str
    inode: tuple[int, int] | None
    missing: bool = False  # when it was asked last

    @classmethod
    def of(cls, path: str, fd: int) -> Held:
        """What a descriptor that was opened at a path leads to."""
        found = os.fstat(fd)
        return cls(path, (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None)

    def rotated(self) -> bool:
        """Whether another file lies there now.

        One that is missing counts when it is so twice: logrotate makes it after the rename.
        """
        if self.inode is None:
            return False
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            again, self.missing = self.missing, True
            return again
        except OSError:
            return False
        self.missing = False
        return (found.st_dev, found.st_ino) != self.inode


class LentFiles:
    """The log files of one generation, by its revisions: opened for it, and remembered once it has them."""

    def __init__(self) -> None:
        self._held: dict[int, dict[str, Held]] = {}

    @contextmanager
    def lent(self, revision: int, log: Log, known: Iterable[str]) -> Iterator[dict[str, int]]:
        """The files of some settings by name, in order, for as long as it takes to send them. Raises StepFailed.

        ``known`` are the keys that the release of the generation has.
        """
        known = set(known)
        with self._opened(
            revision, {name: path for name, path in paths(log).items() if KINDS[name][0] in known}
        ) as files:
            yield files

    @contextmanager
    def renewed(self, revision: int) -> Iterator[dict[str, int]]:
        """The files that lie at the paths of a revision now, as ``lent``.

        Raises StepFailed; what fails in it is tried again.
        """
        before = self._held.get(revision, {})
        try:
            with self._opened(revision, {name: held.path for name, held in before.items()}) as files:
                yield files
        except BaseException:
            self._held[revision] = before
            raise

    def adopt(self, revision: int, log: Log) -> None:
        """Of a generation that another supervisor has left: which files its processes have open is not known."""
        self._held[revision] = {name: Held(path, (0, 0)) for name, path in paths(log).items()}

    def keep(self, revisions: Iterable[int]) -> list[int]:
        """Forget the revisions that nobody is left of; those that have files."""
        kept = set(revisions)
        self._held = {number: held for number, held in self._held.items() if number in kept}
        return [number for number, held in self._held.items() if held]

    def rotated(self) -> bool:
        """Whether other files have taken the place of any of them."""
        # each one is asked, since it takes note
        return sum(held.rotated() for files in self._held.values() for held in files.values()) > 0

    @contextmanager
    def _opened(self, revision: int, wanted: Mapping[str, str]) -> Iterator[dict[str, int]]:
        files: dict[str, int] = {}
        try:
            for name, path in wanted.items():
                files[name] = open_file(name, path)
            self._held[revision] = {name: Held.of(wanted[name], fd) for name, fd in files.items()}
            yield files
        finally:
            for fd in files.values():
                os.close(fd)
