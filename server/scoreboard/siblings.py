"""In the worker: what the other workers of its generation say of themselves on the scoreboard."""

from __future__ import annotations

from typing import NamedTuple

from releve.server.scoreboard.record import PLACE

FIND_S = 1.0  # how old a list of them may be

_PID, _HEARTBEAT, _ACCEPTED = PLACE["pid"], PLACE["heartbeat_ns"], PLACE["accepted"]
_CONNECTIONS, _CONNECTIONS_MAX = PLACE["connections"], PLACE["connections_max"]
_BUSY, _THREADS = PLACE["busy"], PLACE["threads"]


class Sibling(NamedTuple):
    """One of them, as it has last said; it may have died since."""

    slot: int
    heartbeat_ns: int  # CLOCK_MONOTONIC of its loop's last turn
    accepted: int
    connections: int


class Siblings:
    """All but this worker."""

    def __init__(self, numbers: memoryview, record_numbers: int, own: int) -> None:
        """``numbers``: the records of all slots, each of ``record_numbers``; ``own`` is the slot of this worker."""
        self._numbers = numbers
        self._each = record_numbers
        self._own = own
        self._slots: list[int] = []
        self._found_until = 0.0

    @property
    def accepted(self) -> int:
        """How many connections this worker has accepted."""
        return int(self._numbers[self._own * self._each + _ACCEPTED])

    def with_room(self, now: float) -> list[Sibling]:
        """Those that have a free thread and are below their limit of connections, at a monotonic time."""
        if now >= self._found_until:
            self._found_until = now + FIND_S
            pids = self._numbers[_PID :: self._each].tolist()
            self._slots = [slot for slot, pid in enumerate(pids) if pid and slot != self._own]
        found = []
        numbers = self._numbers
        for slot in self._slots:
            at = slot * self._each
            connections = numbers[at + _CONNECTIONS]
            if numbers[at + _BUSY] < numbers[at + _THREADS] and connections < numbers[at + _CONNECTIONS_MAX]:
                found.append(Sibling(slot, numbers[at + _HEARTBEAT], numbers[at + _ACCEPTED], connections))
        return found
