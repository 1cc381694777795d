"""What a supervisor holds, to see that it gives back what it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.service import Service, eventually


@dataclass(frozen=True)
class Census:
    """What the supervisor holds."""

    descriptors: tuple[str, ...]
    threads: int  # less those that close what others have sent, which come and go
    children: int
    environment: int  # variables given to the newest master
    environment_bytes: int  # less the digits of the generation
    files: frozenset[str]

    @classmethod
    def of(cls, service: Service) -> Census:
        service.settled()
        supervisor = psutil.Process(service.pid)
        master = service.generation()
        environment = psutil.Process(master["pid"]).environ()
        environment.pop("RELEVE_GENERATION", None)
        return cls(
            tuple(service.descriptors()),
            sum(_name(service.pid, thread.id) != "closer" for thread in supervisor.threads()),
            len(supervisor.children()),
            len(environment),
            sum(len(k) + len(v) for k, v in environment.items()),
            frozenset(service.files()),
        )


def _name(pid: int, thread: int) -> str:
    """Of a thread; "closer" for one that has just ended."""
    try:
        return Path(f"/proc/{pid}/task/{thread}/comm").read_text().strip()
    except OSError:
        return "closer"


def same(service: Service, before: Census) -> None:
    """What is on its way out (a worker scaled away, a killed master's pidfd) may take a moment."""
    try:
        eventually(lambda: Census.of(service) == before, "the supervisor holds what it held", 10.0)
    except AssertionError:
        now = Census.of(service)
        more, less = Counter(now.descriptors), Counter(before.descriptors)
        assert now == before, f"more: {more - less}, less: {less - more}"
