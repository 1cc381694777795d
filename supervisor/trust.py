"""Trust: whether a generation that is to serve, or has begun to, is still whole.

It may die at any moment, so an upgrade asks after every wait.
"""

from __future__ import annotations

from releve.supervisor.failure import StepFailed
from releve.supervisor.generation import Generation
from releve.supervisor.health import unexcused


def demand(generation: Generation, step: str, revision: int | None = None, when: str = "", excused: int = 0) -> None:
    """See that it has its master, and has lost no worker of a revision (of its present one). Raises StepFailed for the step.

    ``excused``: how many crashes the one that it follows has had, which nobody holds against it.
    """
    led(generation, step, when)
    for loss in unexcused(generation.roster.losses(generation.revision if revision is None else revision), excused):
        raise StepFailed(step, f"cannot trust generation {generation.number}: {loss}{when}", generation.crash_stack())


def led(generation: Generation, step: str, when: str = "") -> None:
    """See that it has its master. Raises StepFailed for the step."""
    if generation.trouble:
        raise StepFailed(step, f"cannot trust generation {generation.number}: {generation.trouble}{when}", generation.crash_stack())
