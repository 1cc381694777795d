"""The scoreboard of one generation, as the supervisor holds it: what its workers write, it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable

from releve.instance import symptoms
from releve.server.scoreboard import scoreboard
from releve.server.scoreboard.scoreboard import Scoreboard


class Board(Scoreboard):
    """A scoreboard with its memory file. Owns the descriptor; once it is closed, every record is empty."""

    def __init__(self, fd: int = -1) -> None:
        """A new one; or ``fd``, which was another supervisor's."""
        self._file = scoreboard.make() if fd < 0 else fd
        super().__init__(self._file, careful=True)

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._file

    def evidence(self, slots: Iterable[int]) -> symptoms.Evidence:
        """Which requests the workers of some slots have failed to answer, and what they wrote last, the dead ones
        too.
        """
        told = [self.told(slot) for slot in slots]
        return symptoms.select(
            [one for samples, _ in told for one in samples], [one for _, lines in told for one in lines]
        )

    def close(self) -> None:
        """Close it, and its file."""
        super().close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
