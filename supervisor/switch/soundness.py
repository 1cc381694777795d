"""Soundness: whether a generation that is to serve, or has begun to, still has its master and all its workers.

It may die at any moment, so an upgrade asks after every wait.
"""

from __future__ import annotations

from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.losses import unexcused
from releve.supervisor.reporting.failure import StepFailed


def demand(
    generation: Generation, step: str, *, revision: int | None = None, when: str = "", old: Generation | None = None
) -> None:
    """See that it has its master, and has lost no worker of a revision (of its present one).

    Raises StepFailed for the step.

    ``old``: the one that it follows, whose own crashes excuse as many.
    """
    demand_master(generation, step, when=when)
    lost = generation.roster.losses.of(generation.revision if revision is None else revision)
    for loss in unexcused(lost, 0 if old is None else old.roster.losses.count()[0]):
        raise StepFailed(step, f"cannot trust generation {generation.number}: {loss}{when}", generation.crash_stack())


def demand_master(generation: Generation, step: str, *, when: str = "") -> None:
    """See that it has its master. Raises StepFailed for the step."""
    if generation.trouble:
        raise StepFailed(
            step, f"cannot trust generation {generation.number}: {generation.trouble}{when}", generation.crash_stack()
        )
