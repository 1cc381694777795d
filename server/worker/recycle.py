"""In the worker: when it asks to be replaced, having answered many requests or grown large."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from releve.config.grammar import counted
from releve.config.settings.limits import Limits
from releve.server.shared.native import os, time

log = logging.getLogger("releve.worker")

LOOK_S = 1.0  # between two looks at the memory

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def rss_bytes() -> int:
    """Resident memory of this process (proc_pid_statm(5))."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


class Recycling:
    """The limits of one worker. Looks at nothing while no request is answered: an idle worker makes no wake-ups."""

    def __init__(
        self, limits: Limits, now: Callable[[], float] = time.monotonic, rss: Callable[[], int] = rss_bytes
    ) -> None:
        self._requests = (
            None if limits.requests is None else limits.requests + random.randint(0, limits.requests_jitter)
        )
        self._rss = limits.rss
        if limits.rss is not None and (size := rss()) > limits.rss:
            log.warning(
                "ignoring limits.rss: it is less than the %d MiB that this worker uses at its start", size >> 20
            )
            self._rss = None
        self._now = now
        self._rss_bytes = rss
        self._seen = 0  # requests at the last look
        self._looked_at = float("-inf")

    def due(self, requests: int) -> str | None:
        """Why the worker should be replaced, having answered so many requests, if it should."""
        if self._requests is not None and requests >= self._requests:
            return f"answered {counted(requests, 'request')} (limits.requests)"
        if self._rss is None or requests == self._seen or self._now() - self._looked_at < LOOK_S:
            return None
        self._seen, self._looked_at = requests, self._now()
        try:
            size = self._rss_bytes()
        except OSError:  # no descriptor is free: looked at again after the next requests
            return None
        return f"uses {size >> 20} MiB of memory (limits.rss)" if size > self._rss else None
