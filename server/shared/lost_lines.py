"""The lines that this process could not write to its logs, since writing last succeeded: a log that is lost cannot say
so itself.

Master and workers have the number on the scoreboard, where the supervisor finds it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Protocol

from releve.config.grammar import counted
from releve.server.shared.native import os

# how often who has lost lines tries again: else nobody would learn that it is over, where there is nothing to say
RETRY_S = 1.0


class Writer(Protocol):
    """One log of this process."""

    def retry(self) -> None:
        """Try to write, where lines were lost: how many, or one that was kept. Without waiting; never raises."""


class Lost:
    """Of one process. Any thread may ``note``."""

    def __init__(self) -> None:
        self.some = False  # cheaper to ask than how many
        self._lines: weakref.WeakKeyDictionary[Writer, int] = weakref.WeakKeyDictionary()
        self._tell: Callable[[int], None] | None = None
        self._pid = 0

    @property
    def lines(self) -> int:
        """How many; 0: everything is written."""
        return sum(list(self._lines.values()))

    def note(self, writer: Writer, lines: int) -> None:
        """How many one of the logs has lost by now; 0: it is written again."""
        self._lines[writer] = lines
        self._add_up()

    def retry(self) -> None:
        """Have each log that has lost lines try again; one that is not written any more, after a reload, has
        lost none.
        """
        for writer, lines in list(self._lines.items()):
            if lines:
                writer.retry()
        self._add_up()

    def _add_up(self) -> None:
        lines = self.lines
        self.some = lines > 0
        if self._tell is not None and os.getpid() == self._pid:  # not a child that the application forked
            self._tell(lines)

    def tell(self, tell: Callable[[int], None]) -> None:
        """In master and worker: where to put the number whenever it changes; without what was lost before the fork."""
        self._lines.clear()
        self.some = False
        self._tell, self._pid = tell, os.getpid()
        tell(0)


def lost_words(lines: int) -> str:
    """A sentence with the number of lost lines."""
    return f"{counted(lines, 'line')} {'was' if lines == 1 else 'were'} lost"


lost = Lost()
