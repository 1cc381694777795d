"""The scoreboard: what workers write and the supervisor reads, in memory that all of them share.

A memory file: a header (``header.py``), then a record of numbers for each worker (``record.py``); behind them
the requests in flight (``inflight.py``), which say what each thread of a worker serves, and the recorders
(``recorder.py``), which say what failed. Each part of a slot is written by one worker only. It outlives the worker, so
its last numbers, requests and words can be read after its death.

Whoever has the memory file may write anything into it, and an application that was broken
into does. Its size is sealed (F_SEAL_SHRINK of fcntl(2)): cutting it would end, by SIGBUS,
everybody who has it mapped. What a reader takes from it is bounded by its size, and is
otherwise nonsense at worst.
"""

from __future__ import annotations

import fcntl
import mmap

from releve.server.scoreboard import header, inflight, record
from releve.server.scoreboard.header import LEVEL, LOST, LOST_AT, UNREADY, UNREADY_AT
from releve.server.scoreboard.inflight import Inflight, InflightCall
from releve.server.scoreboard.record import Record, Tally
from releve.server.scoreboard.recorder import Line, Recorder, Sample
from releve.server.scoreboard.recorder import read as read_recorder
from releve.server.shared.native import os


def make() -> int:
    """A new, empty scoreboard as a memfd (close-on-exec); the caller owns it."""
    fd = os.memfd_create("releve-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    ours = header.ours()
    os.ftruncate(fd, ours.end)  # what nobody writes takes no memory
    header.write(fd, ours)
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
        self._header = header.read(fd)
        self._fd = fd if self.shared and careful and not sealed(fd) else -1  # to be read from; -1: there is a mapping
        self._map = mmap.mmap(fd if self.shared and self._fd < 0 else -1, 1 if self._fd >= 0 else self._header.end)

    @property
    def shared(self) -> bool:
        """Whether others see what is written here; else nothing is read either."""
        return self._header.shared

    @property
    def slots(self) -> int:
        """How many workers have room."""
        return self._header.records.slots

    def read(self, slot: int) -> Record:
        """The record of a slot, dead or alive; an empty one of a slot that there is not."""
        there = 0 <= slot < self.slots
        return record.read(self._look(self._header.records.at(slot), record.BYTES) if there else bytes(record.BYTES))

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
        start = self._header.records.at(slot)
        tally = Tally(memoryview(self._map)[start : start + record.BYTES], self._inflight(slot))
        tally.begin(LEVEL)
        return tally

    def _inflight(self, slot: int) -> Inflight:
        """In the worker: the writer of what is in flight in a slot; if there is no place for one, of one that nobody
        reads.
        """
        tables = self._header.tables
        if tables is None:
            return Inflight(memoryview(mmap.mmap(-1, inflight.BYTES)), inflight.RECORD_BYTES)
        start = tables.at(slot)
        return Inflight(memoryview(self._map)[start : start + tables.length], tables.record_bytes)

    def calls(self, slot: int) -> list[InflightCall]:
        """What the threads of a slot do, or did last; empty if its worker does not say."""
        tables = self._header.tables
        if tables is None or not 0 <= slot < self.slots:
            return []
        written = self._look(tables.at(slot), tables.length)
        return inflight.read(written, tables.record_bytes, self.read(slot).heartbeat_ns)

    def recorder(self, slot: int, worker: int) -> Recorder | None:
        """In the worker: the writer of a slot's recorder; None if there is no place for one.

        ``worker`` is its number.
        """
        recorders = self._header.recorders
        if recorders is None:
            return None
        start, layout = recorders.at(slot), recorders.layout
        return Recorder(memoryview(self._map)[start : start + layout.length], layout, worker)

    def told(self, slot: int) -> tuple[list[Sample], list[Line]]:
        """What is recorded in a slot, of the worker that has it, and perhaps of one that had it before; empty if there
        is none.
        """
        recorders = self._header.recorders
        if recorders is None or not 0 <= slot < self.slots:
            return [], []
        layout = recorders.layout
        return read_recorder(self._look(recorders.at(slot), layout.length), layout)

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
            UNREADY.pack_into(self._map, UNREADY_AT, drained_ns, stopping_ns)
        else:
            os.pwrite(self._fd, UNREADY.pack(drained_ns, stopping_ns), UNREADY_AT)

    @property
    def lost(self) -> int:
        """How many lines of logs the master could not write, since writing last succeeded; 0 of one that does
        not say.
        """
        return int(LOST.unpack(self._look(LOST_AT, LOST.size))[0])

    def lose(self, lines: int) -> None:
        """In the master: say so."""
        LOST.pack_into(self._map, LOST_AT, lines)

    def _unready(self) -> tuple[int, int]:
        drained_ns, stopping_ns = UNREADY.unpack(self._look(UNREADY_AT, UNREADY.size))
        return drained_ns, stopping_ns

    def close(self) -> None:
        """Let go of the memory; the file itself stays, with whoever holds it."""
        self._map.close()
