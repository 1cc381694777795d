"""The record of a worker on the scoreboard: its numbers, which the worker alone writes and anybody reads.

A release adds numbers behind those that older ones know, and never moves one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from releve.config.frozen import dataclass
from releve.server.scoreboard.inflight import Inflight
from releve.server.shared.native import os, time

# Of durations: bucket n counts requests of less than 2**n microseconds, and at least half of that; the last has all
# longer ones.
BUCKETS = 28
POLLED_KIND = 10  # beyond the classes of statuses
KINDS = range(2 * POLLED_KIND)  # of answers: see `Tally.answered`
_FIELDS = (
    "pid",
    "heartbeat_ns",  # CLOCK_MONOTONIC of the loop's last turn
    # of clients, that the application was asked to answer (see `answered`); of level 1 all that were answered
    "requests",
    "connections",  # open now
    "busy",  # in the application now
    "status_2xx",
    "status_3xx",
    "status_4xx",
    "status_5xx",
    "received",  # connections taken from the exchange
    "given",  # connections given to an exchange
    "accepted",  # connections taken from listeners
)
_LATER = (  # behind the durations, whose place older releases know
    "diverted",  # new connections passed on to a canary
    "undiverted",  # those that were to be, and could not
    "level",  # of the release that writes this record: 2 or more, or 0 for whatever is older
    "own",  # answers that are not among the requests: ours, and those to the supervisor
    "polled",  # of the requests, those for the path that is for load balancers, answered by the application
    "polled_5xx",
    "lost",  # lines of logs that could not be written, since writing last succeeded
    "threads",  # that run the application: as many requests are in it at most
    "connections_max",  # limits.connections
    "waiting",  # requests that wait for a thread
    "full_ns",  # CLOCK_MONOTONIC since which every thread is in the application; 0: one is free
)
_PLACE = {name: place for place, name in enumerate((*_FIELDS, *("",) * BUCKETS, *_LATER)) if name}
_HEARTBEAT, _REQUESTS = _PLACE["heartbeat_ns"], _PLACE["requests"]
_STATUS_CLASS_0 = _PLACE["status_2xx"] - 2  # where the class of 0xx would be: those of 2xx to 5xx follow each other
_DURATIONS = slice(len(_FIELDS), len(_FIELDS) + BUCKETS)
_RECORD = struct.Struct("=" + "Q" * (len(_FIELDS) + BUCKETS + len(_LATER)))
BYTES = _RECORD.size


@dataclass(frozen=True, slots=True)
class Record:
    """The numbers of one worker, as they were when somebody looked."""

    pid: int
    heartbeat_ns: int
    requests: int
    connections: int
    busy: int
    status_2xx: int
    status_3xx: int
    status_4xx: int
    status_5xx: int
    received: int
    given: int
    accepted: int
    durations: tuple[int, ...]
    diverted: int = 0
    undiverted: int = 0
    level: int = 0
    own: int = 0
    polled: int = 0
    polled_5xx: int = 0
    lost: int = 0
    threads: int = 0  # 0: not known, as the three below; its release does not say
    connections_max: int = 0
    waiting: int = 0
    full_ns: int = 0

    def settled(self) -> Record:
        """As a release of today would have written it: an older one counted its own answers among the requests, in no
        class; and what it does not know, it has left as the worker before it in that slot had it.
        """
        if self.level >= 4:
            return self
        found = replace(self, threads=0, connections_max=0, waiting=0, full_ns=0)
        if self.level >= 2:
            return found
        return replace(found, requests=self.status_2xx + self.status_3xx + self.status_4xx + self.status_5xx)


def read(data: bytes) -> Record:
    """A record of the ``BYTES`` that a worker has written, of whatever release."""
    numbers = _RECORD.unpack(data)
    return Record(**{name: numbers[place] for name, place in _PLACE.items()}, durations=numbers[_DURATIONS]).settled()


def bucket(seconds: float) -> int:
    """The bucket of a duration."""
    number = int(seconds * 1e6).bit_length()
    return number if number < BUCKETS else BUCKETS - 1


def quantile_s(durations: Sequence[int], share: float) -> float | None:
    """Below how many seconds that share of the requests was answered, to the next power of two of microseconds; None
    without any.
    """
    total = sum(durations)
    if not total:
        return None
    reached = (number for number, seen in enumerate(accumulate(durations)) if seen >= share * total)
    return float(2 ** next(reached)) / 1e6


class Tally:
    """In the worker: the only writer of a slot. Called by the loop only."""

    __slots__ = ("_view", "inflight", "durations")

    def __init__(self, view: memoryview, calls: Inflight) -> None:
        """``view``: the ``BYTES`` of the record."""
        self._view = view.cast("B").cast("Q")
        self.inflight = calls
        self.durations = self._view[_DURATIONS]  # counted up in place, by the bucket

    def begin(self, level: int) -> None:
        """Zero everything, and give the slot to this process, whose release writes records of this level."""
        for place in range(len(self._view)):
            self._view[place] = 0
        self._view[_PLACE["pid"]], self._view[_PLACE["level"]] = os.getpid(), level

    def beat(self) -> None:
        """Note a turn of the loop."""
        self._view[_HEARTBEAT] = time.monotonic_ns()

    def answered(self, kind: int, number: int) -> None:
        """Count responses of one kind: the class of the status (``2`` for 2xx), plus ``POLLED_KIND`` where a balancer
        asked; 0: our own.
        """
        view = self._view
        if not kind:
            view[_PLACE["own"]] += number
            return
        status_class = kind % POLLED_KIND
        view[_REQUESTS] += number
        if 2 <= status_class < 6:
            view[_STATUS_CLASS_0 + status_class] += number
        if kind >= POLLED_KIND:
            view[_PLACE["polled"]] += number
            if status_class == 5:
                view[_PLACE["polled_5xx"]] += number

    def add(self, name: str, number: int) -> None:
        """Add to a counter (``received``, ``given``, ``accepted``, ``diverted``)."""
        self._view[_PLACE[name]] += number

    def put(self, name: str, number: int) -> None:
        """Set a gauge (``connections``, ``busy``, ``waiting``)."""
        self._view[_PLACE[name]] = number
