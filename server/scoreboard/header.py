"""The header of a scoreboard: which parts it has, and where they begin; written once, by the supervisor.

Both sides may be of different releases. ``VERSION`` changes when a reader of the old
layout would misread the new one; who meets another version counts for itself alone, and
reads nothing. ``LEVEL`` grows when something is added where the old layout had nothing:
the header says where it is, and who does not find it does without.

Two words of it change: since when clients shall be told that this host is not ready, which is the supervisor's, and how
many lines of logs the master could not write, which is the master's.
"""

from __future__ import annotations

import mmap
import struct

from releve.config.frozen import dataclass
from releve.server.scoreboard import inflight, record
from releve.server.scoreboard.recorder import Layout
from releve.server.shared.native import os

VERSION = 1
# 0: without requests in flight and the words on readiness; 1: answers of our own are among the requests; 2: without
# recorders; 3: without what a worker may hold, and since when it is full
LEVEL = 4
SLOTS = 512
UNREADY = struct.Struct("=QQ")  # CLOCK_MONOTONIC (ns) of `ctl drain`, and of the beginning of a stop; 0: neither
UNREADY_AT = 64
LOST = struct.Struct("=Q")
LOST_AT = 128
_SLOTS_MAX = 4096  # nobody believes in more, nor in larger records
_RECORD_BYTES_MAX = 4096
_RECORD_BYTES = 512  # room to grow: what a release does not know it leaves alone
_MAGIC = b"releve\x00\x00"
_RECORDS = struct.Struct("=8sIII")  # magic, version, slots, record size
_RECORDS_AT = 0
# level, inflight record size, inflight records of a slot, where the requests in flight begin
_TABLES = struct.Struct("=IIIQ")
_TABLES_AT = 32
_RECORDERS = struct.Struct("=IIIIQ")  # the `Layout` of a recorder, and where they begin
_RECORDERS_AT = 96


@dataclass(frozen=True, slots=True)
class Records:
    """Where the records of the workers are: one for each slot, behind a header of the same size."""

    slots: int = SLOTS
    record_bytes: int = _RECORD_BYTES

    def at(self, slot: int) -> int:
        """Where the record of a slot begins."""
        return self.record_bytes * (slot + 1)

    @property
    def end(self) -> int:
        """Where something else may begin."""
        return self.at(self.slots)


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the requests in flight are: a table for each slot."""

    begin: int
    slots: int
    record_bytes: int
    records: int  # of one table

    @property
    def length(self) -> int:
        """Bytes of one table."""
        return self.record_bytes * self.records

    def at(self, slot: int) -> int:
        """Where the table of a slot begins."""
        return self.begin + slot * self.length

    @property
    def end(self) -> int:
        """Where something else may begin."""
        return self.at(self.slots)


@dataclass(frozen=True, slots=True)
class Recorders:
    """Where the recorders are: one for each slot."""

    begin: int
    slots: int
    layout: Layout

    def at(self, slot: int) -> int:
        """Where the recorder of a slot begins."""
        return self.begin + slot * self.layout.length

    @property
    def end(self) -> int:
        """Where something else may begin."""
        return self.at(self.slots)


@dataclass(frozen=True, slots=True)
class Header:
    """What one scoreboard has."""

    shared: bool = False  # else it is of another version: what is written is seen by nobody, and nothing is read
    records: Records = Records()
    tables: Tables | None = None  # None: it has no place for them
    recorders: Recorders | None = None  # None: it has no place for them

    @property
    def end(self) -> int:
        """Bytes up to the end of the last part that it has."""
        return (self.recorders or self.tables or self.records).end


def ours() -> Header:
    """The header of the scoreboards that this release makes."""
    records = Records()
    begin = -(-records.end // mmap.PAGESIZE) * mmap.PAGESIZE
    tables = Tables(begin, SLOTS, inflight.RECORD_BYTES, inflight.RECORDS)
    return Header(True, records, tables, Recorders(tables.end, SLOTS, Layout()))


def write(fd: int, header: Header) -> None:
    """Write it into an empty scoreboard. Raises OSError."""
    records, tables, recorders = header.records, header.tables, header.recorders
    assert tables is not None and recorders is not None, "a release writes its own"
    os.pwrite(fd, _RECORDS.pack(_MAGIC, VERSION, records.slots, records.record_bytes), _RECORDS_AT)
    os.pwrite(fd, _TABLES.pack(LEVEL, tables.record_bytes, tables.records, tables.begin), _TABLES_AT)
    os.pwrite(fd, _RECORDERS.pack(*recorders.layout, recorders.begin), _RECORDERS_AT)


def read(fd: int) -> Header:
    """What is said in it, as far as it can be true of a file of this size. Raises OSError."""
    whole = os.fstat(fd).st_size
    records = _read_records(fd, whole)
    if records is None:
        return Header()
    level, tables = _read_tables(fd, whole, records)
    recorders = _read_recorders(fd, whole, (tables or records).end, records.slots) if level > 2 else None
    return Header(True, records, tables, recorders)


def _read_records(fd: int, whole: int) -> Records | None:
    magic, version, slots, size = _RECORDS.unpack(_look(fd, _RECORDS.size, _RECORDS_AT))
    found = Records(slots, size)
    known = magic == _MAGIC and version == VERSION
    usable = 0 < slots <= _SLOTS_MAX and record.BYTES <= size <= _RECORD_BYTES_MAX and size % 8 == 0
    return found if known and usable and found.end <= whole else None


def _read_tables(fd: int, whole: int, records: Records) -> tuple[int, Tables | None]:
    """The level, and the tables."""
    level, size, number, begin = _TABLES.unpack(_look(fd, _TABLES.size, _TABLES_AT))
    found = Tables(begin, records.slots, size, number)
    usable = inflight.RECORD_BYTES <= size <= _RECORD_BYTES_MAX and 1 < number <= _RECORD_BYTES_MAX
    return level, found if level > 0 and usable and records.end <= begin and found.end <= whole else None


def _read_recorders(fd: int, whole: int, behind: int, slots: int) -> Recorders | None:
    *layout, begin = _RECORDERS.unpack(_look(fd, _RECORDERS.size, _RECORDERS_AT))
    found = Recorders(begin, slots, Layout(*layout))
    return found if found.layout.usable(_RECORD_BYTES_MAX) and behind <= begin and found.end <= whole else None


def _look(fd: int, length: int, at: int) -> bytes:
    """What is there, zeros beyond the end of the file."""
    return os.pread(fd, length, at).ljust(length, b"\0")
