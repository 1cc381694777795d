"""Runtime and state directories: made, and whether what lies in one may be believed.

Standard library only; only ``prepare`` changes anything.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from releve.config.frozen import dataclass
from releve.instance import ownership, paths
from releve.instance.instances import InstanceError
from releve.server.shared.runtime import LOCK_NAME

_REMEDY = "choose another with runtime_directory or state_directory in the configuration"


@dataclass(frozen=True, slots=True)
class Access:
    """What others may do in a folder: the mode it is made with, and the group whose members have to come in."""

    mode: int = 0o700
    group: int | None = None


PRIVATE = Access()


def prepare(directory: Path, uid: int, access: Access = PRIVATE) -> None:
    """Make a runtime or state directory, or verify one that is there.

    Whoever can write in it could put up a socket or a history of their own. Raises InstanceError if it or the folder
    around it belongs to somebody else or is open to everybody, or if it cannot be made.
    """
    try:
        for folder in reversed(directory.parents[1:]):
            if not folder.is_dir():
                paths.make_folder(folder, 0o755)
        paths.make_folder(directory.parent, 0o755 if uid == 0 else 0o700 if access.group is None else 0o711)
        paths.make_folder(directory, access.mode)
        reason = untrusted(directory, uid)
        if reason is None and access != PRIVATE:
            reason = _open_to(directory, uid, access)
    except FileExistsError as error:
        raise InstanceError(f"cannot use {directory}: {error.filename} is not a folder; {_REMEDY}") from error
    except OSError as error:
        raise InstanceError(f"cannot make {directory}: {_why(error)}; {_REMEDY}") from error
    if reason is not None:
        raise InstanceError(f"cannot use {directory}: {reason}; {_REMEDY}")


def blocked(directory: Path, group: int) -> Path | None:
    """The first folder on the way to ``directory`` that members of a group may not pass, as far as modes tell."""
    for folder in reversed(directory.parents):
        seen = os.stat(folder)
        if not (seen.st_mode & stat.S_IXOTH or (seen.st_mode & stat.S_IXGRP and seen.st_gid == group)):
            return folder
    return None


def planted(path: str | os.PathLike[str], uid: int, *, links: bool = False) -> str | None:
    """Why a file that is there cannot be one of ours, or None (also if there is none).

    Raises OSError if it cannot be looked at.

    ``links``: ours may be a symbolic link.
    """
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(seen.st_mode) and not links:
        return f"{path} is a symbolic link"
    return None if seen.st_uid in (0, uid) else f"{path} belongs to {ownership.user(seen.st_uid)}"


def untrusted(directory: Path, uid: int) -> str | None:
    """Why nothing in ``directory`` may be believed, or None. Raises OSError if it cannot be looked at."""
    for folder, sticky_helps in ((directory, False), (directory.parent, True)):
        seen = os.stat(folder) if sticky_helps else os.lstat(folder)
        if stat.S_ISLNK(seen.st_mode) and seen.st_uid in (0, uid):
            seen = os.stat(folder)
        if not stat.S_ISDIR(seen.st_mode):
            return f"{folder} is not a folder"
        if seen.st_uid not in (0, uid):
            return f"{folder} belongs to {ownership.user(seen.st_uid)}"
        if seen.st_mode & stat.S_IWOTH and not (sticky_helps and seen.st_mode & stat.S_ISVTX):
            return f"every user may write in {folder}"
    if uid != os.geteuid():
        return None
    with paths.folder(directory) as found:  # somebody further up could put another one in its place
        return found.why


def _open_to(directory: Path, uid: int, access: Access) -> str | None:
    """Give a runtime directory its mode; why that cannot be. One that holds what is not ours keeps the one it has."""
    seen = os.stat(directory)
    names = os.listdir(directory)
    if seen.st_uid == uid and (not names or os.path.isfile(directory / LOCK_NAME)):
        if stat.S_IMODE(seen.st_mode) != access.mode:
            with paths.folder(directory) as folder:
                folder.give(access.mode, None)
        return None
    if (
        access.group is None
        or seen.st_mode & stat.S_IXOTH
        or (seen.st_mode & stat.S_IXGRP and seen.st_gid == access.group)
    ):
        return None
    return (
        f"members of control_group may not enter it, and Relève does not own it; chgrp {access.group} and chmod g+x it"
    )


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
