"""The operating system as seen by the server: the few calls whose failures matter, each behind one name.

Standard library only. Everything here is thin on purpose: a test that wants a
failing system call replaces one of these functions.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import resource
import stat
import struct
import sys
import termios
from collections.abc import Iterable
from types import FrameType

from releve.server.shared.link import ANCILLARY_BYTES, rights
from releve.server.shared.native import os, select, signal, socket

_INT = struct.Struct("=i")
# As plain numbers: to combine members of an enum takes longer than some system calls.
_SEND = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_RECEIVE = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
# else it would poll for an application's socket.setdefaulttimeout()
_SEQPACKET = int(socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
_CUT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
# What to do where the kernel starts no more threads and processes (EAGAIN of clone(2)).
MORE_TASKS = "raise ulimit -u, TasksMax= of the unit or --pids-limit of the container, or use fewer workers or threads"
DESCRIPTORS_SPARE = 1024  # of a worker, beside those of its connections: for the application
PIPE_BYTES = 4096  # PIPE_BUF: what several processes write to one pipe does not mix (pipe(7))
_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38
_ARG_START, _ARG_END = 48 - 3, 49 - 3  # fields of proc_pid_stat(5), counted from the one after the name

# Signals that mean something to the supervisor and nothing to its masters and workers.
SUPERVISOR_SIGNALS = (
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGTTIN,
    signal.SIGTTOU,
)


def wakeup() -> int:
    """A new eventfd (close-on-exec, non-blocking) with which one thread wakes another's epoll."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def wake(fd: int) -> None:
    """Wake whoever polls the eventfd."""
    os.eventfd_write(fd, 1)


def clear_wakeup(fd: int) -> None:
    """Take back every wake-up so far."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(fd)


def open_peer(link: int) -> int:
    """A pidfd (close-on-exec) of the process at the other end of a connected Unix socket: who made the pair, or who
    connected.

    Raises OSError. SO_PEERCRED of unix(7), pidfd_open(2).
    """
    return os.pidfd_open(peer(link)[0])


def peer_user(link: int) -> int:
    """Whose process is at the other end of a connected Unix socket, as it was then (effective user ID).

    Raises OSError.
    """
    return peer(link)[1]


def peer(link: int) -> tuple[int, int, int]:
    """Pid, user and group of the process at the other end, as ``open_peer``: SO_PEERCRED of unix(7). Raises OSError."""
    sock = _borrow(link)
    try:
        pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    finally:
        sock.detach()
    return pid, uid, gid


def probe_descriptor(fd: int) -> None:
    """Raise OSError (EMFILE) if no descriptor is free; ``fd`` is any open one.

    A ``recvmsg`` at the limit succeeds, and the kernel closes what it should have
    brought (unix(7), MSG_CTRUNC); so this is asked first.
    """
    os.close(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0))


def send_rights(fd: int, data: bytes, passed: int) -> None:
    """Send one message with one descriptor over a Unix socket; never blocks. Raises OSError."""
    sock = _borrow(fd)
    try:
        sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _INT.pack(passed))], _SEND)
    finally:
        sock.detach()


def receive_rights(fd: int, space: bytearray) -> tuple[int, list[int], bool]:
    """One message into ``space``: its length, its descriptors (close-on-exec, owned by the caller), and whether it came
    whole.

    Never blocks. Raises OSError; a length of 0 is the end, or an empty message (``link.has_ended``).
    """
    sock = _borrow(fd)
    try:
        length, ancillary, got, _ = sock.recvmsg_into([space], ANCILLARY_BYTES, _RECEIVE)
    finally:
        sock.detach()
    return length, rights(ancillary)[0], not got & _CUT


def _borrow(fd: int) -> socket.SocketType:
    """A socket object on a descriptor that somebody else owns; ``detach`` it after use.

    The plain type: made thrice as fast.
    """
    return socket.SocketType(socket.AF_UNIX, _SEQPACKET, 0, fd)


def unsent_bytes(sock: socket.socket) -> int:
    """What the peer has not taken yet of what was sent (SIOCOUTQ of tcp(7); truesize for Unix sockets)."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("=i", answer)[0])


def unread_bytes(sock: socket.socket) -> int:
    """What has come and was not read yet (FIONREAD of tcp(7) and unix(7))."""
    answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4)
    return int(struct.unpack("=i", answer)[0])


def settle_signals(ignored: Iterable[int]) -> None:
    """In the worker, first: SIGTERM kills, ``ignored`` do nothing, and no signal is blocked any more.

    Python handlers, not SIG_IGN: programs that the application starts would inherit that.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in ignored:
        signal.signal(number, _nothing)
        signal.siginterrupt(number, False)
        # One by one: what is pending is delivered here, each in a frame of its own on the stack that faulthandler has
        # made for signals (sigaltstack(2)). That has room for few, and beyond it is the heap.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def record_signal(wanted: int) -> tuple[int, int]:
    """From now on a signal is written to a pipe, whose ends are returned. Call it in the main thread."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def record(number: int, _: FrameType | None) -> None:
        # Beside the wake-up fd, which an event loop of the application may have taken.
        with contextlib.suppress(OSError):
            os.write(write_end, bytes([number]))

    signal.signal(wanted, record)
    signal.siginterrupt(wanted, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return read_end, write_end


def recorded_signals(read_end: int) -> bytes:
    """The numbers written since the last time, a byte each."""
    try:
        return os.read(read_end, 4096)
    except BlockingIOError:
        return b""


def forget_signals(numbers: Iterable[int]) -> None:
    """In a child that the application forked: what Python does by default, nothing blocked, nobody woken."""
    signal.set_wakeup_fd(-1)
    for number in numbers:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def handler_of(number: int) -> int:
    """The address of a signal's handler, whoever has set it; 0 is SIG_DFL, 1 SIG_IGN. sigaction(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = ctypes.create_string_buffer(512)  # a struct sigaction takes 152 bytes, and begins with the handler
    if libc.sigaction(number, None, found) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int.from_bytes(found.raw[: ctypes.sizeof(ctypes.c_void_p)], sys.byteorder)


def die_with_parent(sure: bool) -> None:
    """Have the kernel kill this process when its parent dies, or no more (PR_SET_PDEATHSIG of prctl(2)).

    For who cannot hear of it in time: an import may take for ever. Whether the parent
    has died before this call is for the caller to find out, by the end of its link.
    """
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL) if sure else 0)


def refuse_new_privileges() -> None:
    """For good, here and in all that is started from here: no program gains anything by its set-user-ID bit or its
    file's capabilities.

    PR_SET_NO_NEW_PRIVS of prctl(2).
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_from_equals() -> None:
    """Let no process of the same user look into this one, or into what it forks: neither at its memory nor at its
    descriptors.

    PR_SET_DUMPABLE of prctl(2): ptrace(2), pidfd_getfd(2) and ``/proc/PID/fd`` of it need CAP_SYS_PTRACE from here on.
    A program that is executed from here is what programs usually are. No core is dumped.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def set_title(title: str, name: str) -> None:
    """Have ``ps``, ``pgrep -f`` and ``systemctl status`` show ``title`` for this process, and ``top`` ``name``.

    The title takes the place of the command line in this process's memory, and is cut to the room that there is; a name
    has up to 15 bytes (PR_SET_NAME of prctl(2)). A title that somebody else has set, as an application does with
    setproctitle, stays. What fails is ignored: nothing depends on it.
    """
    room = len(_started)
    text = title.encode("utf-8", "replace")[: max(0, room - 1)].decode("utf-8", "ignore").encode()
    # A zero at the end: without it, the kernel takes what follows, the environment, for more of the title.
    _show(text.ljust(room, b"\0"), name)


def show_command(name: str) -> None:
    """Have this process show the command again with which it was started, and ``top`` ``name``; as ``set_title``."""
    _show(_started, name)


def _show(command: bytes, name: str) -> None:
    global _shown
    with contextlib.suppress(OSError, LookupError, ValueError):
        if _command() != _shown:
            return  # it is another's
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        if start and end - start == len(command):  # else it is not the memory that is shown
            ctypes.memmove(start, command, len(command))
            _shown = command


def _command() -> bytes:
    """What this process shows as its command line, each word with a zero; empty if that cannot be read."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _prctl(what: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(what, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def raise_descriptor_limit(wanted: int) -> None:
    """Let this process open ``wanted`` descriptors, or as many as its hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def describe_exit(status: int) -> str:
    """``exited with status 3`` or ``was killed by SIGKILL``, from an exit status or minus a signal."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing."""


def is_regular(fd: int) -> bool:
    """Whether a descriptor is a regular file, whose writes never wait for a reader; False also for one that is
    closed.
    """
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


def write_now(fd: int, data: bytes) -> int:
    """Write without waiting for a reader; returns how many bytes were taken.

    Raises OSError, BlockingIOError if none were.

    A pipe or socket that others share must not be made non-blocking for them, so each write says it (RWF_NOWAIT,
    pwritev2(2)). Regular files and terminals do not know it; they are written as ever.
    """
    if is_regular(fd):
        return os.write(fd, data)
    try:
        return os.pwritev(fd, [data], -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ESPIPE, errno.EINVAL, errno.ENOSYS):
            raise
    return os.write(fd, data)


def piece_end(data: bytes, at: int) -> int:
    """The end of as many whole lines from ``at`` on as are written to a pipe at once; of one line, if it is longer."""
    return data.rfind(b"\n", at, at + PIPE_BYTES) + 1 or data.find(b"\n", at) + 1 or len(data)


def write_lines(fd: int, data: bytes, wait_s: float) -> int:
    """Write whole lines, waiting so long for a slow reader; returns how many bytes were taken. Never raises.

    A regular file takes all in one write, a pipe in pieces that do not mix with those of others.
    """
    at, whole = 0, is_regular(fd)
    try:
        while at < len(data):
            try:
                at += write_now(fd, data[at:] if whole else data[at : piece_end(data, at)])
            except BlockingIOError:
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                if not poll.poll(wait_s * 1000):
                    break
    except OSError:  # a full disk, a reader that has gone
        pass
    return at


def duplicate(fd: int) -> int:
    """Another descriptor of the same open file (close-on-exec, above the standard three). Raises OSError."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def lock_holders(file: str | int) -> list[int]:
    """Pids of who has an flock(2) on a file, by its path or a descriptor, as far as ``/proc/locks`` tells; 0 for one
    that is not in our namespace. Never raises. proc_locks(5).
    """
    found = []
    try:
        seen = os.stat(file)
        mark = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
        with open("/proc/locks", encoding="ascii") as locks:
            for fields in map(str.split, locks):
                if fields[1] == "FLOCK" and fields[5] == mark:  # one that waits has an arrow in its second field
                    found.append(max(0, int(fields[4])))
    except (OSError, LookupError, ValueError):
        pass
    return found


_started = _shown = _command()  # when this was imported, before an application was; and by us since
