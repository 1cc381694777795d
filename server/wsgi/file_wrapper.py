"""Files that an application returns: ``wsgi.file_wrapper`` (PEP 3333), and which of them the kernel can send."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from typing import Any

from releve.server.shared.native import os

FILE_BLOCK_BYTES = 64 * 1024


def plain_file(file: Any) -> tuple[int, int, int] | None:
    """Descriptor, position and bytes left of a file on disk that Python reads as it is; ``None`` for any other.

    Only exact types are trusted: ``fileno()`` of a ``GzipFile`` or a text file leads to other bytes than ``read()``
    does.
    """
    raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    if type(raw) is not io.FileIO:
        return None
    try:
        file.flush()
        offset = file.tell()
        status = os.fstat(raw.fileno())
    except (OSError, ValueError):
        return None
    left = status.st_size - offset
    # files of /proc have size 0
    return (raw.fileno(), offset, left) if stat.S_ISREG(status.st_mode) and left > 0 else None


class FileWrapper:
    """``wsgi.file_wrapper``: iterates over a file in blocks; a plain file on disk is sent by the kernel instead."""

    def __init__(self, file: Any, block_size: int = FILE_BLOCK_BYTES) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        """The blocks from the file's current position on."""
        return iter(lambda: self.file.read(self.block_size), b"")
