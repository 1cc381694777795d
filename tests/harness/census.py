"""What a supervisor holds, to see that it gives back what it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import psutil

from harness.service import Service, eventually


@dataclass(frozen=True)
class Census:
    """What the supervisor holds."""

    descriptors: tuple[str, ...]
    children: int
    environment: int  # variables given to the newest master
    environment_bytes: int  # less the digits of the generation
    files: frozenset[str]

    @classmethod
    def of(cls, service: Service) -> Census:
        service.settled()
        supervisor = psutil.Process(service.pid)
        eventually(lambda: supervisor.num_threads() == 1, "one thread: none is left that closes what others have sent")
        master = service.generation()
        environment = psutil.Process(master["pid"]).environ()
        environment.pop("RELEVE_GENERATION", None)
        return cls(
            tuple(service.descriptors()),
            len(supervisor.children()),
            len(environment),
            sum(len(k) + len(v) for k, v in environment.items()),
            frozenset(service.files()),
        )


def same(service: Service, before: Census) -> None:
    """What is on its way out (a worker scaled away, a killed master's pidfd) may take a moment."""
    try:
        eventually(lambda: Census.of(service) == before, "the supervisor holds what it held", 10.0)
    except AssertionError:
        now = Census.of(service)
        more, less = Counter(now.descriptors), Counter(before.descriptors)
        assert now == before, f"more: {more - less}, less: {less - more}"
