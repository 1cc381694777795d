"""Draining: load balancers are told to send new clients elsewhere, and everything is served as before.

The supervisor writes it into the header of each generation's scoreboard, where every worker sees it at the next
question (``server/wsgi/readiness.py``). There it outlives upgrades and respawns; the next supervisor hears of it from
this one. A stop says the same to whoever still asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from releve.config.settings.settings import Settings
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.reporting.failure import StepFailed

FEATURE = "readiness"  # of the hello of a release whose workers look


class Drain:
    """Whether this host is drained, or stopping. Lives in the supervisor's loop."""

    def __init__(self, generations: Callable[[], Iterable[Generation]]) -> None:
        self.since_ns = 0  # CLOCK_MONOTONIC; 0: it is not drained
        self._stopping_ns = 0
        self._generations = generations

    def begin(self) -> bool:
        """New clients shall go elsewhere, until ``end``; False if that is so already."""
        if self.since_ns:
            return False
        self.since_ns = time.monotonic_ns()
        self._tell_all()
        return True

    def end(self) -> bool:
        """They are welcome again; False if they were."""
        if not self.since_ns:
            return False
        self.since_ns = 0
        self._tell_all()
        return True

    def stop(self) -> None:
        """The service is about to stop: new clients shall go elsewhere. Asked again, it changes nothing."""
        self._stopping_ns = self._stopping_ns or time.monotonic_ns()
        self._tell_all()

    def tell(self, generation: Generation) -> None:
        """Have the workers of a generation know."""
        if generation.state is not GenerationState.GONE:
            generation.board.announce(self.since_ns, self._stopping_ns)

    def recall(self, generations: Iterable[Generation], since_ns: int | None = None) -> None:
        """Another supervisor was here before: go on with what it had told its generations, or has said to us
        (``since_ns``).

        The generations can write what is on their scoreboards.
        """
        said = (
            [one.board.drained_ns for one in generations if one.state is not GenerationState.GONE]
            if since_ns is None
            else [since_ns]
        )
        self.since_ns = max((ns for ns in said if 0 <= ns <= time.monotonic_ns()), default=0)

    @property
    def seconds(self) -> float | None:
        """For how long it has been drained; None if it is not."""
        return (time.monotonic_ns() - self.since_ns) / 1e9 if self.since_ns else None

    @property
    def words(self) -> str:
        """For the end of a sentence on what serves; empty if it is not drained."""
        return f", drained since {clock(self.seconds)}" if self.seconds is not None else ""

    def picture(self) -> dict[str, Any] | None:
        """For ``ctl status``: since when, and whose workers know nothing of it; None if it is not drained."""
        if self.seconds is None:
            return None
        deaf = [one.number for one in self._generations() if one.hello and FEATURE not in one.hello.get("features", [])]
        return {"since_s": round(self.seconds, 1), "unheard": deaf}

    def _tell_all(self) -> None:
        for generation in self._generations():
            self.tell(generation)


def clock(ago_s: float) -> str:
    """The time of day of what was so many seconds ago."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago_s))


def asked_path(settings: Settings, serving: Generation | None) -> str:
    """The path by which a load balancer sees it.

    Raises StepFailed where there is none: draining would be seen by nobody.
    """
    check = settings.upgrade.check
    path = settings.readiness or (None if check is None else check.path.partition("?")[0])
    if path is None:
        raise StepFailed(
            "drain",
            (
                "cannot drain: the load balancer has no path to ask; set readiness: /ready (or "
                "upgrade.check), then ctl reload"
            ),
        )
    if serving is not None and serving.hello and FEATURE not in serving.hello.get("features", []):
        raise StepFailed(
            "drain",
            f"cannot drain: releve {serving.hello.get('releve')} of generation {serving.number} does not know "
            "readiness; "
            "install the supervisor's releve in the release, or none, then ctl upgrade",
        )
    return path
