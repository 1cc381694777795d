"""The canary: before the switch, the new generation serves a share of the new connections, and is watched while it
does.

The old workers go on accepting, and pass every so many'th new connection on to the new generation's exchange; such a
connection stays there. The new workers accept nothing by themselves. So the share is counted and not left to whoever is
woken first, and going back is what it is after a switch: idle connections are handed back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from releve.config.grammar import counted
from releve.config.kinds.numbers import share_text
from releve.config.settings.upgrade import Canary
from releve.server.shared.faults import fault
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.generation.totals import Totals
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.switch import probation

FEATURE = "canary"
TOLD = 20  # times that the progress is told at most, and not more often than once a second


class Count:
    """What has come to either generation since the canary began."""

    def __init__(self, old: Generation, new: Generation, canary: Canary) -> None:
        self._old, self._new, self._canary = old, new, canary
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self._began = time.monotonic()
        self._old_begin, self._new_begin = self._old.traffic.sample(), self._new.traffic.sample()

    @property
    def old(self) -> Totals:
        """Of the generation in service."""
        return self._old.traffic.sample() - self._old_begin

    @property
    def new(self) -> Totals:
        """Of the canary."""
        return self._new.traffic.sample() - self._new_begin

    def comparison(self) -> Totals:
        """What the canary is judged beside: the other one's traffic at the same time, or with too little of that its
        last minute.
        """
        old = self.old
        return old if old.requests >= probation.REQUESTS_LEAST else self._old.traffic.last_minute()

    def figures(self) -> dict[str, Any]:
        """For the outcome.

        Behind a pool of kept connections the two shares differ: a connection may bring one request, or thousands.
        """
        old, new = self.old, self.new
        requests = old.requests + new.requests
        return {
            "asked": self._canary.share,
            "seconds": round(time.monotonic() - self._began, 3),
            "connections": {
                "accepted": old.accepted,
                "diverted": old.diverted,
                "undiverted": old.undiverted,
                "share": _share(old.diverted, old.accepted),
            },
            "requests": {"answered": requests, "diverted": new.requests, "share": _share(new.requests, requests)},
        }


async def run(service: Service, operation: Operation, old: Generation, new: Generation, canary: Canary) -> None:
    """Have the new generation serve a share for a while; it goes on until the switch.

    Raises StepFailed; the caller goes back.
    """
    lacking = next((one for one in (old, new) if not one.can(FEATURE)), None)
    if lacking is not None:
        which = "old" if lacking is old else "new"
        operation.note(
            f"no canary, switched at once: releve {lacking.hello.get('releve')} of the {which} release does not know "
            "canaries"
        )
        return
    await new.orders.attend()
    count = Count(old, new, canary)
    operation.switched = True  # in part: some clients are served by it
    new.exchange.heir = service.serving_exchange
    try:
        try:
            await old.orders.divert(canary.share, new)
        except StepFailed:
            if old.state is not GenerationState.GONE:
                raise
        count.begin()
        operation.say(f"{share_text(canary.share)} of new connections go to generation {new.number}")
        fault("on_canary")
        await _watch(operation, old, new, canary, count)
    finally:
        operation.figures["canary"] = {**count.figures(), **operation.figures.get("canary", {})}
        operation.say(words(operation.figures))


async def _watch(operation: Operation, old: Generation, new: Generation, canary: Canary, count: Count) -> None:
    beside = probation.Comparison("old_meanwhile", "the old generation in the same time", count.comparison)
    tell = _teller(operation, count, max(1.0, canary.for_ / TOLD))

    def over() -> bool:
        tell()
        return old.state is GenerationState.GONE

    verdict = await probation.watch(new, old, canary.for_, new.settings.upgrade.check, beside, over)
    operation.figures["canary"] = verdict.figures
    for note in verdict.notes:
        operation.note(f"canary: {note}")
    if old.state is GenerationState.GONE:
        operation.note(f"the canary ended early: generation {old.number} exited, and no other accepts connections")
    if verdict.violation is not None:
        raise verdict.violation.failure("canary", new, verdict.figures)


def _teller(operation: Operation, count: Count, every_s: float) -> Callable[[], None]:
    """Tells how far the canary has come, from time to time."""
    due = time.monotonic() + every_s

    def tell() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + every_s
            operation.say(words({"canary": count.figures()}))

    return tell


def words(figures: dict[str, Any]) -> str:
    """The figures of an operation for people; empty if it had no canary."""
    canary = figures.get("canary")
    if canary is None:
        return ""
    connections, requests = canary["connections"], canary["requests"]
    missed = (
        f"; {counted(connections['undiverted'], 'connection')} could not be passed on"
        if connections["undiverted"]
        else ""
    )
    return (
        f"asked {share_text(canary['asked'])}, served {_percent(connections['share'])} of "
        f"{connections['accepted']} new connections "
        f"and {_percent(requests['share'])} of {requests['answered']} requests{missed}"
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{share:.1%}"
