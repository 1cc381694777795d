"""The scoreboard: what the workers of one generation do, readable by anyone at any time.

One memfd per generation, made by the supervisor, mapped by master and workers:
a versioned header, then fixed records, each written by one worker only. It
outlives the worker, so its last numbers can be read after its death.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

VERSION = 1
SLOTS = 512
_HEADER = struct.Struct("=8sIII")  # magic, version, slots, record size
_MAGIC = b"releve\x00\x00"
_RECORD_BYTES = 512  # room to grow: what a release does not know it leaves alone
BUCKETS = (
    28  # of durations: bucket n counts requests of less than 2**n microseconds, and at least half of that; the last has all longer ones
)
_FIELDS = (
    "pid",
    "heartbeat_ns",  # CLOCK_MONOTONIC of the loop's last turn
    "requests",  # answered, all classes
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
)
_PLACE = {name: place for place, name in enumerate((*_FIELDS, *("",) * BUCKETS, *_LATER)) if name}
_RECORD = struct.Struct("=" + "Q" * (len(_FIELDS) + BUCKETS + len(_LATER)))


@dataclass(frozen=True, slots=True)
class Record:
    """One worker's numbers."""

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


def make() -> int:
    """A new, empty scoreboard as a memfd (close-on-exec); the caller owns it."""
    fd = os.memfd_create("releve-scoreboard", os.MFD_CLOEXEC)
    os.ftruncate(fd, _RECORD_BYTES * (SLOTS + 1))
    os.pwrite(fd, _HEADER.pack(_MAGIC, VERSION, SLOTS, _RECORD_BYTES), 0)
    return fd


class Scoreboard:
    """A mapping of a scoreboard; does not own the descriptor."""

    def __init__(self, fd: int) -> None:
        magic, version, self.slots, self._size = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
        if magic != _MAGIC or version != VERSION:
            raise ValueError(f"cannot read the scoreboard: version {version}, this release knows {VERSION}")
        self._map = mmap.mmap(fd, self._size * (self.slots + 1))

    def read(self, slot: int) -> Record:
        """The record of a slot, dead or alive."""
        numbers = _RECORD.unpack_from(self._map, self._size * (slot + 1))
        first, last = len(_FIELDS), len(_FIELDS) + BUCKETS
        return Record(**{name: numbers[place] for name, place in _PLACE.items()}, durations=numbers[first:last])

    def tally(self, slot: int) -> Tally:
        """In the worker: the writer of one slot, zeroed and given to this process."""
        start = self._size * (slot + 1)
        view = memoryview(self._map)[start : start + _RECORD.size].cast("B").cast("Q")
        tally = Tally(view)
        for index in range(len(view)):
            view[index] = 0
        view[0] = os.getpid()
        return tally

    def close(self) -> None:
        """Unmap."""
        self._map.close()


def bucket(seconds: float) -> int:
    """The bucket of a duration."""
    return min(int(seconds * 1e6).bit_length(), BUCKETS - 1)


def quantile_s(durations: Sequence[int], share: float) -> float | None:
    """Below how many seconds that share of the requests was answered, to the next power of two of microseconds; None without any."""
    total = sum(durations)
    if not total:
        return None
    reached = (number for number, seen in enumerate(accumulate(durations)) if seen >= share * total)
    return float(2 ** next(reached)) / 1e6


class Tally:
    """In the worker: the only writer of a slot. Called by the loop only."""

    __slots__ = ("_view", "durations")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.durations = view[len(_FIELDS) : len(_FIELDS) + BUCKETS]  # counted up in place, by the bucket

    def beat(self) -> None:
        """Note a turn of the loop."""
        self._view[1] = time.monotonic_ns()

    def answered(self, status_class: int, number: int) -> None:
        """Count responses of one status class (``2`` for 2xx)."""
        self._view[2] += number
        if 2 <= status_class < 6:
            self._view[3 + status_class] += number

    def add(self, name: str, number: int) -> None:
        """Add to a counter (``received``, ``given``, ``accepted``, ``diverted``)."""
        self._view[_PLACE[name]] += number

    def put(self, name: str, number: int) -> None:
        """Set a gauge (``connections``, ``busy``)."""
        self._view[_PLACE[name]] = number
