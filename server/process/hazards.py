"""What an import left behind that must not be shared by a fork: threads, sockets, event loops.

Read from ``/proc/self`` (proc(5)), so that native libraries are seen too.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from types import FunctionType, ModuleType

from releve.config.frozen import dataclass
from releve.server.shared.native import os, socket

BEFORE = "by sitecustomize or a .pth file"  # what runs in an interpreter before we do
UNNAMED = "a thread without a name"  # started by native code; it shows the name of whoever started it
_SHARED_BY_FORK = ("socket:", "anon_inode:[eventpoll]")


def descriptors() -> dict[int, str]:
    """Every open descriptor of this process and what it is, as in ``/proc/self/fd``."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own descriptor
    return found


@dataclass(frozen=True, slots=True)
class Stock:
    """What a process had at some time."""

    descriptors: dict[int, str]
    threads: frozenset[int] = frozenset()  # their identifiers


def take() -> Stock:
    """What this process has."""
    return Stock(descriptors(), frozenset(_other_threads()))


def early(*ours: int) -> list[str]:
    """What there is before anything of ours is done, but for our descriptors: started by sitecustomize, or a
    .pth file.
    """
    return find(Stock({fd: what for fd, what in descriptors().items() if fd in (0, 1, 2, *ours)}))


def threads() -> list[str]:
    """The threads beside the main one, as ``find`` describes them."""
    return list(_other_threads().values())


def find(before: Stock) -> list[str]:
    """Describe each hazard of this process that was not there when stock was taken.

    A thread does not survive a fork, but the locks that it holds do. A stream
    connection would carry the bytes of several processes, a listener or an epoll
    wake one for what is another's. Datagram sockets (syslog, statsd) are harmless.
    """
    known = set(before.descriptors.values())
    texts = [text for tid, text in _other_threads().items() if tid not in before.threads]
    for fd, what in sorted(descriptors().items()):
        if what.startswith(_SHARED_BY_FORK) and (
            what not in known or (fd not in before.descriptors and "eventpoll" in what)
        ):
            text = _describe(fd) if what.startswith("socket:") else "event loop (epoll)"
            if text and text not in texts:
                texts.append(text)
    return texts


def missed(early: Sequence[str]) -> list[str]:
    """In a worker: what it lacks of the threads that its master had before the import, in words.

    Any thread that the master did not have may be one without a name, started again.
    """
    living = threads() if early else []
    if set(living) - set(early):
        living.append(UNNAMED)
    return [
        f"{text} was started before the import ({BEFORE}) and does not run in workers, because a fork "
        "keeps only one thread: "
        "start it in hooks.after_fork"
        for text in early
        if text not in living
    ]


def patches(threads: int) -> list[str]:
    """What has put functions of its own in the place of the standard library's, in words: which modules, and who seems
    to have asked.

    ``threads``: how many run requests.
    """
    found = []
    for library, module, kept, call in _PATCHERS:
        patcher = sys.modules.get(module)
        if names := sorted(str(name) for name in getattr(patcher, kept, ()) if str(name)[:1] != "_"):
            asked = _askers(library, module)
            by = f" (imported by {', '.join(asked[:3])})" if asked else ""
            instead = ", or set threads: 1, because its locks do not work between threads" if threads > 1 else ""
            found.append(
                f"{library} has patched {', '.join(names)}{by}: Relève runs requests in threads, and "
                "greenlets have no effect; "
                f"remove {call}{instead}"
            )
    return found


# What patches, where, what it keeps of the originals by their modules, and how it is called.
_PATCHERS = (
    ("gevent", "gevent.monkey", "saved", "monkey.patch_all() and the like"),
    ("eventlet", "eventlet.patcher", "already_patched", "eventlet.monkey_patch()"),
)


def _askers(library: str, module: str) -> list[str]:
    """Modules, of others, that know what patches; those that only know the library, if there is none."""
    patcher, whole = sys.modules.get(module), sys.modules.get(library)
    sure, maybe = [], []
    for name, other in list(sys.modules.items()):
        if (
            (top := name.partition(".")[0]) == library
            or top in sys.stdlib_module_names
            or type(other) is not ModuleType
        ):
            continue
        values = list(vars(other).values())
        if any(
            one is patcher or (type(one) is FunctionType and str(one.__module__).startswith(module)) for one in values
        ):
            sure.append(name)
        elif any(one is whole for one in values):
            maybe.append(name)
    return sure or maybe


def _other_threads() -> dict[int, str]:
    """The threads beside the main one, by their identifiers, in words."""
    names = {getattr(thread, "native_id", None): thread.name for thread in threading.enumerate()}
    main, found = os.getpid(), {}
    ours = _name(main)
    for tid in sorted(int(name) for name in os.listdir("/proc/self/task")):
        if tid == main:
            continue
        if (shown := _name(tid)) is None:
            continue  # it has just ended
        name = names.get(tid) or (shown if shown != ours else "")
        found[tid] = f'thread "{name}"' if name else UNNAMED
    return found


def _name(tid: int) -> str | None:
    """The name that a thread of this process shows in ``/proc``; None if it has ended."""
    try:
        with open(f"/proc/self/task/{tid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _describe(fd: int) -> str:
    """The far end of a stream socket, or the address that it listens on; empty for a harmless one."""
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError:
        return ""
    with sock:
        if sock.type not in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            return ""
        try:
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return f"socket listening on {_address(sock.getsockname())}"
            return f"socket to {_address(sock.getpeername())}"
        except OSError:
            return ""  # neither connected nor listening


def _address(address: object) -> str:
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if isinstance(address, bytes):
        return "@" + address[1:].decode("utf-8", "replace")
    return str(address) or "its own other end (a socket pair, as of an event loop)"
