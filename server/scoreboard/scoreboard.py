"""The scoreboard: what the workers of one generation do, readable by anyone at any time.

One memfd per generation, made by the supervisor, mapped by master and workers:
a versioned header, then fixed records, each written by one worker only; behind them
the requests in flight (``inflight.py``), which say what each thread of a worker serves, and the recorders
(``recorder.py``), which say what failed. It outlives the worker, so its last numbers, requests
and words can be read after its death.

Both sides may be of different releases. ``VERSION`` changes when a reader of the old
layout would misread the new one; who meets another version counts for itself alone, and
reads nothing. ``LEVEL`` grows when something is added where the old layout had nothing:
the header says where it is, and who does not find it does without.

The supervisor alone writes the header; two words of it say whether clients shall be told
that this host is not ready. One more word there is the master's: how many lines of logs it could not write.

Whoever has the memory file may write anything into it, and an application that was broken
into does. Its size is sealed (F_SEAL_SHRINK of fcntl(2)): cutting it would end, by SIGBUS,
everybody who has it mapped. What a reader takes from it is bounded by its size, and is
otherwise nonsense at worst.
"""

from __future__ import annotations

import fcntl
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from releve.server.scoreboard import inflight
from releve.server.scoreboard.recorder import Layout, Line, Recorder, Sample
from releve.server.scoreboard.recorder import read as read_recorder
from releve.server.shared.native import os, time

VERSION = 1
# 0: without requests in flight and the words on readiness; 1: answers of our own are among the requests; 2: without
# recorders; 3: without what a worker may hold, and since when it is full
LEVEL = 4
SLOTS = 512
SLOTS_MAX = 4096  # nobody believes in more, nor in larger records
RECORD_BYTES_MAX = 4096
_HEADER = struct.Struct("=8sIII")  # magic, version, slots, record size
# level, inflight record size, inflight records of a slot, where the requests in flight begin
_MORE = struct.Struct("=IIIQ")
_MORE_AT = 32
_UNREADY = struct.Struct("=QQ")  # CLOCK_MONOTONIC (ns) of `ctl drain`, and of the beginning of a stop; 0: neither
_UNREADY_AT = 64
_RECORDERS = struct.Struct("=IIIIQ")  # the `Layout` of a recorder, and where they begin
_RECORDERS_AT = 96
_LOST = struct.Struct("=Q")
_LOST_AT = 128
_MAGIC = b"releve\x00\x00"
_RECORD_BYTES = 512  # room to grow: what a release does not know it leaves alone
BUCKETS = (
    # of durations: bucket n counts requests of less than 2**n microseconds, and at least half of that; the last has all
    # longer ones
    28
)
POLLED_KIND = 10  # beyond the classes of statuses
KINDS = range(2 * POLLED_KIND)  # of answers: see `Tally.answered`
_FIELDS = (
    "pid",
    "heartbeat_ns",  # CLOCK_MONOTONIC of the loop's last turn
    # of clients, that the application was asked to answer (answer.py says which); of level 1 all that were answered
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
_RECORD = struct.Struct("=" + "Q" * (len(_FIELDS) + BUCKETS + len(_LATER)))
_INFLIGHT_AT = -(-_RECORD_BYTES * (SLOTS + 1) // mmap.PAGESIZE) * mmap.PAGESIZE
_FIRST_RECORDER_AT = _INFLIGHT_AT + SLOTS * inflight.BYTES


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


def make() -> int:
    """A new, empty scoreboard as a memfd (close-on-exec); the caller owns it."""
    fd = os.memfd_create("releve-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _FIRST_RECORDER_AT + SLOTS * Layout().length)  # what nobody writes takes no memory
    os.pwrite(fd, _HEADER.pack(_MAGIC, VERSION, SLOTS, _RECORD_BYTES), 0)
    os.pwrite(fd, _MORE.pack(LEVEL, inflight.RECORD_BYTES, inflight.RECORDS, _INFLIGHT_AT), _MORE_AT)
    os.pwrite(fd, _RECORDERS.pack(*Layout(), _FIRST_RECORDER_AT), _RECORDERS_AT)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def sealed(fd: int) -> bool:
    """Whether nobody can cut this file: only then may it be mapped by who must outlive those that have it too."""
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # no memory file
        return False


class Scoreboard:
    """A view of a scoreboard; does not own the descriptor, which must outlive it."""

    def __init__(self, fd: int, *, careful: bool = False) -> None:
        """``careful``: do not map a file that others may cut, but look into it anew each time.

        For who only reads records.
        """
        magic, version, slots, size = _HEADER.unpack(os.pread(fd, _HEADER.size, 0).ljust(_HEADER.size, b"\0"))
        whole = os.fstat(fd).st_size
        known = magic == _MAGIC and version == VERSION
        # else what is written here is seen by nobody, and nothing is read
        self.shared = (
            known
            and 0 < slots <= SLOTS_MAX
            and _RECORD.size <= size <= RECORD_BYTES_MAX
            and size % 8 == 0
            and size * (slots + 1) <= whole
        )
        self.slots: int = slots if self.shared else SLOTS
        self._size: int = size if self.shared else _RECORD_BYTES
        level, size, records, at = _MORE.unpack(os.pread(fd, _MORE.size, _MORE_AT).ljust(_MORE.size, b"\0"))
        self.level = level if self.shared else 0
        end = at + self.slots * size * records
        usable = (
            self.level > 0
            and inflight.RECORD_BYTES <= size <= RECORD_BYTES_MAX
            and 1 < records <= RECORD_BYTES_MAX
            and end <= whole
        )
        self._dockets_at = at if usable else 0
        self._inflight_record: int = size if usable else inflight.RECORD_BYTES
        self._inflight_records: int = records if usable else inflight.RECORDS
        *layout, at = _RECORDERS.unpack(os.pread(fd, _RECORDERS.size, _RECORDERS_AT).ljust(_RECORDERS.size, b"\0"))
        self._layout = Layout(*layout)
        last = at + self.slots * self._layout.length
        written = self.level > 2 and self._layout.usable(RECORD_BYTES_MAX) and end <= at and last <= whole
        self._diaries_at = at if written else 0
        self._fd = fd if self.shared and careful and not sealed(fd) else -1  # to be read from; -1: there is a mapping
        mapped = 1 if self._fd >= 0 else last if written else end if usable else self._size * (self.slots + 1)
        self._map = mmap.mmap(fd if self.shared and self._fd < 0 else -1, mapped)

    def read(self, slot: int) -> Record:
        """The record of a slot, dead or alive; an empty one of a slot that there is not."""
        numbers = _RECORD.unpack(
            self._look(self._size * (slot + 1), _RECORD.size) if 0 <= slot < self.slots else bytes(_RECORD.size)
        )
        first, last = len(_FIELDS), len(_FIELDS) + BUCKETS
        return Record(
            **{name: numbers[place] for name, place in _PLACE.items()}, durations=numbers[first:last]
        ).settled()

    def _look(self, start: int, length: int) -> bytes:
        """What is there, zeros beyond the end of it, and once it is closed."""
        found = (
            b""
            if self._map.closed
            else self._map[start : start + length]
            if self._fd < 0
            else os.pread(self._fd, length, start)
        )
        return found.ljust(length, b"\0")

    def tally(self, slot: int) -> Tally:
        """In the worker: the writer of one slot, zeroed and given to this process."""
        start = self._size * (slot + 1)
        view = memoryview(self._map)[start : start + _RECORD.size].cast("B").cast("Q")
        tally = Tally(view, self._inflight(slot))
        for index in range(len(view)):
            view[index] = 0
        view[0], view[_PLACE["level"]] = os.getpid(), LEVEL
        return tally

    def calls(self, slot: int) -> list[inflight.InflightCall]:
        """What the threads of a slot do, or did last; empty if its worker does not say."""
        if not self._dockets_at or not 0 <= slot < self.slots:
            return []
        length = self._inflight_record * self._inflight_records
        start = self._dockets_at + slot * length
        heartbeat_ns = self.read(slot).heartbeat_ns
        return inflight.read(self._look(start, length), self._inflight_record, heartbeat_ns)

    def _inflight(self, slot: int) -> inflight.Inflight:
        """In the worker: the writer of what is in flight in a slot; if there is no place for one, of one that nobody
        reads.
        """
        length = self._inflight_record * self._inflight_records
        if not self._dockets_at:
            return inflight.Inflight(memoryview(mmap.mmap(-1, length)), self._inflight_record)
        start = self._dockets_at + slot * length
        return inflight.Inflight(memoryview(self._map)[start : start + length], self._inflight_record)

    def recorder(self, slot: int, worker: int) -> Recorder | None:
        """In the worker: the writer of a slot's recorder; None if there is no place for one.

        ``worker`` is its number.
        """
        if not self._diaries_at:
            return None
        start = self._diaries_at + slot * self._layout.length
        return Recorder(memoryview(self._map)[start : start + self._layout.length], self._layout, worker)

    def told(self, slot: int) -> tuple[list[Sample], list[Line]]:
        """What is recorded in a slot, of the worker that has it, and perhaps of one that had it before; empty if there
        is none.
        """
        if not self._diaries_at or not 0 <= slot < self.slots:
            return [], []
        length = self._layout.length
        return read_recorder(self._look(self._diaries_at + slot * length, length), self._layout)

    @property
    def drained_ns(self) -> int:
        """Since when (CLOCK_MONOTONIC) new clients shall go elsewhere, by `ctl drain`; 0: they shall not."""
        return int(self._unready()[0])

    @property
    def ready(self) -> bool:
        """Whether neither `ctl drain` nor a stop sends new clients elsewhere."""
        return self._unready() == (0, 0)

    def announce(self, drained_ns: int, stopping_ns: int) -> None:
        """In the supervisor, the one writer: tell every worker whether new clients shall go elsewhere.

        Readers of level 0 do not know.
        """
        if self._fd < 0:
            _UNREADY.pack_into(self._map, _UNREADY_AT, drained_ns, stopping_ns)
        else:
            os.pwrite(self._fd, _UNREADY.pack(drained_ns, stopping_ns), _UNREADY_AT)

    @property
    def lost(self) -> int:
        """How many lines of logs the master could not write, since writing last succeeded; 0 of one that does
        not say.
        """
        return int(_LOST.unpack(self._look(_LOST_AT, _LOST.size))[0])

    def lose(self, lines: int) -> None:
        """In the master: say so."""
        _LOST.pack_into(self._map, _LOST_AT, lines)

    def _unready(self) -> tuple[int, int]:
        drained_ns, stopping_ns = _UNREADY.unpack(self._look(_UNREADY_AT, _UNREADY.size))
        return drained_ns, stopping_ns

    def close(self) -> None:
        """Let go of the memory; the file itself stays, with whoever holds it."""
        self._map.close()


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

    def __init__(self, view: memoryview, calls: inflight.Inflight) -> None:
        self._view = view
        self.inflight = calls
        self.durations = view[len(_FIELDS) : len(_FIELDS) + BUCKETS]  # counted up in place, by the bucket

    def beat(self) -> None:
        """Note a turn of the loop."""
        self._view[1] = time.monotonic_ns()

    def answered(self, kind: int, number: int) -> None:
        """Count responses of one kind: the class of the status (``2`` for 2xx), plus ``POLLED_KIND`` where a balancer
        asked; 0: our own.
        """
        view = self._view
        if not kind:
            view[_PLACE["own"]] += number
            return
        status_class = kind % POLLED_KIND
        view[2] += number
        if 2 <= status_class < 6:
            view[3 + status_class] += number
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
