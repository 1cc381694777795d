"""How much of a processor processes use: their time between two looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from releve.supervisor.host import proc

LEAST_S = 1.0  # between two looks that are compared: the kernel counts in hundredths of a second


class CpuMeter:
    """Remembers the last two samples of each process."""

    def __init__(
        self, read: Callable[[int], float | None] = proc.cpu_s, now: Callable[[], float] = time.monotonic
    ) -> None:
        """``read`` gives the processor time of a process in seconds, None if it cannot be read."""
        self._read = read
        self._now = now
        self._samples: dict[int, list[tuple[float, float]]] = {}  # by pid: when, and its processor time; newest last

    def sample(self, pids: Iterable[int]) -> None:
        """Look at these; forget all others."""
        now, before = self._now(), self._samples
        self._samples = {
            pid: [*before.get(pid, [])[-1:], (now, used)] for pid in pids if (used := self._read(pid)) is not None
        }

    def percent(self, pid: int) -> float | None:
        """How much of one processor a process has used since the last sample that is old enough; None if there is none
        yet.
        """
        now = self._now()
        when, before = next(
            (sample for sample in reversed(self._samples.get(pid, [])) if now - sample[0] >= LEAST_S), (None, 0.0)
        )
        used = None if when is None else self._read(pid)
        if when is None or used is None:
            return None
        return max(0.0, used - before) / (now - when) * 100
