"""The supervisor's log: one line per message, every line saying who; on standard error, or in ``log.file``.

``log.warning("…", extra={"who": "gen=8 pid=812"})`` names a generation; without
``extra`` the line speaks for the supervisor.
"""

from __future__ import annotations

import logging
import os

from releve.config.settings.log import Log
from releve.server.shared.log import STANDARD_ERROR, Entry, Handler, Sink
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.logfiles import Held, open_file, paths

log = logging.getLogger("releve.supervisor")


class OwnLog:
    """Where the supervisor's lines go. Owns the descriptor of a file, which stays the same while it is rotated."""

    def __init__(self) -> None:
        self._fd = -1
        self._held: Held | None = None
        self._begun = False
        self._sink = self._aside = Sink(STANDARD_ERROR, "text")
        self._written: tuple[str | None, str] | None = None  # the file and the form of the sink

    @property
    def path(self) -> str | None:
        """Its file; None: standard error."""
        return None if self._held is None else self._held.path

    def follow(self, settings: Log) -> None:
        """Log by these settings. Raises StepFailed where their file cannot be opened; then nothing has changed."""
        self._begun = True
        path = paths(settings).get("log")
        if path != self.path:
            self._go_to(path)
        if (path, settings.format) != self._written:  # else it is the same, and knows what was lost
            self._written = path, settings.format
            self._sink = Sink(STANDARD_ERROR if self._fd < 0 else self._fd, settings.format)
        handler = Handler(self._sink, _who)
        for name in (log.name, "asyncio"):
            logger = logging.getLogger(name)
            logger.handlers[:] = [handler]
            logger.propagate = False
        log.setLevel(settings.level.upper())

    def change(self, settings: Log) -> None:
        """The same for one that has begun; before, nothing. Where its file cannot be opened, it goes on as before."""
        if not self._begun:
            return
        try:
            self.follow(settings)
        except StepFailed as error:
            log.error("%s; the supervisor keeps logging to where it did", error.reason)

    def reopen(self) -> None:
        """Go on in the file that lies at its path now. Raises StepFailed, and then it goes on in the one before."""
        if self.path is not None:
            self._go_to(self.path)

    def rotated(self) -> bool:
        """Whether another file has taken the place of its own."""
        return self._held is not None and self._held.rotated()

    def aside(self, level: str, words: str) -> None:
        """Say on standard error, where the log is a file, what becomes of it."""
        if self.path is not None:
            self._aside.write(Entry(level, f"pid={os.getpid()}", words))

    def _go_to(self, path: str | None) -> None:
        if path is None:
            os.close(self._fd)
            self._fd, self._held = -1, None
            return
        fd = open_file("log", path)
        self._held = Held.of(path, fd)
        if self._fd < 0:
            self._fd = fd
        else:
            os.dup2(fd, self._fd, inheritable=False)
            os.close(fd)


def _who(record: logging.LogRecord) -> str:
    return str(getattr(record, "who", f"pid={os.getpid()}"))


own = OwnLog()
