"""The operating system, as the supervisor uses it: every call that can fail in a way worth testing.

Plain functions, called as ``system.replace(…)`` so that a test can put another in their place. Processes of ours are in
``children.py``, and what proc(5) tells of one in ``proc.py``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from releve.config.frozen import dataclass
from releve.server.shared.system import peer

_TMPFS_MAGIC, _RAMFS_MAGIC = 0x01021994, 0x858458F6  # linux/magic.h
_SYS_PIDFD_GETFD = 438  # the same on every architecture
_SO_PASSRIGHTS = 83  # asm-generic/socket.h
_SO_PEERGROUPS = 59  # asm-generic/socket.h
_GROUPS_MAX = 256  # what socket.getsockopt has room for; of a peer that is in more, only its own counts


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold every signal back, here and in a child started meanwhile.

    A signal that reaches a fresh interpreter before its handlers stand kills it
    (USR2 and HUP do by default); the child unblocks once they do.
    """
    before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hold_signals() -> None:
    """Hold every signal back from here on, also in the program that follows (``replace``)."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())


def let_signals_in() -> None:
    """Hear what was held back, and whatever comes."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def replace(argv: Sequence[str], environment: Mapping[str, str], fds: Sequence[int]) -> NoReturn:
    """Become another program, which keeps these descriptors. Raises OSError, and then they are as before."""
    for fd in fds:
        os.set_inheritable(fd, True)
    try:
        os.execve(argv[0], list(argv), dict(environment))
    finally:
        for fd in fds:
            os.set_inheritable(fd, False)


def take_no_rights(sock: socket.socket) -> None:
    """Have the kernel refuse descriptors that are sent to a Unix socket, and to those accepted from it (SO_PASSRIGHTS,
    Linux 6.16).

    Else whoever reads what came with one drops it, and that may wait as long as its close does. An older kernel knows
    no such thing.
    """
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


def fill_standard() -> None:
    """Open what is closed of descriptors 0, 1 and 2: else the next socket would get its number, and be written to as a
    log.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest free one
            os.set_inheritable(fd, True)


def mute(fd: int) -> None:
    """Let what is still written to ``fd`` vanish: what it led to is broken."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, fd)
    os.close(null)


def open_pidfd(pid: int) -> int:
    """A descriptor that turns readable when the process has ended (pidfd_open(2))."""
    return os.pidfd_open(pid)


def take_descriptor(pidfd: int, number: int) -> int:
    """A duplicate (close-on-exec) of what another process has open as ``number``. Raises OSError. pidfd_getfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    taken = int(libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0))
    if taken < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return taken


def send_signal(pidfd: int, number: int) -> None:
    """Signal the very process a pidfd stands for; nothing happens when it is gone."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def kill_group(group: int, number: int) -> None:
    """Signal a whole process group; nothing happens when it is empty."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def in_memory(path: str) -> bool:
    """Whether a file there never touches a disk: statfs(2), tmpfs or ramfs."""
    space = ctypes.create_string_buffer(256)  # more than struct statfs; f_type is its first word
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), space) != 0:
        return False
    (kind,) = struct.unpack_from("@l", space)
    return kind in (_TMPFS_MAGIC, _RAMFS_MAGIC)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a Unix socket: as the kernel knew it when it connected."""

    pid: int
    uid: int
    groups: frozenset[int]  # its own and the supplementary ones


def peer_of(connection: socket.socket) -> Peer:
    """The credentials at the other end of a Unix socket (SO_PEERCRED and SO_PEERGROUPS, unix(7))."""
    pid, uid, gid = peer(connection.fileno())
    groups = b""
    with suppress(OSError):  # too many, or a kernel before 4.13
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _GROUPS_MAX)
    return Peer(pid, uid, frozenset([gid, *struct.unpack(f"{len(groups) // 4}i", groups)]))


def user_name(uid: int) -> str:
    """The name of a user, or its number."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or its number."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def wall_offset() -> float:
    """Seconds between the wall clock and the one that nobody sets; it changes when the wall clock is set."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
