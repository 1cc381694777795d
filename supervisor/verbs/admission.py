"""Admission: what becomes of a verb in each state of the service, by what kind of verb it is."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from releve.instance.protocol import Status
from releve.supervisor.service.states import ServiceState


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


When = Mapping[ServiceState, Admission]

_A, _S = Admission, ServiceState

QUESTION: When = dict.fromkeys(_S, _A.RUN)
OPERATION: When = {**dict.fromkeys(_S, _A.BUSY), _S.SERVING: _A.RUN}
# What a user asks for is better than what the supervisor tries by itself; but should it fail, nothing but this
# supervisor could start another successor.
SUCCESSOR: When = {**OPERATION, _S.RECOVERING: _A.FOLLOW}
# Where something is on trial, ending that is the way back.
WAY_BACK: When = {**OPERATION, _S.RECOVERING: _A.INTERRUPT, _S.TRIAL: _A.RUN}
END: When = {**dict.fromkeys(_S, _A.INTERRUPT), _S.SERVING: _A.RUN, _S.STOPPING: _A.JOIN}
END_OF_OPERATION: When = {
    **dict.fromkeys(_S, _A.NOTHING),
    **dict.fromkeys((_S.OPERATING, _S.TRIAL, _S.RECOVERING), _A.RUN),
}
