"""What processes take: memory and processor time, for ``ctl status``. The one module that uses psutil."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process takes.

    ``rss_bytes`` counts what processes share in each of them; ``pss_bytes`` shares it
    out, so that it can be added up (None where the kernel does not tell).
    """

    rss_bytes: int
    pss_bytes: int | None
    cpu_seconds: float
    started: float  # seconds since the epoch


def memory(pids: Iterable[int]) -> dict[int, Usage]:
    """Usage by pid; processes that are gone, or that may not be looked at, are left out."""
    found: dict[int, Usage] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                found[pid] = Usage(process.memory_info().rss, _pss(process), times.user + times.system, process.create_time())
        except (psutil.Error, OSError, ValueError):
            continue
    return found


def _pss(process: psutil.Process) -> int | None:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, OSError, AttributeError):
        return None
