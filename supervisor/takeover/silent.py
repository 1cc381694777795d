"""A master that does not answer at its door: who that is, and who its workers are, where it is certain enough to signal
them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from releve.instance import holders
from releve.supervisor.host import evidence, proc, system
from releve.supervisor.host.identity import Identity
from releve.supervisor.keepsake.keepsake import KeepsakeError
from releve.supervisor.takeover.verification import AdoptionError, Caller, open_master, recorded


def master_behind(path: Path, configured: Identity | None) -> tuple[int, int] | None:
    """Pid and pidfd (owned by the caller) of the master that holds a door, where it is certain enough to signal it."""
    with suppress(AdoptionError, KeepsakeError, OSError):
        kept = recorded(path)
        if kept is not None and kept.held is not None:
            return kept.held.pid, open_master(Caller(kept.held.pid, -1), kept.held)
        pid = holders.listening(str(path), of_anybody=True)
        if pid is not None:
            pidfd = system.open_pidfd(pid)
            process = evidence.process(pidfd)
            # Its listening socket may have been given to anybody: only one that we would run ourselves is its master.
            uids = {os.geteuid()} if configured is None else {os.geteuid(), configured.uid}
            if (
                process is not None
                and any(process.runs_as(uid) for uid in uids)
                and holders.listening(str(path), of_anybody=True) == pid
            ):
                return pid, pidfd
            os.close(pidfd)
    return None


def workers_of(pid: int) -> list[int]:
    """Pidfds of the children of a master that run as its user, owned by the caller."""
    master, found = evidence.look(pid), []
    for child in proc.open_children(pid):
        process = evidence.process(child)
        if master is not None and process is not None and set(process.uids) <= set(master.uids):
            found.append(child)
        else:
            os.close(child)
    return found
