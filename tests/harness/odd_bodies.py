"""Bodies and files of an application that notes what is done to them, and what it has noted so far."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]

TEXT = [("Content-Type", "text/plain")]
FILE = tempfile.NamedTemporaryFile()  # noqa: SIM115
FILE.write(b"0123456789" * 10_000)
FILE.flush()

events: list[str] = []
go_on = threading.Event()
kept: list[Any] = []


class Closing:
    """Pieces, and a note of each ``close``; an exception among the pieces is raised."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece  # type: ignore[no-any-return]

    def close(self) -> None:
        events.append("close")


class FailingClose(Closing):
    def close(self) -> None:
        super().close()
        raise RuntimeError("in close")


class Endless:
    """Until nobody listens any more."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    def close(self) -> None:
        events.append("close")


class Bytes(bytes):
    pass


class Text(str):
    __slots__ = ()


class File:
    """``read`` and ``close`` and nothing else."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int) -> bytes:
        part = min(size, self._left)
        self._left -= part
        return b"f" * part

    def close(self) -> None:
        events.append("close")


class RealFile:
    """A file that has a descriptor, and notes its end."""

    def __init__(self, offset: int) -> None:
        self._file = open(FILE.name, "rb")  # noqa: SIM115
        self._file.seek(offset)
        self.fileno, self.read, self.tell = self._file.fileno, self._file.read, self._file.tell

    def close(self) -> None:
        self._file.close()
        events.append("close")
