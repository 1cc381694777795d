"""Processes as the kernel shows them: what they take, and what they have open. The one module that uses psutil."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil

from releve.config.frozen import dataclass
from releve.config.grammar import counted


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
