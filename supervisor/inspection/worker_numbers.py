"""What is told of one worker, whoever asks: ``ctl status`` and ``ctl workers`` add what is theirs."""

from __future__ import annotations

import time
from typing import Any

from releve.server.scoreboard.record import Record
from releve.supervisor.channels.worker import Worker
from releve.supervisor.host import proc
from releve.supervisor.host.usage import CpuMeter, Usage

LIMITS = ("threads", "waiting", "connections_max")  # which a release before them does not write


def numbers(worker: Worker, record: Record | None, used: Usage | None, cpu: CpuMeter, *names: str) -> dict[str, Any]:
    """A worker for ``--json``: who it is, what it takes and may take, what it has counted; ``names`` of further numbers
    of its record.

    ``record`` None: nobody knows, and it counts as nothing; ``used`` None: it could not be measured. What its release
    does not write is left out.
    """
    limits = {name: getattr(record, name) for name in LIMITS} if record is not None and record.threads else {}
    percent = cpu.percent(worker.pid)
    return {
        "worker": worker.number,
        "pid": worker.pid,
        "state": worker.state,
        "age_s": round(time.monotonic() - worker.started, 1),
        "revision": worker.revision,
        **{name: getattr(record, name, 0) for name in ("requests", "connections", "busy", *names)},
        **limits,
        "rss_bytes": used.rss_bytes if used else None,
        "pss_bytes": used.pss_bytes if used else None,
        "cpu_percent": None if percent is None else round(percent, 1),
        "descriptors": proc.descriptors(worker.pid),
        "descriptors_max": proc.descriptors_max(worker.pid),
        "restarts": worker.restarts,
        "last_exit": None
        if worker.last_exit is None
        else {"what": worker.last_exit.words, "age_s": round(time.monotonic() - worker.last_exit.when, 1)},
    }
