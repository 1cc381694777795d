"""A log file, read from its end, and followed while others write to it and rotate it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import BinaryIO

from releve.ctl.logs.entry import Entry, belongs_to_the_line_before, entry
from releve.ctl.logs.selection import Selection

BLOCK_BYTES = 1 << 16
LATE = timedelta(seconds=5)  # lines of several processes may be out of order by this much
EARLIER = ".1"  # what logrotate calls the file before, until it is compressed


def backwards(file: BinaryIO, end: int) -> Iterator[str]:
    """The lines of a file before an offset, where a line ends; the last one first."""
    rest = b""
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        lines = (file.read(end - start) + rest).split(b"\n")
        end, rest = start, lines[0]
        for line in reversed(lines[1:]):
            yield line.decode("utf-8", "replace")
    yield rest.decode("utf-8", "replace")


def end_of_lines(file: BinaryIO) -> int:
    """Where the last whole line of a file ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0


def newest(lines: Iterable[str], zone: str, wanted: Selection, limit: int | None) -> Iterator[Entry]:
    """The entries that are asked for in lines that come the last first; the newest first, at most ``limit``."""
    behind: list[str] = []  # lines that belong to one before them
    count = 0
    for line in lines:
        if belongs_to_the_line_before(line):
            behind.append(line)
            continue
        found = entry([line, *reversed(behind)], zone)
        behind.clear()
        if limit is not None and count >= limit:
            return
        if wanted.since is not None and found.time is not None and found.time < wanted.since - LATE:
            return
        if found.text and wanted.admits(found):
            count += 1
            yield found


def _open(path: str) -> BinaryIO:
    return open(path, "rb")


class LogFile:
    """A file at a path, open for reading. ``zone``: of time stamps without one, as +0100."""

    def __init__(self, path: str, zone: str = "") -> None:
        """Raises OSError."""
        self.path = path
        self._zone = zone
        self._file = _open(path)
        self._end = 0  # up to where it has been read

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def last(self, wanted: Selection) -> list[Entry]:
        """The last entries that are asked for, the newest last; also of the file before a rotation."""
        self._end = end_of_lines(self._file)
        found = list(newest(self._lines(self._file, self._end), self._zone, wanted, wanted.lines))
        if wanted.lines is None or len(found) < wanted.lines:
            left = None if wanted.lines is None else wanted.lines - len(found)
            try:
                with open(self.path + EARLIER, "rb") as earlier:
                    lines = self._lines(earlier, end_of_lines(earlier))
                    found += newest(lines, self._zone, wanted, left)
            except OSError:
                pass  # there is none, or it cannot be read
        return found[::-1]

    def news(self) -> Iterator[Entry]:
        """What has been written since it was read last; goes over to the file that lies at the path now.

        Raises OSError where that cannot be opened.
        """
        yield from self._added()
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            return  # between the rename and the new file
        held = os.fstat(self._file.fileno())
        if (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino):
            yield from self._added()  # what came before the writers went over
            self._file.close()
            self._file, self._end = _open(self.path), 0
            yield from self._added()
        elif held.st_size < self._end:  # it was truncated
            self._end = 0
            yield from self._added()

    def _lines(self, file: BinaryIO, end: int) -> Iterator[str]:
        lines = backwards(file, end)
        next(lines, None)  # what is behind the last line break
        return lines

    def _added(self) -> Iterator[Entry]:
        """Whole lines; the beginning of one waits for the rest."""
        self._file.seek(self._end)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._end += len(whole)
        gathered: list[str] = []
        for line in whole.decode("utf-8", "replace").split("\n")[:-1]:
            if gathered and not belongs_to_the_line_before(line):
                yield entry(gathered, self._zone)
                gathered = []
            gathered.append(line)
        if gathered:
            yield entry(gathered, self._zone)
