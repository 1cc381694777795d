"""Children: programs that are started here, whoever comes to us because its parent has died, and how they end.

Plain functions, called as ``children.spawn(…)`` so that a test can put another in their place.
"""

from __future__ import annotations

import ctypes
import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from releve.server.shared.system import describe_exit
from releve.supervisor.host import capabilities, proc, system
from releve.supervisor.host.identity import AS_WE_ARE, Identity

UNSEEN = 256  # no exit status: of a process that was not our child, which nobody tells us
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

# Children that somebody here waits for by name; `orphans` must not take their exit status.
_spawned: set[int] = set()


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
    with system.signals_blocked() if blocked else nullcontext(), nullcontext() if equal else capabilities.kept_back():
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


def own(pid: int) -> None:
    """Somebody here waits for this process by name, if it is a child of ours: one that was started before we were this
    program.
    """
    _spawned.add(pid)


def started() -> frozenset[int]:
    """Those that somebody here waits for by name. Each leads a session."""
    return frozenset(_spawned)


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


def describe_status(status: int) -> str:
    """``exited with status 3``, ``was killed by SIGKILL``, or that nobody has seen which (`UNSEEN`)."""
    return "exited with an unknown status" if status == UNSEEN else describe_exit(status)


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
    for pid in proc.children(os.getpid()):
        if pid in known or pid in _spawned:
            continue
        status = wait(pid)
        if status is not None:
            reaped.append((pid, status))
    return reaped


def _status(found: os.waitid_result) -> int:
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
