"""The states of a generation, and what may happen in them.

A table. An event that a state does not list raises and changes nothing.
"""

from __future__ import annotations

import enum


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
