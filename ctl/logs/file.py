"""A log file, read from its end, and followed while others write to it and rotate it.

It may lie in a folder that the application's user can write in, and root may be the one who reads: so no link is
followed out of there, nothing but a regular file is opened, and no line is read that is longer than anybody writes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import chain
from typing import BinaryIO

from releve.ctl.logs.entry import Entry, belongs_to_the_line_before, entry
from releve.ctl.logs.selection import Selection
from releve.instance import paths

BLOCK_BYTES = 1 << 16
LONGEST_BYTES = 1 << 20  # of a line, and of the lines of an entry; what the log writes is shorter
LATE = timedelta(seconds=5)  # lines of several processes may be out of order by this much
EARLIER = ".1"  # what logrotate calls the file before, until it is compressed
TOO_LONG = "… (a line of more than 1 MiB is not shown)"
NO_FURTHER = "… (a line of more than 1 MiB is not shown, nor what is before it)"


def backwards(file: BinaryIO, end: int) -> Iterator[str]:
    """The lines of a file before an offset, where a line ends; the last one first. It ends at a line that is too long:
    one that has no end need not have a beginning either.
    """
    rest = b""
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        lines = (file.read(end - start) + rest).split(b"\n")
        end, rest = start, lines[0]
        for line in reversed(lines[1:]):
            yield line.decode("utf-8", "replace")
        if len(rest) > LONGEST_BYTES:
            yield NO_FURTHER
            return
    yield rest.decode("utf-8", "replace")


def end_of_lines(file: BinaryIO) -> int:
    """Where the last whole line of a file ends; the end of the file if what is behind it is too long for a line."""
    size = end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
        if size - end > LONGEST_BYTES:
            return size
    return 0


def newest(lines: Iterable[str], zone: str, wanted: Selection, limit: int | None) -> Iterator[Entry]:
    """The entries that are asked for in lines that come the last first; the newest first, at most ``limit``."""
    behind: list[str] = []  # lines that belong to one before them
    length = count = 0
    for line in lines:
        length += len(line) + 1
        if belongs_to_the_line_before(line) and length <= LONGEST_BYTES:
            behind.append(line)
            continue
        found = entry([line, *reversed(behind)], zone)
        behind.clear()
        length = 0
        if limit is not None and count >= limit:
            return
        if wanted.since is not None and found.time is not None and found.time < wanted.since - LATE:
            return
        if found.text and wanted.admits(found):
            count += 1
            yield found


def _open(path: str) -> BinaryIO:
    """The regular file at a path; a link that somebody else may have put there leads only to a file of whoever did."""
    try:
        fd = paths.open_regular(path)
    except OSError as error:
        if error.errno != errno.ELOOP or not error.filename or not (owner := os.lstat(error.filename).st_uid):
            raise
        fd = paths.open_regular(path, also_of=owner)
    return open(fd, "rb", buffering=0)  # a buffer would still have what was there before a truncation


class LogFile:
    """A file at a path, open for reading. ``zone``: of time stamps without one, as +0100."""

    def __init__(self, path: str, zone: str = "") -> None:
        """Raises OSError."""
        self.path = os.path.abspath(path)
        self._zone = zone
        self._file = _open(self.path)
        self._begin_at(0)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def last(self, wanted: Selection) -> list[Entry]:
        """The last entries that are asked for, the newest last; also of the file before a rotation."""
        end = end_of_lines(self._file)
        self._begin_at(end)
        found = list(newest(self._lines(self._file, end), self._zone, wanted, wanted.lines))
        if wanted.lines is None or len(found) < wanted.lines:
            left = None if wanted.lines is None else wanted.lines - len(found)
            with suppress(OSError), _open(self.path + EARLIER) as earlier:  # where there is one, and it can be read
                if os.fstat(earlier.fileno()).st_uid == os.fstat(self._file.fileno()).st_uid:
                    found += newest(self._lines(earlier, end_of_lines(earlier)), self._zone, wanted, left)
        return found[::-1]

    def news(self) -> Iterator[Entry]:
        """What has been written since it was read last; goes over to the file that lies at the path now.

        Raises OSError where that cannot be opened.
        """
        yield from self._added()
        try:
            now = os.stat(self.path)
            held = os.fstat(self._file.fileno())
            other = None if (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino) else _open(self.path)
        except FileNotFoundError:
            return  # between the rename and the new file
        if other is not None:
            yield from self._added()  # what came before the writers went over
            self._file.close()
            self._file = other
            self._begin_at(0)
            yield from self._added()
        elif held.st_size < self._end:  # it was truncated
            self._begin_at(0)
            yield from self._added()

    def _begin_at(self, end: int) -> None:
        self._end = end  # up to where it has been read
        self._rest = b""  # of that, the beginning of a line
        self._skips = False  # whether that is in the middle of a line that is too long

    def _lines(self, file: BinaryIO, end: int) -> Iterator[str]:
        lines = backwards(file, end)
        first = next(lines)  # what is behind the last line break: nothing, or what is too long
        return chain([first], lines) if first else lines

    def _added(self) -> Iterator[Entry]:
        """The entries that have been added."""
        gathered: list[str] = []
        length = 0
        for line in self._added_lines():
            length += len(line) + 1
            if gathered and not (belongs_to_the_line_before(line) and length <= LONGEST_BYTES):
                yield entry(gathered, self._zone)
                gathered, length = [], len(line) + 1
            gathered.append(line)
        if gathered:
            yield entry(gathered, self._zone)

    def _added_lines(self) -> Iterator[str]:
        """Whole lines; the beginning of one waits for the rest."""
        self._file.seek(self._end)
        while data := self._file.read(BLOCK_BYTES):
            self._end += len(data)
            *lines, rest = (self._rest + data).split(b"\n")
            if self._skips and lines:
                del lines[0]
                self._skips = False
            self._rest = b"" if self._skips else rest
            for line in lines:
                yield line.decode("utf-8", "replace")
            if len(self._rest) > LONGEST_BYTES:
                self._rest, self._skips = b"", True
                yield TOO_LONG
