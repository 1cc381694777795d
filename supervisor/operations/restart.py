"""Restarting workers of the generation in service: for each, another one serves before it leaves (`ctl restart`).

What is replaced stays replaced, also where the operation ends before its last worker.
"""

from __future__ import annotations

from collections.abc import Sequence

from releve.server.shared.states import WorkerState
from releve.supervisor.channels.master import ORDER_S
from releve.supervisor.generation.generation import Generation
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service

FEATURE = "replace"


def chosen(service: Service, name: str, everything: bool) -> list[int]:
    """The numbers of the workers that are meant: ``2``, ``8.2``, a pid, or each that serves. Raises StepFailed."""
    generation = service.active
    if generation is None or generation.orphaned:
        raise StepFailed(
            "preflight", "cannot restart: the master of the generation in service exited; ctl upgrade starts another"
        )
    if not generation.can(FEATURE):
        raise StepFailed(
            "preflight",
            "cannot restart: the Relève of this release is too old to replace one worker; ctl reload replaces all",
        )
    workers = generation.workers
    if everything:
        return sorted(one.number for one in workers.values() if one.state == WorkerState.SERVING)
    short = name.removeprefix(f"{generation.number}.")
    found = [one.number for one in workers.values() if short == str(one.number)]
    found = found or [one.number for one in workers.values() if name == str(one.pid)]  # as `ctl dump`: numbers first
    if not found:
        names = ", ".join(f"{generation.number}.{one.number} (pid {one.pid})" for _, one in sorted(workers.items()))
        raise StepFailed(
            "usage", f"cannot restart {name!r}: no such worker in service; the workers are {names or 'none'}"
        )
    return found[:1]


async def restart(operation: Operation, generation: Generation, numbers: Sequence[int]) -> str:
    """Replace workers one after the other; what was done, in words.

    Raises StepFailed at the first that cannot be replaced: what keeps its replacement from serving keeps the others'
    too, and to try each of them takes `timeouts.boot` each time. Every worker that was not replaced keeps serving.
    """
    done: list[str] = []
    patience_s = 2 * generation.settings.timeouts.boot + ORDER_S  # another replacement may be under way
    with operation.step("replace"):
        for place, number in enumerate(numbers, 1):
            if number not in generation.workers:
                continue  # it has been replaced meanwhile, or has ended: then another one has its place
            operation.say(f"worker {generation.number}.{number}, {place} of {len(numbers)}")
            before = set(generation.workers)
            try:
                await generation.orders.give("replace", worker=number, timeout_s=patience_s)
            except StepFailed as error:
                left = [f"{generation.number}.{one}" for one in numbers[place - 1 :] if one in generation.workers]
                reason = error.reason + _rest(done, left)
                raise StepFailed(error.step, reason, error.traceback, error.evidence, logged=error.logged) from error
            new = max(set(generation.workers) - before, default=None)
            done.append(f"{generation.number}.{number}" + ("" if new is None else f" with {generation.number}.{new}"))
            operation.record(message=f"replaced {', '.join(done)}")  # also if it is interrupted after this one
    if not done:
        return "replaced nothing: the workers exited"
    return f"replaced {', '.join(done)}; the old workers finish their requests and exit"


def _rest(done: Sequence[str], left: Sequence[str]) -> str:
    """What a failed replacement says of the other workers; nothing if only one was meant."""
    if not done and len(left) < 2:
        return ""
    return f"; replaced {', '.join(done) or 'none'}; not replaced: {', '.join(left)}"
