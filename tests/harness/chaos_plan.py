"""The plan of a chaos run: an endless row of episodes, which derives from its seed alone.

In an episode several people command at once, perhaps of a release that is bad in some
way, and meanwhile something is killed. Two faults that the promise does not cover
together never meet: at most one of supervisor and masters dies per episode, but any
number of workers may.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

GOOD = ("one", "two", "three")
BAD = ("absent", "hangs", "unhealthy", "errors", "crashes")

VERBS = {
    ("upgrade",): 8,
    ("upgrade", "--dry-run"): 2,
    ("reload",): 3,
    ("rollback",): 3,
    ("scale", "1"): 1,
    ("scale", "3"): 1,
    ("scale", "+1"): 1,
    ("scale", "--reset"): 1,
    ("abort",): 2,
    ("status",): 1,
    ("history",): 1,
}
# what is killed -> how often; an episode has one of these rows
KILLS: dict[tuple[str, ...], int] = {
    (): 6,
    ("supervisor",): 6,
    ("supervisor", "supervisor"): 1,
    ("master in service",): 3,
    ("another master",): 4,
    ("worker in service",): 3,
    ("another worker",): 2,
    ("worker in service", "supervisor"): 1,
    ("worker in service", "another worker", "master in service"): 1,
}
VERB_SPREAD_S, KILL_SPREAD_S = 1.2, 3.0  # in how much time an episode's commands and kills begin


@dataclass(frozen=True, order=True)
class Step:
    """One thing that is done, so many seconds after the beginning of its episode."""

    after_s: float
    kind: str  # "ctl" or "kill"
    what: tuple[str, ...]  # the arguments of ctl; or what is killed
    choice: float = 0.0  # from 0 to 1: which one, where there are several

    def __str__(self) -> str:
        return f"{self.after_s:.2f} {self.kind} {' '.join(self.what)}"


@dataclass(frozen=True)
class Episode:
    """What is on disk when it begins, and what is done."""

    number: int
    release: str
    rolling: bool
    extra: str  # the third address of the configuration: "unix", "tcp" or none
    steps: tuple[Step, ...]

    @property
    def kills(self) -> list[str]:
        """What it kills."""
        return [step.what[0] for step in self.steps if step.kind == "kill"]

    def __str__(self) -> str:
        how = f"{self.release}{', rolling' if self.rolling else ''}{f', {self.extra} too' if self.extra else ''}"
        return f"episode {self.number} ({how}): " + "; ".join(map(str, self.steps))


def episodes(seed: int) -> Iterator[Episode]:
    """The episodes of a seed, without end."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        release = chance.choice(BAD) if chance.random() < 0.35 else chance.choice(GOOD)
        rolling, extra = chance.random() < 0.2, chance.choices(("", "unix", "tcp"), (6, 2, 2))[0]
        verbs = chance.choices(list(VERBS), list(VERBS.values()), k=chance.randint(1, 4))
        if all(verb[0] in ("status", "history", "abort") for verb in verbs):
            verbs.append(("upgrade",))
        kills = chance.choices(list(KILLS), list(KILLS.values()))[0]
        steps = [Step(round(chance.uniform(0, VERB_SPREAD_S), 2), "ctl", verb) for verb in verbs]
        steps += [
            Step(round(chance.uniform(0, KILL_SPREAD_S), 2), "kill", (who,), round(chance.random(), 3)) for who in kills
        ]
        yield Episode(number, release, rolling, extra, tuple(sorted(steps)))
