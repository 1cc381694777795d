"""In the leader: a shortage, when no connection can be taken in for want of descriptors or memory.

The log hears of each kind once when it begins, and once when it has been over for ten seconds.
"""

from __future__ import annotations

import errno
import logging

from releve.server.loop.loop import Loop
from releve.server.shared.native import os

BACKOFF_S = 0.1  # until the next try
CALM_S = 10.0

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger("releve.worker")


class Shortage:
    """That of one worker."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._times: dict[int, tuple[float, float]] = {}  # errno -> when it began, when it was seen last; monotonic

    def note(self, what: str, error: OSError) -> None:
        """``what`` has failed: ``accept a connection``."""
        now, number = self._loop.now(), error.errno or 0
        began, _ = self._times.get(number, (now, now))
        if number not in self._times:
            why = "; raise LimitNOFILE (ulimit -n) or lower limits.connections" if number in _EXHAUSTED else ""
            log.error("cannot %s: %s%s; trying again every %g s", what, error.strerror, why, BACKOFF_S)
        if not self._times:
            self._loop.at("shortage", now + CALM_S, self._calm)
        self._times[number] = began, now

    def _calm(self) -> None:
        now = self._loop.now()
        for number, (began, last) in list(self._times.items()):
            if now - last >= CALM_S:
                del self._times[number]
                log.info("accepting connections again after %.0f s: %s", last - began, os.strerror(number))
        if self._times:
            self._loop.at("shortage", min(last for _, last in self._times.values()) + CALM_S, self._calm)
