"""A process on a terminal of its own: what it shows, and keys that are typed."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

WAIT_S = 20.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A process whose three streams are a terminal."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        term: str = "xterm-256color",
        *,
        columns: int = 100,
        rows: int = 40,
        folder: Path | None = None,
    ) -> None:
        self.master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.raw = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end in the middle of a character
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal, env={**environ, "TERM": term},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(terminal)

    def read_until(self, text: str | None) -> str:
        """Everything shown so far, once it has ``text`` (None: once the process has closed the terminal)."""
        self.read(lambda raw: text is not None and text in self.shown, f"{text!r}", to_the_end=text is None)
        return self.shown

    def read(
        self, enough: Callable[[str], bool], what: str, *, to_the_end: bool = False, patience_s: float = WAIT_S
    ) -> str:
        """All that was written so far, as it was, once that is ``enough``; or, ``to_the_end``, once the process has
        closed the terminal.
        """
        deadline = time.monotonic() + patience_s
        while not enough(self.raw):
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown: {what}; shown: {self.shown!r}"
            try:
                self.raw += self._decoder.decode(os.read(self.master, 65536))
            except OSError:  # EIO: the last process on it has gone
                assert to_the_end, f"not shown: {what}; shown: {self.shown!r}"
                break
        return self.raw

    @property
    def shown(self) -> str:
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def type(self, key: bytes) -> None:
        os.write(self.master, key)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(WAIT_S)
        os.close(self.master)
