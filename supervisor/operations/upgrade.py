"""An upgrade: one coroutine that reads top to bottom, with one cleanup path.

The same coroutine starts the first generation (there is no old one) and finds a
successor for a generation that lost its master (the pin is given instead of
read). Until `commit` everything can be undone, and is: the old workers were never
told to leave, so going back is one `resume`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.config.settings import diff
from releve.config.settings.settings import Settings, rules
from releve.config.settings.upgrade import Check
from releve.server.shared.faults import fault
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import AT_WORK, GenerationState
from releve.supervisor.operations import scale
from releve.supervisor.operations.hooks import Hooks
from releve.supervisor.operations.target import Choose, Target
from releve.supervisor.release import release
from releve.supervisor.release.release import release_of
from releve.supervisor.reporting.failure import RolledBack, StepFailed, UnsafePreload
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.switch import canary, probation, rolling, soundness, switch
from releve.supervisor.switch import check as checking

SETTLE_S = 0.3  # a worker that dies right after it was ready does so within this time
SUDDENLY = " right after it was ready"
_UNDO_S = 10.0  # how long the end of a failed generation is waited for


@dataclass(frozen=True, slots=True)
class Manner:
    """How an upgrade is gone about, which depends on who wants it; the settings have the rest."""

    standby: bool = True  # the old generation stands by, warm
    settle: bool = True  # see first that no new worker dies at once
    canary: bool = True
    probation: bool = True
    alone: bool = True  # what stands by retires before the switch: there are two generations at most


async def upgrade(service: Service, operation: Operation, choose: Choose, manner: Manner) -> Generation:
    """Replace the generation in service by a new one; returns it once it is committed.

    Raises StepFailed, ConfigError or CancelledError, after everything was undone:
    the old generation serves as before and nothing of the new one is left, but for
    the requests that it had begun.
    """
    old = service.active
    new: Generation | None = None
    target: Target | None = None
    hooks = Hooks(operation, old, service.folders.runtime)
    try:
        with operation.step("preflight"):
            target = await choose()
            operation.record(target=release_of(target.pin))
            for note in target.late.notes() if target.late else ():
                operation.note(note)
            if target.listeners.added:
                service.tell_opening(target.listeners.added)
        fault("after_preflight")
        await hooks.before(target.pin, target.settings.hooks)
        how = target.settings.upgrade
        rolls = how.mode == "rolling" and old is not None and old.state is GenerationState.SERVING and not old.orphaned
        if rolls and service.standby is not None:
            standing_by = service.standby  # there is room for one extra worker, and this is one
            service.retire_standby()
            await rolling.settled(standing_by, 0)
        new = await start(service, operation, target, single=rolls)
        with operation.step("check"):
            await prove(operation, new, new.revision, new.settings.upgrade.check, settle=manner.settle)
            new.proved()
        await hooks.after_ready(new)
        soundness.demand_master(new, "after_ready", when=" while the hook was running")
        fault("after_check")
        if manner.alone:
            service.retire_standby()
        if how.canary is not None and manner.canary and old is not None and old.state is GenerationState.SERVING:
            with operation.step("canary"):
                await canary.run(service, operation, old, new, how.canary)
        with operation.step("switch"):
            if rolls:
                assert old is not None
                await rolling.roll(operation, old, new, service.workers_for(target.settings))
            await switch.forward(service, operation, old, new)
        await _conclude(service, operation, old, new, target, hooks, manner)
        return new
    except BaseException as error:
        operation.undoing = True
        _explain(error, new)
        hooks.drop()
        await _undo(service, operation, old, new, target)
        await hooks.undone(error, service.active)
        raise


async def rehearse(service: Service, operation: Operation, choose: Choose) -> Generation:
    """A dry run: boot the real new generation, check it, and end it again.

    What serves is not touched. Raises as ``upgrade``.
    """
    new: Generation | None = None
    target: Target | None = None
    try:
        with operation.step("preflight"):
            target = await choose()
            Hooks(operation, None).left_out(target.settings.hooks)
        new = await start(service, operation, target)
        with operation.step("check"):
            await prove(operation, new, new.revision, new.settings.upgrade.check)
        return new
    except StepFailed as error:
        _explain(error, new)
        raise
    finally:
        operation.undoing = True  # its listeners are to be closed, whoever asks for an end now
        await _undo(service, operation, None, new, target)


async def judge_on(
    service: Service, operation: Operation, old: Generation, new: Generation, target: Target
) -> Generation:
    """Go on with an upgrade that another supervisor had switched and not committed.

    Raises StepFailed, after going back.
    """
    try:
        await _conclude(service, operation, old, new, target, Hooks(operation, old), Manner())
        return new
    except BaseException as error:
        operation.undoing = True
        _explain(error, new)
        await _undo(service, operation, old, new, target)
        raise


async def start(service: Service, operation: Operation, target: Target, *, single: bool = False) -> Generation:
    """Spawn and boot; once more without preload if the import turns out unfit for a fork. ``single``: with one worker.

    Raises StepFailed, with nothing left.
    """
    pin = target.pin
    while True:
        workers = 1 if single else service.workers_for(target.settings)
        new = service.new_generation(pin, target.settings, target.listeners.all)
        try:
            with operation.step("spawn"):
                new.spawn(low=service.active is not None and service.active.state in AT_WORK)
            fault("after_spawn")
            with operation.step("boot"):
                kept = service.continuity.keepsake(new, service.standing())
                try:
                    await new.boot(workers, operation.say, kept)
                finally:
                    os.close(kept)
                operation.say(f"{counted(len(new.workers), 'worker')} ready")
                fault("after_boot")
        except UnsafePreload as unsafe:
            await _end(new)
            operation.note(
                f"not preloaded: the import left {', '.join(unsafe.found)}; each worker imports the application"
            )
            pin = release.without_preload(pin)
            continue
        except BaseException as error:
            _explain(error, new)
            await _end(new)
            raise
        for text in new.news.remarks:
            operation.note(text, logged=True)  # by its master
        for reason in new.news.broken:
            operation.note(f"{reason}; it answers 503")
        used = diff.changed(Settings(), target.settings)
        known = {key for key, rule in rules().items() if rule.get("supervisor")} | set(new.hello.get("settings", []))
        unknown = sorted(set(used) - known)
        if unknown:
            operation.note(
                f"releve {new.hello.get('releve')} of the release ignores settings that it does not know: "
                f"{', '.join(unknown)}"
            )
        return new


async def prove(
    operation: Operation, generation: Generation, revision: int, check: Check | None, *, settle: bool = True
) -> None:
    """Ask the check of every worker of a revision, on a private connection; then see that none dies, nor its master.

    Raises StepFailed.
    """
    workers = [worker for worker in generation.workers.values() if worker.revision == revision]
    if check is not None:
        for worker in workers:
            try:
                await checking.ask_worker(generation, worker, check)
            except checking.CheckFailed as error:
                soundness.demand_master(generation, "check", when=SUDDENLY)
                raise StepFailed("check", str(error)) from error
        operation.say(f"{counted(len(workers), 'worker')} passed {check.path}")
    if settle:
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await generation.until(lambda: bool(generation.trouble or generation.roster.losses.of(revision)))
    soundness.demand(generation, "check", revision=revision, when=SUDDENLY)


def _explain(error: BaseException, new: Generation | None) -> None:
    """Add to a failure what the new generation has to say, before it is ended."""
    if isinstance(error, StepFailed) and new is not None:
        error.evidence |= new.explain()


async def _conclude(
    service: Service,
    operation: Operation,
    old: Generation | None,
    new: Generation,
    target: Target,
    hooks: Hooks,
    manner: Manner,
) -> None:
    """From the switch to the commit."""
    hooks.after_switch()
    seconds = new.settings.upgrade.probation
    if manner.probation and old is not None and seconds is not None:
        with operation.step("probation"):
            fault("on_trial")
            await _judge(operation, old, new, seconds)
    await hooks.ended()
    if new.trouble:  # nobody has looked at it while the hook ran
        failure = StepFailed if old is None else RolledBack
        raise failure("commit", f"cannot commit: {new.trouble}", new.crash_stack())
    fault("before_commit")
    with operation.step("commit"):
        _commit(service, operation, new, target, new.settings.upgrade.standby if manner.standby else None)
    fault("after_commit")
    await hooks.after_commit()


def _commit(service: Service, operation: Operation, new: Generation, target: Target, standby_s: float | None) -> None:
    """From here on the new generation is in service, with its listeners; the old one stands by for that time."""
    operation.committed = True
    service.commit(new, target.listeners.all, standby_s=standby_s)
    for trouble in target.listeners.commit():
        operation.note(trouble)


async def _judge(operation: Operation, old: Generation, new: Generation, seconds: float) -> None:
    """Watch a generation that serves. Raises RolledBack if it is bad; the caller goes back."""
    before = probation.last_minute(old.traffic.last_minute())
    verdict = await probation.watch(new, old, seconds, new.settings.upgrade.check, before)
    operation.figures |= verdict.figures
    for note in verdict.notes:
        operation.note(note)
    if verdict.violation is not None:
        raise verdict.violation.failure("probation", new, verdict.figures)


async def _undo(
    service: Service, operation: Operation, old: Generation | None, new: Generation | None, target: Target | None
) -> None:
    """Back to where the upgrade began, whatever step it had reached; forward where there is no way back, and the new
    one serves.
    """
    if new is not None and new is service.active:
        return  # committed
    if new is not None and old is not None:
        try:
            await _go_back(service, operation, old, new)
        except StepFailed as error:
            if new.state is GenerationState.SERVING:
                assert target is not None
                return await _stay(service, operation, new, target, error.reason)
            operation.note(f"cannot go back: {error.reason}")
            # the supervisor looks for a successor
            service.condition.degraded["rollback"] = f"nothing serves: {error.reason}"
            await _dismiss(service, operation, new)
    elif new is not None:
        await _dismiss(service, operation, new)
    if target is not None:
        target.listeners.abandon()
    service.drop_candidate()


async def _go_back(service: Service, operation: Operation, old: Generation, new: Generation) -> None:
    """The old generation serves as before; the new one finishes and leaves.

    Raises StepFailed: only the new one can serve.
    """
    rolling = new.settings.upgrade.mode == "rolling"
    if old.state is GenerationState.GONE:
        if new.state is GenerationState.ATTENDING and not operation.final:
            with suppress(StepFailed):
                await new.orders.resume()
        if new.state is GenerationState.SERVING and not operation.final:
            raise StepFailed("switch", old.trouble)
        await _dismiss(service, operation, new)  # the supervisor looks for a successor of the old one
    # paused: nobody serves, if the new one has ended by itself
    elif new.state in AT_WORK or old.state is GenerationState.STANDBY:
        await switch.back(service, old, new)
        if rolling:
            await scale.restore(old, service.wanted_workers)
    else:
        await switch.end_diversion(old)
        if rolling and new.state is GenerationState.GONE and old.state is GenerationState.SERVING:
            await scale.restore(old, service.wanted_workers)  # it ended by itself while the old one's workers left
        await _dismiss(service, operation, new)


async def _stay(service: Service, operation: Operation, new: Generation, target: Target, reason: str) -> None:
    """Commit a generation that has failed, since nobody else can serve."""
    operation.note(f"cannot go back: {reason}; generation {new.number} keeps serving")
    _commit(service, operation, new, target, None)
    service.condition.degraded["rollback"] = f"generation {new.number} keeps serving although it failed: {reason}"
    if new.settings.upgrade.mode == "rolling":
        await scale.restore(new, service.wanted_workers)


async def _dismiss(service: Service, operation: Operation, new: Generation) -> None:
    """End one that is not wanted; at a stop, what it was sent is answered."""
    if new.state in AT_WORK and operation.final:
        service.retire(new)  # the stop waits for it
    else:
        await _end(new)


async def _end(generation: Generation) -> None:
    generation.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(_UNDO_S):
            await generation.ended.wait()
