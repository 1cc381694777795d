"""A worker, as the supervisor holds it: its control pair, its pidfd, its last known state.

The worker is its master's child; the supervisor keeps a duplicate of the master's
end of the control pair, so that a master's death costs nothing: whoever is left
commands the worker with the same verbs.
"""

from __future__ import annotations

import os
import time

from releve.config.frozen import dataclass
from releve.server.scoreboard.inflight import InflightCall
from releve.server.scoreboard.record import Record
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.shared import closing
from releve.server.shared.link import Link, LinkError
from releve.server.shared.states import WorkerState
from releve.supervisor.channels.observer import Observer
from releve.supervisor.host import system
from releve.supervisor.reporting.log import log


@dataclass(frozen=True, slots=True)
class LastExit:
    """How a worker ended that another one has replaced. ``when`` is monotonic."""

    words: str
    when: float


class Worker:
    """One worker of a generation. Owns its control link and its pidfd."""

    def __init__(
        self,
        number: int,
        pid: int,
        slot: int,
        revision: int,
        control: Link,
        pidfd: int,
        state: str = WorkerState.BOOTING,
    ) -> None:
        """``state``: as it was told last. A release may know one that is none of ours (``WorkerState``)."""
        self.number = number
        self.pid = pid
        self.slot = slot
        self.revision = revision
        self.control = control
        control.discard = closing.close
        self.pidfd = pidfd
        self.state = state
        self.started = time.monotonic()
        self.restarts = 0  # of those before it in its place, how many ended unasked
        self.last_exit: LastExit | None = None  # of the one before it, if that ended unasked
        # None: its release has no thread that answers, or there was no descriptor for it
        self.observer: Observer | None = None
        self.dismissed = False  # it was told to leave; only known where there is no master
        self.killed = False  # from here, without having been told to leave
        # leaves and accepts, and has finished all that it had when it was told; only known where there is no master
        self.spent = False
        self.reopened = False  # its log files, as it was told last; only known where there is no master

    def tell(self, verb: str, fds: tuple[int, ...] = (), **keys: object) -> bool:
        """Send one order on the control pair; False when the worker is gone."""
        try:
            self.control.send({"type": verb, **keys}, fds)
        except LinkError:
            return False
        return True

    def observe(self) -> None:
        """Give it its end of a pair on which it says where its threads are."""
        try:
            self.observer = Observer()
        except OSError as error:
            log.warning("cannot observe worker %d (pid %d): %s", self.number, self.pid, error.strerror)
            return
        self.tell("observe", (self.observer.theirs.fileno(),))
        self.observer.theirs.close()  # where it was not taken, there is no answer

    def record(self, board: Scoreboard) -> Record | None:
        """What it has counted; None if nobody knows: its slot has another one's numbers, or none that its release
        writes, or the board of its generation is closed.
        """
        found = board.read(self.slot)
        return found if found.pid == self.pid else None

    def calls(self, board: Scoreboard) -> list[InflightCall] | None:
        """What its threads do, or did last; None if nobody knows, or its release does not say."""
        return None if self.record(board) is None else board.calls(self.slot) or None

    def kill(self, number: int) -> None:
        """Send it a signal; nothing happens when it is gone."""
        system.send_signal(self.pidfd, number)

    def close(self) -> None:
        """Close all that is held of it; what it does is not changed."""
        if self.observer is not None:
            self.observer.close()
        closing.close_socket(self.control.socket)
        os.close(self.pidfd)
