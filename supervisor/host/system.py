"""The operating system, as the supervisor uses it: every call that can fail in a way worth testing.

Plain functions, called as ``system.spawn(…)`` so that a test can put another in their place.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import NoReturn

from releve.config.frozen import dataclass
from releve.server.shared.system import describe_exit
from releve.supervisor.host import capabilities
from releve.supervisor.host.identity import AS_WE_ARE, Identity

UNSEEN = 256  # no exit status: of a process that was not our child, which nobody tells us

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_TMPFS_MAGIC, _RAMFS_MAGIC = 0x01021994, 0x858458F6  # linux/magic.h
_SYS_PIDFD_GETFD = 438  # the same on every architecture
_SO_PASSRIGHTS = 83  # asm-generic/socket.h
_SO_PEERGROUPS = 59  # asm-generic/socket.h
_GROUPS_MAX = 256  # what socket.getsockopt has room for; of a peer that is in more, only its own counts

# Children that somebody here waits for by name; `orphans` must not take their exit status.
_spawned: set[int] = set()


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


def spawn(
    argv: Sequence[str],
    *,
    directory: str,
    environment: Mapping[str, str],
    identity: Identity = AS_WE_ARE,
    pass_fds: Sequence[int] = (),
    stdout: int | None = None,
    stderr: int | None = None,
    blocked: bool = True,
    equal: bool = False,
) -> int:
    """Start a program in a session of its own, and return its pid; signals ``blocked``, where it unblocks them itself.

    Fork and exec happen in C: no Python runs in the child, so that a failure
    there cannot run the parent's cleanup. The caller waits for it with
    ``wait``. It inherits no capability of ours unless it is to be our ``equal``.
    Raises OSError as exec and setuid do.
    """
    more: dict[str, object] = {}
    if identity.user is not None:
        more.update(user=identity.user)
    if identity.group is not None:
        more.update(group=identity.group)
    if identity.groups is not None:
        more.update(extra_groups=identity.groups)
    if identity.umask is not None:
        more.update(umask=identity.umask)
    with signals_blocked() if blocked else nullcontext(), nullcontext() if equal else capabilities.kept_back():
        child = subprocess.Popen(  # type: ignore[call-overload]
            list(argv),
            cwd=directory,
            env=dict(environment),
            pass_fds=tuple(pass_fds),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            **more,
        )
    pid = int(child.pid)
    child.returncode = 0  # Popen shall not wait for it behind our back
    _spawned.add(pid)
    return pid


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


def own(pid: int) -> None:
    """Somebody here waits for this process by name, if it is a child of ours: one that was started before we were this
    program.
    """
    _spawned.add(pid)


def started() -> frozenset[int]:
    """Those that somebody here waits for by name. Each leads a session."""
    return frozenset(_spawned)


def raise_descriptor_limit(wanted: int) -> None:
    """Let this process open ``wanted`` descriptors, or as many as its hard limit allows: getrlimit(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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


def peek(pidfd: int) -> int | None:
    """Exit status of an ended child (minus the signal that killed it), None while it runs; ``UNSEEN`` for one that was
    not our child.

    The zombie of a child stays, so its pid and process group cannot be given to a stranger.
    """
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        return UNSEEN if ended.poll(0) else None
    return None if found is None else _status(found)


def wait(pid: int) -> int | None:
    """Reap a child: its exit status, or None when it still runs or is not ours."""
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        _spawned.discard(pid)
        return None
    if found is None:
        return None
    _spawned.discard(pid)
    return _status(found)


def reap(pidfd: int, pid: int) -> int | None:
    """As ``wait``, for the very process that a pidfd stands for; ``pid`` is what it is known by."""
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except OSError:  # not a child of ours
        found = None
    else:
        if found is None:
            return None
    _spawned.discard(pid)
    return None if found is None else _status(found)


def disown(pid: int) -> None:
    """Nobody will wait for this child: reap it now, or leave it to ``reap_orphans``."""
    if wait(pid) is None:
        _spawned.discard(pid)


def _status(found: os.waitid_result) -> int:
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def describe_status(status: int) -> str:
    """``exited with status 3``, ``was killed by SIGKILL``, or that nobody has seen which (`UNSEEN`)."""
    return "has ended" if status == UNSEEN else describe_exit(status)


def send_signal(pidfd: int, number: int) -> None:
    """Signal the very process a pidfd stands for; nothing happens when it is gone."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def process_state(pid: int) -> str:
    """The letter of a process's state (proc(5)): ``T`` stopped, ``Z`` ended; empty if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def signal_set(pid: int, name: str, task: int | None = None) -> int | None:
    """A set of signals of a process, or of one thread (proc(5): ``SigCgt``, ``SigBlk``, …); None if it cannot
    be read.
    """
    try:
        with open(
            f"/proc/{pid}/status" if task is None else f"/proc/{pid}/task/{task}/status", encoding="latin-1"
        ) as file:
            return next((int(line.split()[1], 16) for line in file if line.startswith(f"{name}:")), None)
    except (OSError, ValueError):
        return None


def blocking(pid: int, number: int) -> set[int] | None:
    """The threads of a process that hold a signal back, as each does while it handles it; None if that cannot
    be read.
    """
    try:
        tasks = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return None
    sets = {task: signal_set(pid, "SigBlk", task) for task in tasks}
    return {task for task, blocked in sets.items() if blocked is not None and blocked >> (number - 1) & 1}


def kill_group(group: int, number: int) -> None:
    """Signal a whole process group; nothing happens when it is empty."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def started_at(pid: int) -> str | None:
    """When a process was started, in ticks since the boot, which with its pid names it for ever; None without it.
    proc_pid_stat(5).
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def in_memory(path: str) -> bool:
    """Whether a file there never touches a disk: statfs(2), tmpfs or ramfs."""
    space = ctypes.create_string_buffer(256)  # more than struct statfs; f_type is its first word
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), space) != 0:
        return False
    (kind,) = struct.unpack_from("@l", space)
    return kind in (_TMPFS_MAGIC, _RAMFS_MAGIC)


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent dies (prctl(2)).

    That is how the supervisor keeps workers whose master was killed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def reap_orphans(known: set[int]) -> list[tuple[int, int]]:
    """Reap ended children that came to us by adoption and that nobody waits for: pid and status."""
    reaped = []
    for pid in children(os.getpid()):
        if pid in known or pid in _spawned:
            continue
        status = wait(pid)
        if status is not None:
            reaped.append((pid, status))
    return reaped


def children(pid: int) -> list[int]:
    """Pids of the children of a process; empty where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN: orphans stay zombies until we end
        return []


def holder_of(path: str) -> int | None:
    """The pid of a process other than this one that listens on the Unix socket bound to ``path`` (``/proc/net/unix``,
    proc(5)).

    None if there is none, or none that we may look into. (SO_PEERCRED would name whoever called listen(2) first.)
    """
    listening = 0x10000  # __SO_ACCEPTCON of the kernel's include/linux/net.h
    inodes = set()
    with suppress(OSError), open("/proc/net/unix") as file:
        for line in file:
            fields = line.rstrip("\n").split(maxsplit=7)
            if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & listening:
                inodes.add(f"socket:[{fields[6]}]")
    for name in os.listdir("/proc") if inodes else ():
        if name.isdigit() and int(name) != os.getpid() and inodes & descriptors(int(name)):
            return int(name)
    return None


def descriptors(pid: int) -> set[str]:
    """What a process has open, as the links of ``/proc/PID/fd`` say; empty if that cannot be read."""
    found = set()
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def open_children(pid: int) -> list[int]:
    """Pidfds of the children of a process, owned by the caller."""
    found = []
    for child in children(pid):
        with suppress(OSError):
            found.append(os.pidfd_open(child))
    return found


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a Unix socket: as the kernel knew it when it connected."""

    pid: int
    uid: int
    groups: frozenset[int]  # its own and the supplementary ones


def peer_of(connection: socket.socket) -> Peer:
    """The credentials at the other end of a Unix socket (SO_PEERCRED and SO_PEERGROUPS, unix(7))."""
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
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
