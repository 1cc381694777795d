"""An operation: one upgrade, reload, rollback, scale or start, while it is under way.

It carries what the user asked for, tells everybody who watches how it goes, and
keeps the outcome. Phases are announced as they begin and end, with their times.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from releve.config.frozen import dataclass
from releve.instance.protocol import Event, Status, result
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log


class Operation:
    """One run of a verb. Watchers get every event since its start and the result last."""

    def __init__(self, verb: str, by: str, number: int, *, dry: bool = False) -> None:
        """``number``: of its attempt in the history, which log and status call it by too (``History.reserve``)."""
        self.number = number
        self.verb = verb
        self.by = by
        self.started = time.monotonic()
        self.phase = ""
        self.doing = ""  # the last that was said of it
        self.times: dict[str, float] = {}
        self.notes: list[str] = []
        self.figures: dict[str, Any] = {}  # what a probation has counted
        self.recorded = False  # its attempt is in the history
        self.dry = dry  # a rehearsal: nothing that serves is touched
        self.switched = False  # clients have been served by the new generation
        self.committed = False
        self.stop_reason = ""  # why it was interrupted, if it was
        self.begun = False  # `perform` runs
        self.undoing = False  # it has failed, and the way back must not be interrupted
        self.final = False  # the service is being stopped: nothing is begun any more that others would wait for
        self.aside: asyncio.Task[None] | None = None  # what it waits for, and nothing depends on
        self.outcome: Event | None = None
        self.finished = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.record: Callable[..., None] = lambda **values: None  # into its attempt in the history, as it becomes known
        self.told: Callable[[str], None] = lambda phase: None  # as each phase begins
        self._events: list[Event] = []
        self._watchers: set[asyncio.Queue[Event]] = set()

    @classmethod
    def continued(cls, verb: str, by: str, number: int, attempt: int | None, started: float) -> Operation:
        """One that the program before us has begun (``reexec``).

        ``attempt``: its number in the history, if it is there.

        An older program has counted its operations apart (``number``).
        """
        operation = cls(verb, by, number if attempt is None else attempt)
        operation.recorded, operation.started = attempt is not None, started
        return operation

    @contextmanager
    def step(self, name: str, *, beside: bool = False) -> Iterator[None]:
        """Run a phase: announced, timed, and its failure announced too. ``beside``: while another one is under way."""
        begun = time.monotonic()
        if not beside:
            self.phase, self.doing = name, ""
            self.told(name)
        self.emit({"event": "phase", "phase": name, "state": "begin"})
        state = "failed"
        try:
            yield
            state = "done"
        finally:
            self.times[name] = round(time.monotonic() - begun, 4)
            self.emit({"event": "phase", "phase": name, "state": state, "seconds": self.times[name]})

    def say(self, text: str) -> None:
        """Tell the watchers what the phase is doing."""
        self.doing = text
        self.emit({"event": "phase", "phase": self.phase, "state": "doing", "text": text})

    def note(self, text: str, *, logged: bool = False) -> None:
        """Tell the watchers, and the log, something they should know. ``logged``: the log has it already."""
        if not logged:
            log.warning("%s %d: %s", self.verb, self.number, text)
        self.notes.append(text)
        self.emit({"event": "note", "text": text, "level": "warning"})

    def emit(self, event: Event) -> None:
        """Send an event to every watcher, and keep it for those to come."""
        self._events.append(event)
        for watcher in self._watchers:
            watcher.put_nowait(event)

    def watch(self) -> asyncio.Queue[Event]:
        """A queue of all its events; leave with ``unwatch``."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        for event in self._events:
            queue.put_nowait(event)
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: asyncio.Queue[Event]) -> None:
        """Stop watching."""
        self._watchers.discard(queue)

    def finish(self, outcome: Event) -> None:
        """Keep the outcome and tell the watchers."""
        self.outcome = outcome
        self.emit(outcome)
        self.finished.set()

    def interrupt(self, reason: str, *, final: bool = False) -> bool:
        """End it before its commit, or what it does beside its work; False when it is too late or already asked."""
        self.final = self.final or final
        if self.aside is not None:
            self.aside.cancel()
            return True
        if self.committed or self.undoing or self.stop_reason or self.task is None:
            return False
        self.stop_reason = reason
        # a task that is cancelled before its first step ends without an outcome: `perform` sees the reason
        if self.begun:
            self.task.cancel()
        return True

    @property
    def seconds(self) -> float:
        """Since its start."""
        return round(time.monotonic() - self.started, 3)


def failure(error: StepFailed, status: Status, serving: str, what_next: str) -> Event:
    """The result of a failed operation: what failed, what serves, what to do."""
    told = {"evidence": error.evidence} if error.evidence else {}
    return result(
        status,
        error.reason,
        step=error.step,
        reason=error.reason,
        traceback=error.traceback,
        serving=serving,
        next=what_next,
        **told,
    )


Work = Callable[[Operation], Awaitable[str]]  # what an operation does; the words of its success


@dataclass(frozen=True, slots=True)
class Job:
    """What an operation is begun with: its verb (as the history keeps it), what it does, and what can be done about it
    when that fails.
    """

    verb: str
    does: Work
    remedy: str = ""  # {attempt}: its number in the history
    dry: bool = False  # a rehearsal
