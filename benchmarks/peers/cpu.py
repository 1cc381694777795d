"""CPU time of a server: of the process that was started, and of all that it started."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

SCHEDULED = 2  # CPUCLOCK_SCHED of the kernel: what the scheduler has counted, in ns


def used_s(pid: int) -> float:
    """Seconds of CPU that these processes have used by now; those that have exited do not count."""
    return sum(_clock_s(one) for one in family(pid))


def family(pid: int) -> list[int]:
    """A process, and all that descend from it (``/proc/PID/stat``, proc(5))."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, fields = stat.read_text("utf-8", "replace").rpartition(")")
        except OSError:
            continue  # it has exited
        children[int(fields.split()[1])].append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def _clock_s(pid: int) -> float:
    """The CPU clock of a process, as clock_getcpuclockid(3) finds it: ticks of 10 ms would be coarse."""
    try:
        return time.clock_gettime((~pid << 3) | SCHEDULED)
    except OSError:
        return 0.0  # it has exited
