"""Processes as the kernel shows them: memory, processor time, what they have open. The one module that uses psutil."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.supervisor.host import proc

LEAST_S = 1.0  # between two looks that are compared: the kernel counts in hundredths of a second


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process takes.

    ``rss_bytes`` counts what processes share in each of them; ``pss_bytes`` shares it
    out, so that it can be added up (None where the kernel does not tell).
    """

    rss_bytes: int
    pss_bytes: int | None


def memory(pids: Iterable[int]) -> dict[int, Usage]:
    """Usage by pid; processes that are gone, or that may not be looked at, are left out."""
    found: dict[int, Usage] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                found[pid] = Usage(process.memory_info().rss, _pss(process))
        except (psutil.Error, OSError, ValueError):
            continue
    return found


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


def opened(pid: int) -> tuple[str, ...]:
    """In words, what a process has that a fork does not keep whole: threads, and connections to somewhere.

    Empty if nobody may look.
    """
    found: list[str] = []
    try:
        process = psutil.Process(pid)
        threads = process.num_threads() - 1
        if threads > 0:
            found.append(counted(threads, "thread"))
        for one in (
            process.net_connections("inet") if hasattr(process, "net_connections") else process.connections("inet")
        ):
            if one.raddr:
                found.append(f"a connection to {one.raddr.ip}:{one.raddr.port}")
    except (psutil.Error, OSError, ValueError):
        return ()
    return tuple(found)


def tasks(uid: int) -> int:
    """How many processes and threads a user has, as RLIMIT_NPROC counts them (real user ID), as far as we may look at
    them.
    """
    found = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.uids().real == uid:
                found += process.num_threads()
    return found


def _pss(process: psutil.Process) -> int | None:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, OSError, AttributeError):
        return None
