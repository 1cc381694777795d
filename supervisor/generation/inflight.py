"""The requests in flight, in words and for ``--json``: from the scoreboard, of the living and of the dead."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import Any

from releve.server.scoreboard.inflight import InflightCall, serving
from releve.supervisor.host import children
from releve.supervisor.host.oom import Oom

IDLE = "while idle"
NAMED_MAX = 5  # requests in one line of the log


def describe(request: InflightCall, now: float) -> dict[str, Any]:
    """One request for ``--json``; ``now`` is monotonic."""
    return {
        "method": request.method,
        "target": request.target,
        "peer": request.peer,
        "age_s": round(max(0.0, now - request.began), 3),
    }


def words(requests: Sequence[InflightCall], now: float) -> str:
    """``while serving GET /report (12.3 s, client 10.0.0.7)``; ``while idle`` where nothing was served."""
    busy = serving(list(requests))
    if not busy:
        return IDLE
    named = [
        f"{one.method} {one.target} ({max(0.0, now - one.began):.1f} s{f', client {one.peer}' if one.peer else ''})"
        for one in busy
    ]
    more = f", and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else ""
    return f"while serving {', '.join(named[:NAMED_MAX])}{more}"


def ending(status: int, requests: Sequence[InflightCall] | None, oom: Oom) -> str:
    """How a worker has ended unasked: ``was killed by SIGKILL (...) while serving ...``.

    ``requests`` None: nobody knows what it did.
    """
    how = children.describe_status(status)
    if status == -signal.SIGKILL:
        how += f" ({oom.verdict()})"
    return how if requests is None else f"{how} {words(requests, time.monotonic())}"
