"""This host as the kernel shows it: limits, ports, memory, the clock. What cannot be read is None; nothing raises."""

from __future__ import annotations

import ctypes
import re
import resource
from collections.abc import Iterator
from pathlib import Path

from releve.supervisor.host.usage import tasks

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than struct timex has


def descriptors_hard(pid: int | None) -> int | None:
    """How many files a process may open by its hard limit, this one for None; no limit counts as very many."""
    if pid is None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    else:
        found = re.search(r"^Max open files\s+\S+\s+(\S+)", _read(f"/proc/{pid}/limits"), re.MULTILINE)
        if found is None:
            return None
        hard = int(found[1]) if found[1].isdigit() else resource.RLIM_INFINITY
    return 1 << 40 if hard == resource.RLIM_INFINITY else hard


def tasks_left(worker: int | None) -> tuple[int, str] | None:
    """How many processes and threads may be started yet beside a process, this one for None, and what bounds them.

    By the control groups above it (version 2), and by its user's limit, which does not bind root; setrlimit(2).
    """
    left: list[tuple[int, str]] = [(1 << 40, "")] if Path("/sys/fs/cgroup/cgroup.controllers").exists() else []
    pid = "self" if worker is None else str(worker)
    for folder in _control_groups(pid):
        most, now = _number(str(folder / "pids.max")), _number(str(folder / "pids.current"))
        if most is not None and now is not None:
            left.append((max(0, most - now), "TasksMax= of the unit, or --pids-limit of the container"))
    limits = re.search(r"^Max processes\s+(\d+)", _read(f"/proc/{pid}/limits"), re.MULTILINE)
    uid = re.search(r"^Uid:\s+(\d+)", _read(f"/proc/{pid}/status"), re.MULTILINE)
    if limits is not None and uid is not None and int(uid[1]) != 0:
        left.append((max(0, int(limits[1]) - tasks(int(uid[1]))), "ulimit -u (LimitNPROC= of the unit)"))
    return min(left, default=None)


def somaxconn() -> int | None:
    """How long the kernel lets any accept queue be."""
    return _number("/proc/sys/net/core/somaxconn")


def port_range() -> tuple[int, int] | None:
    """The first and the last of the ports that the kernel gives to clients."""
    words = _read("/proc/sys/net/ipv4/ip_local_port_range").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else None


def ports_reserved() -> frozenset[int]:
    """Ports of that range that are given to nobody who does not ask for them."""
    return read_ports(_read("/proc/sys/net/ipv4/ip_local_reserved_ports"))


def read_ports(text: str) -> frozenset[int]:
    """Ports as ``8000,9000-9010``."""
    ports: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        ports.update(range(int(first), int(last or first) + 1))
    return frozenset(ports)


def available_bytes() -> int | None:
    """Memory that a second generation could take: of the host, or what the control groups (version 2) above us
    leave.
    """
    left = [_meminfo("MemAvailable")]
    for folder in _control_groups("self"):
        most, now = _number(str(folder / "memory.max")), _number(str(folder / "memory.current"))
        if most is not None and now is not None:
            cached = re.search(r"^inactive_file (\d+)$", _read(str(folder / "memory.stat")), re.MULTILINE)
            left.append(max(0, most - now + (int(cached[1]) if cached else 0)))
    known = [one for one in left if one is not None]
    return min(known) if known else None


def overcommit() -> int | None:
    """Whether the kernel promises more memory than it has; 2: it does not (proc_sys_vm(5))."""
    return _number("/proc/sys/vm/overcommit_memory")


def commit_left_bytes() -> int | None:
    """What it would still promise then."""
    limit, used = _meminfo("CommitLimit"), _meminfo("Committed_AS")
    return None if limit is None or used is None else limit - used


def synchronised() -> bool | None:
    """Whether the clock is: adjtimex(2), which changes nothing when all of its structure is zero."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _control_groups(pid: str) -> Iterator[Path]:
    """The folders of those (version 2) that a process is in, from the innermost."""
    path = next((line[3:] for line in _read(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::")), None)
    folder = None if path is None else Path("/sys/fs/cgroup") / path.lstrip("/")
    while folder is not None and folder != Path("/sys/fs"):
        yield folder
        folder = folder.parent


def _meminfo(name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
