"""The record of a generation: its keepsake as a file that nobody but the supervisor's user can read or write.

Where a release may do less than the supervisor, its processes are not asked what they are: the next supervisor goes by
this file (``gen-N.json`` beside the door in the runtime directory), and takes nothing from the master but descriptors.
It is there whole or not at all. Environments are in it: the folder had better be in memory, as ``/run`` is.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from releve.instance import paths
from releve.server.shared.runtime import RECORD_NAME, RECORD_SUFFIX

MAX_BYTES = 16 * 1024 * 1024


class RecordError(Exception):
    """There is something that must not be believed."""


def beside(door: Path) -> Path:
    """Where the record of a generation is, by the path of its door."""
    return door.with_suffix(RECORD_SUFFIX)


def write(path: Path, data: bytes) -> None:
    """Put a record there, in place of the one before. Raises OSError."""
    with paths.parent(path) as (folder, name):
        folder.write(name, data, 0o600)


def read(path: Path) -> bytes | None:
    """What is recorded; None if nothing is. Raises RecordError for a file that somebody else may have written."""
    try:
        with paths.parent(path) as (folder, name):
            fd = folder.open(name, os.O_RDONLY | os.O_NONBLOCK)
            foreign = folder.foreign
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordError(f"cannot open {path}: {(error.strerror or str(error)).lower()}") from error
    with open(fd, "rb") as file:
        seen = os.fstat(fd)
        if (
            foreign
            or not stat.S_ISREG(seen.st_mode)
            or seen.st_uid != os.geteuid()
            or seen.st_mode & 0o077
            or seen.st_nlink != 1
        ):
            raise RecordError(f"cannot trust {path}: others could have written it")
        return file.read(MAX_BYTES)


def remove(path: Path) -> None:
    """Take a record away, if there is one. Never raises."""
    with suppress(OSError):
        paths.remove(path)


def sweep(runtime: Path, living: set[int]) -> None:
    """Remove the records of all other generations. Never raises."""
    with suppress(OSError):
        for name in os.listdir(runtime):
            found = RECORD_NAME.fullmatch(name)
            if found is not None and (found[1] is None or int(found[1]) not in living):
                remove(runtime / name)
