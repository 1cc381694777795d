"""Beside the tests' application, in its release: a worker that takes its master's end of the link, and what it does
with it.

``attack`` answers ``/link?do=NAME`` with the name, once it is done. By pidfd_getfd(2), which a process of the same user
may use.
"""

import array
import contextlib
import ctypes
import json
import os
import select
import socket

# Imported in the master, whose command line still says it.
with open("/proc/self/cmdline") as file:
    LINK = int(file.read().split("\0")[-2])


def master_link():
    master, number = os.getppid(), LINK
    libc = ctypes.CDLL(None, use_errno=True)
    mine = libc.syscall(438, os.pidfd_open(master), number, 0)
    if mine < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return socket.socket(fileno=mine)


def say(link, message, fds=()):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    select.select([], [link], [], 5)
    link.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def junk(link):
    for message in (
        {"type": "worker"},
        {"type": "gone", "worker": 1, "status": "x"},
        {"type": "done", "id": "q"},
        {"type": "state", "worker": []},
        [1],
        {"type": "hello", "pid": 1},
        {"type": "phase", "phase": "x" * 100000},
        {"type": "failed", "reason": "\ud800\x1b[2J", "id": 1},
        b"[" * 100000,
        b"\xff",
        b"",
    ):
        say(link, message)


def flood(link):
    """Itself as a worker, with descriptors, twelve hundred times over."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fds = [ours.fileno(), os.pidfd_open(os.getpid())]
    for number in range(100, 1300):
        say(link, {"type": "worker", "worker": number, "pid": os.getpid(), "slot": 0, "revision": 99}, fds)


def end(link):
    """For both sides: each takes the other one for dead."""
    link.shutdown(socket.SHUT_RDWR)


def attack(environ, query, start_response, headers):
    link = master_link()
    link.setblocking(True)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was given up meanwhile
        {"junk": junk, "flood": flood, "end": end}[query["do"]](link)
    link.close()
    start_response("200 OK", [*headers, ("Content-Length", str(len(query["do"])))])
    return [query["do"].encode()]
