"""A process on a terminal of its own: what it shows, and keys that are typed."""

from __future__ import annotations

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

WAIT_S = 20.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A process whose three streams are a terminal of 100 columns."""

    def __init__(self, command: list[str], environ: dict[str, str], term: str = "xterm-256color") -> None:
        self.master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.raw = ""
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env={**environ, "TERM": term},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(terminal)

    def read_until(self, text: str | None) -> str:
        """Everything shown so far, once it has ``text`` (None: once the process has closed the terminal)."""
        deadline = time.monotonic() + WAIT_S
        while text is None or text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown: {text!r}; shown: {self.shown!r}"
            try:
                self.raw += os.read(self.master, 65536).decode()
            except OSError:  # EIO: the last process on it has gone
                assert text is None, f"not shown: {text!r}; shown: {self.shown!r}"
                break
        return self.shown

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
