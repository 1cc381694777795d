"""What is told of one worker, whoever asks: ``ctl status`` and ``ctl workers`` add what is theirs."""

from __future__ import annotations

import time
from typing import Any

from releve.server.scoreboard.scoreboard import Record
from releve.supervisor.channels.worker import Worker
from releve.supervisor.host.usage import Usage


def numbers(worker: Worker, record: Record | None, used: Usage | None, *names: str) -> dict[str, Any]:
    """A worker for ``--json``: who it is, what it takes, what it has counted; ``names`` of further numbers of its
    record.

    ``record`` None: nobody knows, and it counts as nothing; ``used`` None: it could not be measured.
    """
    return {
        "worker": worker.number,
        "pid": worker.pid,
        "state": worker.state,
        "age_s": round(time.monotonic() - worker.started, 1),
        "revision": worker.revision,
        **{name: getattr(record, name, 0) for name in ("requests", "connections", "busy", *names)},
        "rss_bytes": used.rss_bytes if used else None,
        "pss_bytes": used.pss_bytes if used else None,
    }
