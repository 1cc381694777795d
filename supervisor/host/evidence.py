"""Evidence: what the kernel says of a process, where a message says something too. Nothing here believes a message.

A process is looked at through a pidfd. The number of a process may be given to another one once it has been waited for;
a pidfd never stands for another. So the number is read from the pidfd before and after the look (``/proc/self/fdinfo``,
pidfd_open(2)): while both say the same, everything between was about that process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from releve.config.frozen import dataclass
from releve.supervisor.host import proc, system


@dataclass(frozen=True, slots=True)
class Process:
    """A process, alive or a zombie, as it was when it was looked at."""

    pid: int
    parent: int  # pid
    group: int
    session: int
    uids: tuple[int, int, int, int]  # real, effective, saved, of the file system
    started: int  # ticks since the boot: with the pid, its name for ever

    @property
    def age_s(self) -> float:
        """How long ago it was started, also across whoever held it (CLOCK_BOOTTIME, whose ticks proc(5) counts)."""
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / os.sysconf("SC_CLK_TCK"))

    def runs_as(self, uid: int) -> bool:
        """Whether it is this user's in every respect: no program with a set-user-ID bit is."""
        return set(self.uids) == {uid}

    def belongs_to(self, master: int) -> bool:
        """Whether it is the master of that pid, or was started by it: in its session, or as its child."""
        return self.pid == master or self.session == master or self.parent == master


def process(pidfd: int) -> Process | None:
    """The process that a descriptor stands for; None if it is no pidfd, if the process was waited for, or nothing can
    be read of it.
    """
    pid = pid_of(pidfd)
    if pid is None:
        return None
    try:
        stat = proc.stat(pid)
        with open(f"/proc/{pid}/status", encoding="latin-1") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        uids = tuple(int(word) for word in status["Uid"].split())
        parent, group, session, started = (
            int(stat[where]) for where in (proc.PARENT, proc.GROUP, proc.SESSION, proc.STARTED)
        )
        found = Process(pid, parent, group, session, uids, started)  # type: ignore[arg-type]
        whole = len(uids) == 4 and int(status["Tgid"]) == pid  # not one thread of a process (PIDFD_THREAD)
    except (OSError, LookupError, ValueError):
        return None
    return found if whole and pid_of(pidfd) == pid else None


def pid_of(pidfd: int) -> int | None:
    """The number of the process that a descriptor stands for; None if it is no pidfd, or nobody has that number any
    more.
    """
    try:
        with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
            pid = next((int(line.split()[1]) for line in file if line.startswith("Pid:")), 0)
    except (OSError, LookupError, ValueError):
        return None
    return pid if pid > 0 else None  # -1: it was waited for; 0: it is in no namespace of ours


def same_process(one: Process | None, other: Process | None) -> bool:
    """Whether two looks were at the same process, whatever it has become in between."""
    return one is not None and other is not None and (one.pid, one.started) == (other.pid, other.started)


def look(pid: int) -> Process | None:
    """The process that has a number now.

    Who got the number from elsewhere does not know that it is the one that was meant.
    """
    try:
        pidfd = system.open_pidfd(pid)
    except (OSError, OverflowError, ValueError):
        return None
    try:
        return process(pidfd)
    finally:
        os.close(pidfd)


def members(group: int, session: int, uid: int | None) -> Iterator[int]:
    """Pidfds of the processes of a process group in a session that are one user's (None: anybody's).

    Each is the caller's to close.

    Whoever starts while this is read may be missed.
    """
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError):
            if os.getpgid(int(name)) != group:
                continue
            pidfd = system.open_pidfd(int(name))
            found = process(pidfd)
            if (
                found is not None
                and (found.group, found.session) == (group, session)
                and (uid is None or found.runs_as(uid))
            ):
                yield pidfd
            else:
                os.close(pidfd)


def kill_group(leader: int, pid: int, uid: int | None) -> None:
    """SIGKILL to the process group that a master leads, or has led; to nobody who is not its user's.

    ``leader`` is its pidfd. While nobody has waited for it, the number of its group can be nobody else's, and the
    whole group is signalled at once. Later the number says little, and each process is looked at.
    """
    if pid <= 1:
        return
    found = process(leader)
    if found is not None and found.pid == pid == found.group:
        system.kill_group(pid, signal.SIGKILL)
        return
    for pidfd in members(pid, pid, uid):
        try:
            system.send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
