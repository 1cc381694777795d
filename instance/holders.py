"""Who holds a Unix socket or a port, as the kernel tells: also where the files that would tell have been removed.

Only processes of this user and of root are named, since only they can be our supervisor; but for who asks for anybody.
Standard library only; ``ctl`` asks, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

_LISTENING = 0x10000  # __SO_ACCEPTCON of the kernel's include/linux/net.h
_TCP_LISTEN = "0A"  # TCP_LISTEN of include/net/tcp_states.h, as /proc/net/tcp has it


def listening(path: str, *, of_anybody: bool = False) -> int | None:
    """Another process that listens on the Unix socket bound to a path, whatever lies there now (``/proc/net/unix``,
    proc(5)); ``of_anybody``: of whatever user, where we may look into it.

    SO_PEERCRED would name whoever called listen(2) first.
    """
    return _holder({inode for bound, inode in _listeners() if bound == path}, of_anybody)


def listens_beside(path: str, name: re.Pattern[str]) -> bool:
    """Whether anybody, of whatever user, listens on a Unix socket in the same folder whose name is like that."""
    folder = os.path.dirname(path)
    return any(
        os.path.dirname(bound) == folder and name.fullmatch(os.path.basename(bound)) for bound, _ in _listeners()
    )


def anybody_listens(path: str) -> bool:
    """Whether anybody, of whatever user, listens on the Unix socket bound to a path."""
    return any(bound == path for bound, _ in _listeners())


def _listeners() -> Iterator[tuple[str, str]]:
    """Path and inode of each Unix socket that listens."""
    with suppress(OSError), open("/proc/net/unix", errors="surrogateescape") as file:
        next(file, None)  # the names of the columns
        for line in file:
            fields = line.rstrip("\n").split(maxsplit=7)
            if len(fields) == 8 and int(fields[3], 16) & _LISTENING:
                yield fields[7], fields[6]


def at_port(port: int) -> int | None:
    """Another process that listens on a TCP port, at whatever address (``/proc/net/tcp``, ``tcp6``)."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError), open(f"/proc/net/{name}") as file:
            for line in file:
                fields = line.split()
                if len(fields) > 9 and fields[3] == _TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return _holder(inodes)


def command(pid: int) -> str:
    """What a process was started as, shortened; empty if that cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read(4096).rstrip(b"\0").decode("utf-8", "replace").split("\0")
        text = " ".join(words)
        return "".join(sign if sign.isprintable() else "?" for sign in (text if len(text) <= 60 else f"{text[:57]}..."))
    return ""


def descriptors(pid: int) -> Iterator[str]:
    """What a process has open, as the links of ``/proc/PID/fd`` say; nothing if that cannot be read."""
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{name}")


def _holder(inodes: set[str], of_anybody: bool = False) -> int | None:
    """A process of this user or of root, other than this one, that has one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes if inode != "0"}
    if not wanted:
        return None
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid != os.getpid() and (of_anybody or _ours(pid)) and not wanted.isdisjoint(descriptors(pid)):
            return pid
    return None


def _ours(pid: int) -> bool:
    """By all that it runs as: the real and the saved user too, so that no program with a set-user-ID bit is one of
    ours.
    """
    with suppress(OSError, LookupError, ValueError), open(f"/proc/{pid}/status", encoding="latin-1") as file:
        uids = [line.split()[1:5] for line in file if line.startswith("Uid:")][0]
        return {int(uid) for uid in uids} <= {0, os.geteuid()}
    return False
