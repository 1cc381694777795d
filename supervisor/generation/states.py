"""States and what may happen in them: of a generation, and of the service.

Both are tables. An event that a state does not list raises and changes nothing.
"""

from __future__ import annotations

import enum

from releve.instance.protocol import Status


class IllegalEvent(Exception):
    """An event came in a state that has no place for it; nothing was changed."""


class GenerationState(enum.Enum):
    """Where one generation stands in its life."""

    BOOTING = "booting"  # its master imports, its workers start; no traffic
    READY = "ready"  # all workers are ready and checked; no traffic yet
    ATTENDING = "attending"  # a canary: its workers serve what the generation in service passes on to them
    SERVING = "serving"  # its workers accept
    STANDBY = "standby"  # paused and warm; a rollback resumes it
    RETIRING = "retiring"  # finishes what is in flight, then leaves
    GONE = "gone"  # every process of it has ended


class GenerationEvent(enum.Enum):
    """What happens to a generation."""

    PROVED = "proved"
    ATTENDED = "told to attend"
    RESUMED = "resumed"
    PAUSED = "paused"
    DISMISSED = "dismissed"
    ENDED = "ended"


_S, _E = GenerationState, GenerationEvent

GENERATION: dict[tuple[GenerationState, GenerationEvent], GenerationState] = {
    (_S.BOOTING, _E.PROVED): _S.READY,
    (_S.BOOTING, _E.DISMISSED): _S.RETIRING,
    (_S.BOOTING, _E.ENDED): _S.GONE,
    (_S.READY, _E.ATTENDED): _S.ATTENDING,
    (_S.READY, _E.RESUMED): _S.SERVING,
    (_S.READY, _E.DISMISSED): _S.RETIRING,
    (_S.READY, _E.ENDED): _S.GONE,
    (_S.ATTENDING, _E.RESUMED): _S.SERVING,
    (_S.ATTENDING, _E.PAUSED): _S.STANDBY,
    (_S.ATTENDING, _E.DISMISSED): _S.RETIRING,
    (_S.ATTENDING, _E.ENDED): _S.GONE,
    (_S.SERVING, _E.PAUSED): _S.STANDBY,
    (_S.SERVING, _E.DISMISSED): _S.RETIRING,
    (_S.SERVING, _E.ENDED): _S.GONE,
    (_S.STANDBY, _E.RESUMED): _S.SERVING,
    (_S.STANDBY, _E.DISMISSED): _S.RETIRING,
    (_S.STANDBY, _E.ENDED): _S.GONE,
    (_S.RETIRING, _E.DISMISSED): _S.RETIRING,  # a shorter deadline
    (_S.RETIRING, _E.ENDED): _S.GONE,
}


AT_WORK = frozenset({GenerationState.ATTENDING, GenerationState.SERVING})  # clients come to it


def next_state(state: GenerationState, event: GenerationEvent) -> GenerationState:
    """The state after an event. Raises IllegalEvent."""
    try:
        return GENERATION[state, event]
    except KeyError:
        raise IllegalEvent(f"cannot take {event.value!r}: the generation is {state.value}") from None


class ServiceState(enum.Enum):
    """What the service as a whole is doing."""

    STARTING = "starting"  # no generation has served yet
    SERVING = "serving"
    OPERATING = "operating"  # serving, and an operation is under way
    TRIAL = "on trial"  # a generation that is not committed yet serves clients: as a canary, or switched to
    RECOVERING = "recovering"  # serving, and the supervisor looks for a successor of a generation that lost its master
    STOPPING = "stopping"


class Admission(enum.Enum):
    """What becomes of a verb."""

    RUN = "run"
    BUSY = "busy"  # refused: another operation is under way
    INTERRUPT = "interrupt"  # ends the operation under way first
    FOLLOW = "follow"  # lets the operation under way come to its end, for a while; then ends it first
    JOIN = "join"  # the same is under way: wait for it
    NOTHING = "nothing"  # refused: there is nothing to do it to

    @property
    def status(self) -> Status:
        """Exit status of the refusals."""
        return {Admission.BUSY: Status.BUSY, Admission.NOTHING: Status.USAGE}.get(self, Status.DONE)


_A, _V = Admission, ServiceState
_OPERATION = {**dict.fromkeys(_V, _A.BUSY), _V.SERVING: _A.RUN}
# what a user asks for is better than what the supervisor tries by itself
_REMEDY = {**_OPERATION, _V.RECOVERING: _A.INTERRUPT}
_QUESTION = dict.fromkeys(_V, _A.RUN)

VERBS: dict[str, dict[ServiceState, Admission]] = {
    "status": _QUESTION,
    "history": _QUESTION,
    "check": _QUESTION,
    "reopen": _QUESTION,
    "workers": _QUESTION,
    "dump": _QUESTION,
    "doctor": _QUESTION,
    "drain": _QUESTION,  # it changes nothing that an operation is about
    "undrain": _QUESTION,
    # should it fail, nothing but this supervisor could start another one
    "upgrade": {**_REMEDY, _V.RECOVERING: _A.FOLLOW},
    "reload": _OPERATION,
    "rollback": {**_REMEDY, _V.TRIAL: _A.RUN},  # which ends the upgrade: that is the way back
    "scale": _OPERATION,
    "reexec": _OPERATION,
    "stop": {**dict.fromkeys(_V, _A.INTERRUPT), _V.SERVING: _A.RUN, _V.STOPPING: _A.JOIN},
    "abort": {**dict.fromkeys(_V, _A.NOTHING), _V.OPERATING: _A.RUN, _V.TRIAL: _A.RUN, _V.RECOVERING: _A.RUN},
}


REHEARSAL = _OPERATION  # of `upgrade --dry-run`, which remedies nothing


def admit(verb: str, state: ServiceState, *, dry: bool = False) -> Admission:
    """What becomes of a verb in a state.

    Raises IllegalEvent for an unknown verb. ``dry``: of an upgrade, only its rehearsal.
    """
    try:
        return REHEARSAL[state] if dry and verb == "upgrade" else VERBS[verb][state]
    except KeyError:
        raise IllegalEvent(f"cannot {verb}: no such verb") from None
