"""What proc(5) tells of a process by its number. That number may be another one's by then, unless the process is a
child of ours, or ``evidence.py`` has looked at it before and after.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

# where they are in what ``stat`` returns
STATE, PARENT, GROUP, SESSION, USER_TICKS, SYSTEM_TICKS, STARTED = 0, 1, 2, 3, 11, 12, 19

EXEC_S = 0.05  # that a process may take for an execve(2)
_EXEC_PAUSE_S = 0.001  # between two looks whether it is over
_ENVIRON_MAX_BYTES = 1 << 20
_NO_LOGIN = 2**32 - 1


def stat(pid: int) -> list[str]:
    """The numbers of a process, from its state on: proc_pid_stat(5). Raises OSError."""
    with open(f"/proc/{pid}/stat", encoding="latin-1") as file:  # its name, before them, is any bytes
        return file.read().rpartition(")")[2].split()


def process_state(pid: int) -> str:
    """The letter of a process's state: ``T`` stopped, ``Z`` ended; empty if there is no such process."""
    try:
        return stat(pid)[STATE]
    except (OSError, IndexError):
        return ""


def started_at(pid: int) -> str | None:
    """When a process was started, in ticks since the boot, which with its pid names it for ever; None without it."""
    try:
        return stat(pid)[STARTED]
    except (OSError, IndexError):
        return None


def login(pid: int) -> int | None:
    """The user who logged in at the beginning of a process's session, also behind sudo and su: the loginuid of
    proc_pid_loginuid(5). None where nobody did (a service, a container), or the kernel keeps none.
    """
    try:
        with open(f"/proc/{pid}/loginuid", encoding="ascii") as file:
            uid = int(file.read())
    except (OSError, ValueError):
        return None
    return None if uid == _NO_LOGIN else uid


def cpu_s(pid: int) -> float | None:
    """Processor time that a process has used since its start, user and system; None without it."""
    try:
        found = stat(pid)
        return (int(found[USER_TICKS]) + int(found[SYSTEM_TICKS])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def descriptors(pid: int) -> int | None:
    """How many descriptors a process has open; None if nobody may look."""
    folder = f"/proc/{pid}/fd"
    try:
        return os.stat(folder).st_size or len(os.listdir(folder))  # the size is 0 before Linux 6.2
    except OSError:
        return None


def descriptors_max(pid: int) -> int | None:
    """How many it may have open, by its soft limit (RLIMIT_NOFILE); None if nobody may look, or there is no limit."""
    try:
        with open(f"/proc/{pid}/limits", encoding="latin-1") as file:
            words = next((line.split() for line in file if line.startswith("Max open files")), [])
        return int(words[3])
    except (OSError, IndexError, ValueError):
        return None


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


def environment(pid: int, until: float) -> frozenset[bytes]:
    """The variables that a process was started with, each ``NAME=value``; proc_pid_environ(5). Raises OSError,
    also if it has ended.

    They are empty for a moment in the middle of an execve(2), as of a process whose start has just been reported to its
    parent: until then (monotonic) they are read again.
    """
    while True:
        with open(f"/proc/{pid}/environ", "rb") as file:
            found = file.read(_ENVIRON_MAX_BYTES)
        if found or time.monotonic() >= until:
            return frozenset(found.split(b"\0"))
        time.sleep(_EXEC_PAUSE_S)


def children(pid: int) -> list[int]:
    """Pids of the children of a process; empty where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN: orphans stay zombies until we end
        return []


def open_children(pid: int) -> list[int]:
    """Pidfds of the children of a process, owned by the caller."""
    found = []
    for child in children(pid):
        with suppress(OSError):
            found.append(os.pidfd_open(child))
    return found
