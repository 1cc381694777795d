"""The kernel's OOM killer: whether it was that which ended a process.

It sends the SIGKILL that anybody may send, and says so only in counters: of the control group (``memory.events``, or
``memory.oom_control`` of version 1) and of the whole host (``/proc/vmstat``, which everybody may read).
"""

from __future__ import annotations

import re
from pathlib import Path

_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)

KILLED = "the kernel's OOM killer: out of memory"
PERHAPS = "possibly the kernel's OOM killer: out of memory"
NOT = "not the kernel's OOM killer"
UNKNOWN = "unknown if out of memory: cannot read the kernel's counters"


class Oom:
    """The counters as they were last seen; made before whatever may be killed."""

    def __init__(self, root: Path = Path("/")) -> None:
        """``root``: where ``proc`` and ``sys`` are."""
        self._root = root
        self._group, self._host = self._read()

    def verdict(self) -> str:
        """In words, about a process that SIGKILL has just ended unasked."""
        (before_group, before_host), (self._group, self._host) = (self._group, self._host), self._read()
        group, host = _grew(before_group, self._group), _grew(before_host, self._host)
        if group:
            return KILLED
        if host is False:  # every such kill counts there
            return NOT
        return NOT if group is False else PERHAPS if host else UNKNOWN

    def _read(self) -> tuple[int | None, int | None]:
        return next((kills for path in self._files() if (kills := _kills(path)) is not None), None), _kills(
            self._root / "proc/vmstat"
        )

    def _files(self) -> list[Path]:
        """Where the counter of our control group may be (cgroups(7))."""
        try:
            lines = (self._root / "proc/self/cgroup").read_text().splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            if controllers == "":
                found.append(self._root / "sys/fs/cgroup" / path.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                found.append(self._root / "sys/fs/cgroup/memory" / path.lstrip("/") / "memory.oom_control")
        return found


def _kills(path: Path) -> int | None:
    try:
        found = _KILLS.search(path.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


def _grew(before: int | None, now: int | None) -> bool | None:
    """Whether a count is higher than before; None where either is not known."""
    return None if before is None or now is None else now > before
