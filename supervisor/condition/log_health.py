"""Whether the logs are written: a log that is lost cannot say so itself, so whoever writes counts what was lost.

Lines are counted by the supervisor itself, by masters and by workers, on the scoreboard of their generation
(``server/shared/lost_lines.py``). That the logs are written again is known from somebody who had lost lines and lives;
else from a worker that has answered a request since, and lost none.
"""

from __future__ import annotations

from collections.abc import Iterable

from releve.config.settings.log import Log
from releve.server.scoreboard.record import Record
from releve.server.shared.lost_lines import lost, lost_words
from releve.supervisor.generation.generation import Generation

AGAIN = "the log can be written again"
LEFT = "the processes that could not write the log exited; it is not known yet if the others can"


class LogHealth:
    """Of the logs of one service. Lives in the supervisor's loop."""

    def __init__(self) -> None:
        self.words = ""  # what is wrong; empty: nothing is, as far as anybody knows
        self._losing: dict[object, int] = {}  # who has lost how many lines
        self._gone = 0  # lines that those have lost who have ended since
        self._places = ""  # where lines were lost
        self._answered: dict[object, int] | None = None  # by each worker, when the last ended who had lost lines

    @property
    def losing(self) -> bool:
        """Whether somebody who lives has lost lines."""
        return bool(self._losing)

    def look(self, log: Log, generations: Iterable[Generation]) -> str:
        """See whether they are written; returns what there is to tell, if that has changed.

        ``generations``: those that write; who stands by, or leaves, hardly does any more.
        """
        lost.retry()
        before, places = self.words, _places(log)
        counts: dict[object, int] = {None: lost.lines}
        answered: dict[object, int] = {}
        for generation in generations:
            if not generation.orphaned:
                counts[generation.number] = generation.board.lost
            for worker, record in _records(generation):
                counts[worker], answered[worker] = record.lost, record.requests
        losing = {who: count for who, count in counts.items() if count}
        ended = self._losing.keys() - counts
        if losing:
            self._gone += sum(self._losing[who] for who in self._losing.keys() - losing)
            self._places, self._answered = places, None
            lines = lost_words(sum(losing.values()) + self._gone)
            self.words = f"the log cannot be written ({places}), {lines}; free some space, or check where it goes"
            told = self.words if not self._losing else ""
        else:
            if self._losing and ended == self._losing.keys() and places == self._places:
                self._answered = answered
            elif self._answered is not None and any(
                count > self._answered.get(worker, 0) for worker, count in answered.items()
            ):
                self._answered = None
            self._gone = 0
            self.words = "" if self._answered is None else LEFT
            told = (self.words or AGAIN) if self.words != before else ""
        self._losing = losing
        return told


def _records(generation: Generation) -> Iterable[tuple[object, Record]]:
    """The numbers of each worker, by what is its own for ever."""
    for worker in generation.workers.values():
        record = worker.record(generation.board)
        if record is not None:
            yield (generation.number, worker.pid), record


def _places(log: Log) -> str:
    """Where the logs are written."""
    places = dict.fromkeys(path for path in (log.file, log.access) if path not in (None, "-"))
    return ", ".join(map(str, places)) or "standard output or error"
