"""The lines that this process could not write to its logs, since writing last succeeded: a log that is lost cannot say so itself.

A worker has the number on the scoreboard, where the supervisor finds it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from releve.server.native import os


class Lost:
    """Of one process. Any thread may ``note``."""

    def __init__(self) -> None:
        self._lines: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()  # by who writes
        self._tell: Callable[[int], None] | None = None
        self._pid = 0

    @property
    def lines(self) -> int:
        """How many; 0: everything is written."""
        return sum(list(self._lines.values()))

    def note(self, writer: object, lines: int) -> None:
        """How many one of the logs has lost by now; 0: it is written again."""
        self._lines[writer] = lines
        if self._tell is not None and os.getpid() == self._pid:  # not a child that the application forked
            self._tell(self.lines)

    def tell(self, tell: Callable[[int], None]) -> None:
        """In the worker: where to put the number whenever it changes."""
        self._tell, self._pid = tell, os.getpid()
        tell(self.lines)


lost = Lost()
