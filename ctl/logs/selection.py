"""Which entries of a log somebody asks for."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from releve.config.frozen import dataclass
from releve.ctl.logs.entry import LEVELS, Entry

LINES = 100  # shown where nobody says how many, nor since when


@dataclass(frozen=True, slots=True)
class Selection:
    """What an entry must be; None: anything.

    ``level`` is the least severe one of messages; a traceback that the application wrote is an error.
    """

    since: datetime | None = None
    generation: int | None = None
    worker: int | None = None
    level: str | None = None
    access: bool = False  # of a file that has messages as well, the access lines; else all but these are unknown
    lines: int | None = None  # at most, of what is there already

    def checked(self) -> Selection:
        """The same, with the number of lines where nobody has limited it. Raises ValueError for what cannot be."""
        if self.access and self.filters:
            raise ValueError("access lines have no generation, worker or level; leave out those options with --access")
        return replace(self, lines=LINES) if self.lines is None and self.since is None else self

    @property
    def filters(self) -> bool:
        """Whether entries that do not say what they are have to be left out."""
        return (self.generation, self.worker, self.level) != (None, None, None)

    def admits(self, entry: Entry) -> bool:
        """Whether an entry is asked for. One without a time counts as new."""
        if self.since is not None and entry.time is not None and entry.time < self.since:
            return False
        if self.access:
            return not entry.tagged
        if self.filters and not entry.tagged:
            return False
        if self.level is not None and not _as_severe(entry.level, self.level):
            return False
        return self.generation in (None, entry.generation) and self.worker in (None, entry.worker)


def _as_severe(level: str, least: str) -> bool:
    return level in LEVELS and LEVELS.index(level) >= LEVELS.index(least)


def named_worker(text: str | None, generation: int | None) -> tuple[int | None, int | None]:
    """Generation and number of a worker that is written as ``2`` or ``8.2``. Raises ValueError."""
    if text is None:
        return generation, None
    match = re.fullmatch(r"(?:([0-9]{1,9})\.)?([0-9]{1,9})", text)
    if match is None:
        raise ValueError(f"{text!r} is not a worker; write a number such as 2, or 8.2 for one of generation 8")
    of = generation if match[1] is None else int(match[1])
    if generation not in (None, of):
        raise ValueError(f"worker {text} is not of generation {generation}")
    return of, int(match[2])
