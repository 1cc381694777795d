"""The workers that one master has forked, each an identity with a state.

A worker is known to its master by a pidfd (it cannot be mistaken for another
process) and by its control pair. Its state changes by what it says itself, along
``NEXT``; what it was told last is kept beside it, since the two differ for a while.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Iterable, Iterator

from releve.server.scoreboard.header import SLOTS
from releve.server.shared.link import Link, LinkError, Message
from releve.server.shared.native import os, signal
from releve.server.shared.noise import Noise
from releve.server.shared.states import UP, WorkerState

SLOTS_REST = 8  # freed slots that nobody takes yet

log = logging.getLogger("releve.master")


_S = WorkerState
NEXT: dict[WorkerState, frozenset[WorkerState]] = {
    _S.BOOTING: frozenset({_S.READY, _S.LEAVING, _S.GONE}),
    _S.READY: frozenset({_S.ATTENDING, _S.SERVING, _S.PAUSED, _S.LEAVING, _S.GONE}),
    _S.ATTENDING: frozenset({_S.ATTENDING, _S.SERVING, _S.PAUSED, _S.LEAVING, _S.GONE}),
    _S.SERVING: frozenset({_S.SERVING, _S.PAUSED, _S.LEAVING, _S.GONE}),
    _S.PAUSED: frozenset({_S.PAUSED, _S.SERVING, _S.LEAVING, _S.GONE}),
    _S.LEAVING: frozenset({_S.LEAVING, _S.GONE}),
    _S.GONE: frozenset(),
}


class IllegalTransition(Exception):
    """A worker said something that cannot follow what it said before; nothing changed."""


class Worker:
    """One forked worker. Owns its pidfd and the master's end of its control pair."""

    def __init__(self, number: int, slot: int, revision: int, pid: int, pidfd: int, control: Link) -> None:
        self.number = number
        self.slot = slot
        self.revision = revision
        self.pid = pid
        self.pidfd = pidfd
        self.control = control
        self.state = WorkerState.BOOTING
        self.told: WorkerState | None = None
        self.dismissed = False  # told to leave: its end is expected
        self.serves_on = False  # dismissed, and not spent yet
        self.failed_before = 0  # boots in its place, in a row
        self.heard_out = False  # its end of the control pair is closed, or says nothing that can be understood
        self.noise = Noise(lambda line: log.error("from %s: %s", self, line))
        self.lost_at: float | None = None  # monotonic; then it is ended, since it lives and its control pair has ended
        self.failure: Message | None = None  # what it said, or was found, to have failed
        self.ready_by: float | None = None  # monotonic; for its boot
        self.kill_at: float | None = None  # monotonic; for SIGKILL

    def __str__(self) -> str:
        return f"worker {self.number} (pid {self.pid})"

    def become(self, state: WorkerState) -> None:
        """Take the next state. Raises IllegalTransition, and changes nothing, if it cannot follow the present one."""
        if state not in NEXT[self.state]:
            raise IllegalTransition(f"{self} cannot become {state.value}: it is {self.state.value}")
        self.state = state

    def order(self, message: Message, told: WorkerState, fds: tuple[int, ...] = ()) -> None:
        """Send an order and remember it. A worker that cannot hear it is found dead, or is killed at a deadline."""
        self.told = told
        try:
            self.control.send(message, fds)
        except LinkError as error:
            log.warning("%s did not take an order: %s", self, error)

    def pass_on(self, message: Message, fds: tuple[int, ...]) -> None:
        """Send what changes no state. A worker that cannot hear it is found dead."""
        try:
            self.control.send(message, fds)
        except LinkError as error:
            log.warning("%s did not take an order: %s", self, error)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process; nothing happens if it has ended."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass

    def reap(self) -> int | None:
        """Exit status (or minus the signal) of the ended process; None while it runs.

        255 if somebody else in this process has waited for it, so that nobody can know.
        """
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return 255
        return os.waitstatus_to_exitcode(status) if pid else None

    def close(self) -> None:
        """Close the pidfd and the control end."""
        self.control.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Workers:
    """All workers of a master, of every revision, by number; hands out the numbers and the scoreboard's slots."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._workers: dict[int, Worker] = {}
        self._free = list(range(slots))
        self._resting: deque[int] = deque()  # freed, in order
        self._last = 0

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        """From the eldest to the youngest; the workers may change meanwhile."""
        return iter(list(self._workers.values()))

    def next_number(self) -> int:
        """A worker number never used before in this generation, from 1."""
        self._last += 1
        return self._last

    def take_slot(self) -> int:
        """The lowest free slot. Raises OSError if there is none."""
        while self._resting and (len(self._resting) > SLOTS_REST or not self._free):
            heapq.heappush(self._free, self._resting.popleft())
        if not self._free:
            raise OSError("every slot of the scoreboard is taken")
        return heapq.heappop(self._free)

    def free_slot(self, slot: int) -> None:
        """Give a slot back.

        It is not taken again at once, so that the supervisor can still read what a dead worker did last.
        """
        self._resting.append(slot)

    def add(self, worker: Worker) -> None:
        """Enter a forked worker."""
        self._workers[worker.number] = worker

    def remove(self, worker: Worker) -> None:
        """Strike a reaped worker off, close what it owns, and free its slot."""
        del self._workers[worker.number]
        worker.close()
        self.free_slot(worker.slot)

    def get(self, number: int) -> Worker | None:
        """The worker of that number, if it has not gone."""
        return self._workers.get(number)

    def named(self, numbers: Iterable[int]) -> list[Worker]:
        """Those of these numbers that have not gone, from the eldest to the youngest."""
        return [worker for worker in map(self._workers.get, sorted(numbers)) if worker is not None]

    def standing(self, revision: int) -> list[Worker]:
        """Workers of a revision that count: not dismissed and not leaving by themselves."""
        return [w for w in self if w.revision == revision and not w.dismissed and w.state is not WorkerState.LEAVING]

    def up(self, revision: int) -> list[Worker]:
        """Standing workers that have booted."""
        return [w for w in self.standing(revision) if w.state in UP]
