"""In worker and master, at their ends and before the master kills a worker: the processes that the application has
started there.

Those in the process group of the generation end with the worker that has started them; nobody would wait for them any
more. Who has a session or a group of its own lives on. Read from ``/proc`` (proc_pid_stat(5)), each process held by a
pidfd before it is looked at, so that no number is taken for another's.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.server.shared.native import os, select, signal, time

# At least, between SIGTERM and SIGKILL, and for what cleans up by itself: together before the master, in its turn,
# kills the worker.
TERM_S = 0.3
SETTLE_S = 0.1
NAMED_MAX = 10
# Of `multiprocessing`: the module, what it knows of a helper, the descriptor by whose end that sees ours, and its pid.
# Private to CPython.
_HELPERS = (
    ("multiprocessing.resource_tracker", "_resource_tracker", "_fd", "_pid"),
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_alive_fd", "_forkserver_pid"),
)

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
    """The descendants of a process that lives and is in our process group, but for those of another group.

    The caller closes them.
    """
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


def settle(until: float) -> None:
    """Have the helpers of ``multiprocessing`` that we have started see that we go, and wait until they have cleaned up
    (monotonic).

    The group may be killed as soon as we have gone: shared memory that nobody has unlinked would be left.
    """
    held = [child for pid in _helpers() if (child := _hold(pid, os.getpid(), os.getpgrp())) is not None]
    for module, one, end, _ in _HELPERS if held else ():
        fd = _known(module, one, end)
        if fd is not None:
            with suppress(OSError):
                os.close(fd)
    _still_there(held, max(until, time.monotonic() + SETTLE_S))
    for child in held:
        os.close(child.pidfd)


def kill(children: Iterable[Child], whose: str = "") -> None:
    """End processes that were found, and let go of them; ``whose``: for the log, of which worker they are left."""
    children = list(children)
    if whose:
        _say(children, whose)
    for child in children:
        child.signal(signal.SIGKILL)
        os.close(child.pidfd)


def _say(children: list[Child], whose: str) -> None:
    if children:
        names = ", ".join(map(str, children[:NAMED_MAX])) + (", …" if len(children) > NAMED_MAX else "")
        what = counted(len(children), "process", "processes")
        log.warning(
            "ending %s that the application started in %s: %s; start_new_session=True keeps a process alive",
            what,
            whose,
            names,
        )


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
    return {found for module, one, _, pid in _HELPERS if (found := _known(module, one, pid)) is not None}


def _known(module: str, one: str, name: str) -> int | None:
    found = getattr(getattr(sys.modules.get(module), one, None), name, None)
    return found if isinstance(found, int) else None


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
