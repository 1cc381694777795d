"""What systemd is told of a service: who serves, which operation is under way and how far, what is degraded.

Outside systemd nothing is even put into words.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from releve.supervisor.condition.condition import Condition
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.systemd.notify import Notifier


class Announcer:
    """Of one service. Lives in the supervisor's loop."""

    def __init__(self, notifier: Notifier, condition: Condition, serving: Callable[[], str]) -> None:
        """``serving``: what serves now, in words."""
        self._notifier = notifier
        self._condition = condition
        self._serving = serving

    def ready(self) -> None:
        """The service serves; it ends a start or a reload."""
        if self._notifier.active:
            self._notifier.main_pid(os.getpid())
            self._notifier.ready(self._state())

    def follow(self, operation: Operation, *, reloads: bool) -> None:
        """An operation has begun; tell each phase of it. ``reloads``: something serves, and is to change."""
        if self._notifier.active:
            operation.told = partial(self._phase, operation)
            if reloads:
                self._notifier.reloading(f"{operation.verb} {operation.number} started; {self._serving()}")

    def condition(self) -> None:
        """What is degraded, or is not any more, has changed."""
        if self._notifier.active:
            self._notifier.status(self._state())

    def serving(self) -> None:
        """How clients are served has changed: the host is drained, or is not any more."""
        if self._notifier.active:
            self._notifier.status(_sentence(self._serving()))

    def failed(self, operation: Operation) -> None:
        """The first operation has failed, and the service ends: with the reason, beside the exit status."""
        outcome = operation.outcome or {}
        reason = outcome.get("reason") or outcome.get("message", "")
        at = f" at {outcome['step']}" if outcome.get("step") else ""
        self._notifier.status(_sentence(f"{operation.verb} {operation.number} failed{at}: {reason}"))

    def _phase(self, operation: Operation, phase: str) -> None:
        self._notifier.status(f"{operation.verb} {operation.number}: {phase}; {self._serving()}")

    def _state(self) -> str:
        return _sentence("; ".join(filter(None, (self._condition.words, self._serving()))))


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
