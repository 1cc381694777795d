"""What an import left behind that must not be shared by a fork: threads, sockets, event loops.

Read from ``/proc/self`` (proc(5)), so that native libraries are seen too.
"""

from __future__ import annotations

import os
import socket
import threading

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


def find(before: dict[int, str]) -> list[str]:
    """Describe each hazard of this process that was not there when ``before`` was taken with ``descriptors``.

    A thread does not survive a fork, but the locks that it holds do. A stream
    connection would carry the bytes of several processes, a listener or an epoll
    wake one for what is another's. Datagram sockets (syslog, statsd) are harmless.
    """
    known = set(before.values())
    texts = [f'thread "{name}"' for name in _other_threads()]
    for fd, what in sorted(descriptors().items()):
        if what.startswith(_SHARED_BY_FORK) and (what not in known or (fd not in before and "eventpoll" in what)):
            text = _describe(fd) if what.startswith("socket:") else "event loop (epoll)"
            if text and text not in texts:
                texts.append(text)
    return texts


def _other_threads() -> list[str]:
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    main, found = os.getpid(), []
    for tid in sorted(int(name) for name in os.listdir("/proc/self/task")):
        if tid == main:
            continue
        try:
            with open(f"/proc/self/task/{tid}/comm", encoding="utf-8", errors="replace") as file:
                found.append(names.get(tid) or file.read().strip())
        except OSError:
            continue  # it has just ended
    return found


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
