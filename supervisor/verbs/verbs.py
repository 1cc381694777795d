"""The verbs: one row for each, which says what may be said with it, in which states of the service it runs, and what it
does then.

The other side of the control socket has its own table, of what a person may write and sees (``ctl/main.py``): the two
may be of different releases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from releve.config.frozen import dataclass
from releve.instance.protocol import Event, ProtocolError, Status, read_request, result
from releve.server.shared import form
from releve.server.shared.form import NUMBER_MAX, Form, Unfit, flag, path, text, whole
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation, failure
from releve.supervisor.service.states import ServiceState
from releve.supervisor.verbs import handlers
from releve.supervisor.verbs.admission import (
    END,
    END_OF_OPERATION,
    OPERATION,
    QUESTION,
    SUCCESSOR,
    WAY_BACK,
    Admission,
    When,
)
from releve.supervisor.verbs.dispatcher import Dispatcher
from releve.supervisor.verbs.handlers import Arguments, Context

FOLLOW_S = 10.0  # how long an upgrade waits for a recovery to come to its end
NAME_MAX, COUNT_MAX = 200, 20  # characters
_FIRST = (Admission.INTERRUPT, Admission.FOLLOW)

Handler = Callable[[Context, Arguments, str], Awaitable[Operation | Event]]  # arguments, by whom


@dataclass(frozen=True, slots=True)
class Verb:
    """A row of the table."""

    when: When
    does: Handler
    takes: Form = Form()
    when_dry: When | None = None  # of its rehearsal, if it has one


def _count(value: Any) -> Any:
    """A number of workers, or a difference as in ``+1``."""
    fit = text(COUNT_MAX) if isinstance(value, str) else whole(-NUMBER_MAX)
    return fit(value)


_WAITS = Form(may={"wait": flag})
_RELEASE = Form(may={"directory": path, "python": path, "dry_run": flag, "wait": flag})
_WORKERS = Form(may={"workers": _count, "reset": flag, "wait": flag})

VERBS: dict[str, Verb] = {
    "status": Verb(QUESTION, handlers.status),
    "upgrade": Verb(SUCCESSOR, handlers.upgrade, _RELEASE, when_dry=OPERATION),  # a rehearsal remedies nothing
    "reload": Verb(OPERATION, handlers.reload, _WAITS),
    "rollback": Verb(WAY_BACK, handlers.rollback, _WAITS),
    "stop": Verb(END, handlers.stop, Form(may={"now": flag, "wait": flag})),
    "scale": Verb(OPERATION, handlers.scale, _WORKERS),
    "abort": Verb(END_OF_OPERATION, handlers.abort),
    "reexec": Verb(OPERATION, handlers.reexec, _WAITS),
    "history": Verb(QUESTION, handlers.history, Form(may={"limit": whole(), "attempt": whole()})),
    "check": Verb(QUESTION, handlers.check),
    "reopen": Verb(QUESTION, handlers.reopen),
    "workers": Verb(QUESTION, handlers.workers, Form(may={"durations": flag})),
    "dump": Verb(QUESTION, handlers.dump, Form(may={"process": text(NAME_MAX), "all": flag})),
    "drain": Verb(QUESTION, handlers.drain),  # it changes nothing that an operation is about
    "undrain": Verb(QUESTION, handlers.undrain),
    "doctor": Verb(QUESTION, handlers.doctor),
    "logs": Verb(QUESTION, handlers.logs),
    "config": Verb(QUESTION, handlers.config),
    "restart": Verb(OPERATION, handlers.restart, Form(may={"worker": text(NAME_MAX), "all": flag, "wait": flag})),
}


def read(request: Event) -> tuple[str, Arguments]:
    """Verb and arguments of a request, fit to be used. Raises ProtocolError with what the user can do about it."""
    verb, arguments = read_request(request, VERBS)
    takes = VERBS[verb].takes
    if unknown := sorted(set(arguments) - set(takes.may)):
        raise ProtocolError(f"cannot {verb}: unknown argument {unknown[0]!r}")
    try:
        said = form.read({verb: takes}, {**arguments, "type": verb}, ()) or {}
    except Unfit as error:
        raise ProtocolError(f"cannot {verb}: it is {error}") from error
    return verb, {name: value for name, value in said.items() if name != "type"}


def admit(verb: str, state: ServiceState, *, dry: bool = False) -> Admission:
    """What becomes of a verb in a state. ``dry``: of its rehearsal."""
    row = VERBS[verb]
    return (row.when_dry if dry and row.when_dry is not None else row.when)[state]


async def ask(context: Context, verb: str, arguments: Arguments, by: str) -> Operation | Event:
    """Carry out a verb: the operation it began or joined, or a result where there is nothing to wait for."""
    dispatcher, dry = context.dispatcher, bool(arguments.get("dry_run"))
    # which interrupts for itself
    while (admission := admit(verb, dispatcher.state, dry=dry)) in _FIRST and verb != "stop":
        current = dispatcher.operation
        assert current is not None
        if admission is Admission.FOLLOW:
            log.info("%s by %s waits for %s %d", verb, by, current.verb, current.number)
            with suppress(TimeoutError):
                async with asyncio.timeout(FOLLOW_S):
                    await current.finished.wait()
        current.interrupt(f"{verb} by {by} takes its place")
        await current.finished.wait()
    if admission in (Admission.BUSY, Admission.NOTHING):
        return _refuse(dispatcher, verb, admission)
    try:
        return await VERBS[verb].does(context, arguments, by)
    except StepFailed as error:  # refused before anything began
        return failure(error, Status.USAGE, context.service.serving_words(), "")


def _refuse(dispatcher: Dispatcher, verb: str, admission: Admission) -> Event:
    current, serving = dispatcher.stopping or dispatcher.operation, dispatcher.service.serving_words()
    if admission is Admission.NOTHING or current is None:
        return result(admission.status, f"cannot {verb}: no operation is under way", serving=serving)
    return result(
        admission.status,
        f"cannot {verb}: {current.verb} {current.number} by {current.by} is under way "
        f"({current.phase or 'starting'}, {current.seconds:.1f} s)",
        operation={"verb": current.verb, "number": current.number, "by": current.by, "phase": current.phase},
        serving=serving,
        next="wait for it (ctl status), or abort it (ctl abort)",
    )
