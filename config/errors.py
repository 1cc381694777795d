"""What is wrong with a configuration: problems with their place, all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from releve.config.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file with line and column (both from 1), a variable or a flag (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.source, *(str(number) for number in (self.line, self.column) if number)]
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that cannot be used, and why."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ConfigError(Exception):
    """A configuration that cannot be used. ``str()`` has one line for each of its ``problems``."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known word that ``word`` was probably meant to be, if any; ``likeness`` is between 0 and 1 (the same
    word).
    """
    import difflib  # only a mistake needs it

    found = difflib.get_close_matches(word.lower().replace("-", "_"), list(known), n=1, cutoff=likeness)
    return found[0] if found else None


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems sorted as a reader meets them: each source by itself, from top to bottom."""
    collected = list(problems)
    first_met = {
        source: number for number, source in enumerate(dict.fromkeys(problem.place.source for problem in collected))
    }
    return sorted(
        collected, key=lambda problem: (first_met[problem.place.source], problem.place.line, problem.place.column)
    )
