"""A worker, as the supervisor holds it: its control pair, its pidfd, its last known state.

The worker is its master's child; the supervisor keeps a duplicate of the master's
end of the control pair, so that a master's death costs nothing: whoever is left
commands the worker with the same verbs.
"""

from __future__ import annotations

import os
import time

from releve.server.link import Link, LinkError
from releve.supervisor import system


class Worker:
    """One worker of a generation. Owns its control link and its pidfd."""

    def __init__(self, number: int, pid: int, slot: int, revision: int, control: Link, pidfd: int, state: str = "booting") -> None:
        self.number = number
        self.pid = pid
        self.slot = slot
        self.revision = revision
        self.control = control
        self.pidfd = pidfd
        self.state = state
        self.started = time.monotonic()
        self.reopened = False  # its log files, as it was told last; only known where there is no master

    def tell(self, verb: str, fds: tuple[int, ...] = (), **keys: object) -> bool:
        """Send one order on the control pair; False when the worker is gone."""
        try:
            self.control.send({"type": verb, **keys}, fds)
        except LinkError:
            return False
        return True

    def kill(self, number: int) -> None:
        """Signal it."""
        system.send_signal(self.pidfd, number)

    def close(self) -> None:
        """Forget it."""
        self.control.close()
        os.close(self.pidfd)
