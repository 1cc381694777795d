"""The orders of a supervisor: which is legal when."""

from __future__ import annotations

import enum

from releve.config.frozen import dataclass


class Posture(enum.Enum):
    """What the generation as a whole does, or is on its way to."""

    BOOTING = "booting"
    READY = "ready"
    ATTENDING = "attending"
    RESUMING = "resuming"
    RESUMED = "resumed"
    PAUSING = "pausing"
    PAUSED = "paused"
    LEAVING = "leaving"


class Change(enum.Enum):
    """The change of its workers that a generation is in the middle of."""

    NONE = "no change"
    SCALING = "scaling"
    PREPARING = "preparing a reload"
    PREPARED = "holding a prepared reload"
    SWITCHING = "switching"
    CANCELLING = "cancelling a reload"


# In these a generation has served, or does: it goes on without a supervisor. In all others nobody needs it.
ESTABLISHED = frozenset({Posture.ATTENDING, Posture.RESUMING, Posture.RESUMED, Posture.PAUSING, Posture.PAUSED})


@dataclass(frozen=True, slots=True)
class Legal:
    """Where an order is legal."""

    postures: frozenset[Posture]
    changes: frozenset[Change]


_STEADY = frozenset({Posture.READY, Posture.RESUMED, Posture.PAUSED})
_UP = frozenset(Posture) - {Posture.BOOTING, Posture.LEAVING}
_RELOAD_HELD = frozenset({Change.PREPARING, Change.PREPARED})

TABLE: dict[str, Legal] = {
    "attend": Legal(frozenset({Posture.READY}), frozenset({Change.NONE})),
    "divert": Legal(frozenset({Posture.RESUMED}), frozenset(Change) - {Change.SWITCHING}),
    "resume": Legal(_UP - {Posture.RESUMING}, frozenset(Change) - {Change.SWITCHING}),
    "pause": Legal(_UP - {Posture.PAUSING}, frozenset(Change) - {Change.SWITCHING}),
    "quit": Legal(frozenset(Posture), frozenset(Change)),
    "keep": Legal(frozenset(Posture), frozenset(Change)),
    "door": Legal(frozenset(Posture) - {Posture.LEAVING}, frozenset(Change)),
    "reopen": Legal(frozenset(Posture), frozenset(Change)),
    "stacks": Legal(frozenset(Posture), frozenset(Change)),
    "replace": Legal(frozenset({Posture.RESUMED}), frozenset({Change.NONE})),
    "scale": Legal(_STEADY, frozenset({Change.NONE})),
    "reload": Legal(_STEADY, frozenset({Change.NONE})),
    "switch": Legal(frozenset({Posture.RESUMED}), frozenset({Change.PREPARED})),
    "cancel": Legal(_UP, _RELOAD_HELD),
}


def objection(verb: str, posture: Posture, change: Change) -> str | None:
    """Why an order cannot be carried out now; None if it can."""
    legal = TABLE.get(verb)
    if legal is None:
        return f"cannot {verb}: this release does not know that order"
    if posture not in legal.postures:
        return f"cannot {verb}: the generation is {posture.value}"
    if change not in legal.changes:
        where = (
            "no reload is prepared" if change is Change.NONE else f"the generation is in the middle of {change.value}"
        )
        return f"cannot {verb}: {where}"
    return None
