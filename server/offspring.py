"""In the worker, at its end, and in the master, before it kills one: the processes that the application has started there.

Those in the process group of the generation end with the worker that has started them; nobody would wait for them any more. Who
has a session or a group of its own lives on. Read from ``/proc`` (proc_pid_stat(5)), each process held by a pidfd before it is looked at,
so that no number is taken for another's.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from releve.server.native import os, select, signal, time

TERM_S = 0.3  # at least, between SIGTERM and SIGKILL: before the master, in its turn, kills the worker
NAMED_MAX = 10

log = logging.getLogger("releve.worker")


@dataclass(frozen=True, slots=True)
class Child:
    """A process. Owns the pidfd."""

    pid: int
    pidfd: int
    name: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.name})"

    def signal(self, number: signal.Signals) -> None:
        """Send it; nothing happens if the process has ended, or has become somebody else's."""
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self.pidfd, number)


def find(parent: int) -> list[Child]:
    """The descendants of a process that lives and is in our process group, but for those of another group. The caller closes them."""
    group, found, waiting = os.getpgrp(), [], [parent]
    spared = _helpers()
    while waiting:
        above = waiting.pop()
        for pid in _children(above):
            if pid in spared:
                waiting.append(pid)  # what a fork server has started is the application's
            elif (child := _hold(pid, above, group)) is not None:
                found.append(child)
                waiting.append(pid)
    return found


def end(children: list[Child], whose: str, until: float) -> None:
    """SIGTERM, and SIGKILL to those that are still there at that time (monotonic); closes them."""
    _say(children, whose)
    for child in children:
        child.signal(signal.SIGTERM)
    left = _still_there(children, max(until, time.monotonic() + TERM_S))
    kill(left)
    for child in children:
        if child not in left:
            os.close(child.pidfd)


def kill(children: Iterable[Child], whose: str = "") -> None:
    """SIGKILL; closes them."""
    children = list(children)
    if whose:
        _say(children, whose)
    for child in children:
        child.signal(signal.SIGKILL)
        os.close(child.pidfd)


def _say(children: list[Child], whose: str) -> None:
    if children:
        names = ", ".join(map(str, children[:NAMED_MAX])) + (", …" if len(children) > NAMED_MAX else "")
        what = "1 process" if len(children) == 1 else f"{len(children)} processes"
        log.warning("ending %s that the application has started in %s: %s; start_new_session=True lets one live on", what, whose, names)


def _still_there(children: list[Child], until: float) -> list[Child]:
    poll = select.poll()
    waiting = {child.pidfd: child for child in children}
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting and (left_s := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(left_s * 1000):
            poll.unregister(fd)
            del waiting[fd]
    return list(waiting.values())


def _helpers() -> set[int]:
    """Processes of ``multiprocessing`` that end by themselves after us, and clean up then."""
    tracker: Any = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    server: Any = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    found = (getattr(tracker, "_pid", None), getattr(server, "_forkserver_pid", None))
    return {pid for pid in found if isinstance(pid, int)}


def _children(pid: int) -> Iterator[int]:
    """Pids of the children of all threads of a process; none where the kernel does not tell (CONFIG_PROC_CHILDREN)."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                yield from map(int, file.read().split())


def _hold(pid: int, parent: int, group: int) -> Child | None:
    """A process by its number, if it is what it should be, and has not ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    with suppress(OSError, LookupError, ValueError):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
        state, above, its_group = rest.split()[:3]
        if state not in "ZX" and (int(above), int(its_group)) == (parent, group):
            return Child(pid, pidfd, "".join(sign if sign.isprintable() else "?" for sign in name))
    os.close(pidfd)
    return None
