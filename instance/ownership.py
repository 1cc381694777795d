"""Whom a file belongs to, and who else may have put it where it lies. Standard library only."""

from __future__ import annotations

import grp
import os
import pwd
import stat

_ACCESS_LIST = "system.posix_acl_access"  # acl(5)


def ours(seen: os.stat_result) -> bool:
    """Whether a file belongs to root or to us; or to nobody that there is in our user namespace."""
    return seen.st_uid in (0, os.geteuid()) or not _mapped(seen.st_uid)


def open_to(fd: int, seen: os.stat_result, path: str) -> str | None:
    """Why others may write in a folder; None where they may not."""
    if not ours(seen):
        return f"{path} belongs to {user(seen.st_uid)}"
    if seen.st_mode & stat.S_IWOTH:
        return f"every user may write in {path}"
    # A user shares a group on purpose; what root shares with one is not to lead root anywhere.
    if seen.st_mode & stat.S_IWGRP and os.geteuid() == 0 and (seen.st_gid != 0 or _has_access_list(fd)):
        return (
            f"members of {_group(seen.st_gid)} may write in {path}"
            if seen.st_gid
            else f"an access list lets others write in {path}"
        )
    return None


def user(uid: int) -> str:
    """``shop (uid 1000)``, or ``uid 1000`` for one without a name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return f"{grp.getgrgid(gid).gr_name} (gid {gid})"
    except KeyError:
        return f"gid {gid}"


def _has_access_list(fd: int) -> bool:
    try:
        return bool(os.getxattr(f"/proc/self/fd/{fd}", _ACCESS_LIST))
    except OSError:
        return False


def _mapped(uid: int) -> bool:
    """Whether there is such a user in our namespace: user_namespaces(7)."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return any(int(first) <= uid < int(first) + int(number) for first, _, number in map(str.split, file))
    except (OSError, ValueError):
        return True
