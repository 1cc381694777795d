"""The supervisor: takes verbs from signals, ``ctl`` and watchdog, and runs one operation at a time.

Single-threaded asyncio (watchdog's observer apart). It never imports application
code and never serves. ``states.VERBS`` says what becomes of a verb; an operation
runs as one task; its outcome is kept, recorded and told to everybody who waits.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from releve.config.errors import ConfigError, Place, Problem
from releve.config.load import Loaded
from releve.config.settings import Settings
from releve.server import faults
from releve.supervisor import adoption, instances, revival, status, system
from releve.supervisor import listeners as listening
from releve.supervisor import scale as scaling
from releve.supervisor.configuration import Configuration
from releve.supervisor.control import ControlServer
from releve.supervisor.failure import RolledBack, StepFailed
from releve.supervisor.generation import Generation
from releve.supervisor.history import History, HistoryError
from releve.supervisor.lock import LockError, RuntimeLock
from releve.supervisor.log import log, setup
from releve.supervisor.notify import Notifier
from releve.supervisor.operation import Operation, failure
from releve.supervisor.protocol import SOCKET_NAME, Event, Status, result
from releve.supervisor.pulse import Pulse
from releve.supervisor.reload import reload
from releve.supervisor.rollback import rollback
from releve.supervisor.service import GUARD_FILE, MISTAKEN_S, Service
from releve.supervisor.states import Admission, GenerationState, ServiceState, admit
from releve.supervisor.target import from_cold, from_configuration, from_generation, from_history
from releve.supervisor.traffic import EVERY_S as SAMPLE_S
from releve.supervisor.upgrade import rehearse, upgrade
from releve.supervisor.watching import Watching

Work = Callable[[Operation], Awaitable[str]]

SIGNALS: dict[signal.Signals, tuple[str, dict[str, Any]]] = {
    signal.SIGUSR2: ("upgrade", {}),
    signal.SIGHUP: ("reload", {}),
    signal.SIGTERM: ("stop", {}),
    signal.SIGQUIT: ("stop", {}),
    signal.SIGINT: ("stop", {"now": True}),
    signal.SIGTTIN: ("scale", {"workers": "+1"}),
    signal.SIGTTOU: ("scale", {"workers": "-1"}),
}

# status of an operation -> outcome of its attempt in the history; "failed" for the others
OUTCOMES = {Status.DONE: "done", Status.DEGRADED: "done", Status.ROLLED_BACK: "rolled back"}
EVIDENCE = ("step", "reason", "traceback", "evidence", "notes", "phases", "figures")  # of an outcome, what the history keeps

_RECOVER_FIRST_S, _RECOVER_LAST_S = 0.5, 60.0
# systemd reads PIDFile= after each reload, and would take the guard that is named there for the main process: it is hidden
# for a moment when a reload may end, and systemd is told again who the main process is.
GUARD_HIDDEN_S = 1.0
_NOW_DRAIN_S = 0.0
_FLUSH_S = 10.0

# What to do about a failure, by verb.
_NEXT = {
    "upgrade": "mend the release and ctl upgrade again; ctl history keeps this attempt",
    "reload": "mend the configuration and ctl reload again",
    "rollback": "",
    "scale": "",
    "start": "mend it and start again",
    "adopt": "ctl status shows what serves",
    "recover": "the supervisor tries again; ctl upgrade to another release ends that",
}


class Supervisor:
    """One service's supervisor, from its start to its stop."""

    def __init__(self, service: Service, runtime: Path, broken: ConfigError | None = None) -> None:
        """``broken``: what is wrong with the configuration of a supervisor that was revived."""
        self.service = service
        self._broken = broken
        self.runtime = runtime
        self.operation: Operation | None = None
        self.stopping: Operation | None = None
        self.exit_status = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop holds tasks weakly
        self._ended = asyncio.Event()
        self._control = ControlServer(runtime / SOCKET_NAME, self)
        self._recover_delay_s = _RECOVER_FIRST_S
        self._pulse = Pulse(service.notifier, os.environ, os.getpid(), lambda: self.operation is not None or self.stopping is not None)
        self._watching = Watching(service, self._upgrade_for_watch)
        service.on_lost = lambda generation: self._recover()
        service.on_terminated = lambda: self._on_signal("SIGTERM", "stop", {})

    async def main(self) -> int:
        """Run until stopped; returns the exit status of ``releve``."""
        loop = asyncio.get_running_loop()
        for number, (verb, arguments) in SIGNALS.items():
            loop.add_signal_handler(number, self._on_signal, number.name, verb, arguments)
        loop.add_signal_handler(signal.SIGUSR1, lambda: log.info("USR1: the log goes to standard error, there is nothing to reopen"))
        loop.add_signal_handler(signal.SIGCHLD, self._reap_orphans)
        adopted = await adoption.adopt(self.service)
        if self._broken is not None:
            if not adopted:
                raise self._broken
            log.error("%s; what runs goes on with the settings that it has", self._broken)
        await self._control.start()
        self._pulse.start()
        self._sample()
        if self.service.history.trouble:
            log.warning("the history is in trouble, upgrades will be refused: %s", self.service.history.trouble)
        for name in listening.unclaimed(self.service.loaded.settings.listen, self.service.inherited):
            log.warning(
                "nothing listens on the inherited socket %s: its clients wait for ever; add fd:%s to listen, or drop it", name, name
            )
        instances.write_card(self.runtime, self.service.configuration.card(self.runtime))
        try:
            start = self._begin("start", "releve", self._start_work()) if not adopted else None
            if start is None:
                start = self._begin("adopt", "guard" if revival.VARIABLE in os.environ else "releve", self._adoption_work(adopted))
            await start.finished.wait()
            assert start.outcome is not None
            if start.verb == "start" and start.outcome["status"] not in (Status.DONE, Status.DEGRADED) and self.stopping is None:
                self.exit_status = int(start.outcome["status"])
                await self._end_everything(_NOW_DRAIN_S, None)
            else:
                await self._ended.wait()
        finally:
            self._watching.stop()
            self.service.close_listeners()
            await self._control.close()
            instances.remove_card(self.runtime)
            (self.runtime / GUARD_FILE).unlink(missing_ok=True)
            self._pulse.stop()
        return self.exit_status

    # ---------------------------------------------------------------- verbs

    @property
    def state(self) -> ServiceState:
        """What the service as a whole is doing."""
        if self.stopping is not None:
            return ServiceState.STOPPING
        if self.service.active is None:
            return ServiceState.STARTING
        if self.operation is None:
            return ServiceState.SERVING
        if self.service.on_trial:
            return ServiceState.TRIAL
        return ServiceState.RECOVERING if self.operation.verb == "recover" else ServiceState.OPERATING

    @property
    def syntax_errors(self) -> list[str]:
        """What keeps ``watch: code`` from upgrading, if anything does."""
        return self._watching.syntax_errors

    async def ask(self, verb: str, arguments: dict[str, Any], by: str) -> Operation | Event:
        """Carry out a verb: the operation it began or joined, or a result where there is nothing to wait for."""
        while (admission := admit(verb, self.state)) is Admission.INTERRUPT and verb != "stop":  # which interrupts for itself
            assert self.operation is not None
            self.operation.interrupt(f"{verb} by {by} goes first")
            await self.operation.finished.wait()
        if admission in (Admission.BUSY, Admission.NOTHING):
            return self._refuse(verb, admission)
        try:
            return await self._VERBS[verb](self, arguments, by)
        except StepFailed as error:  # refused before anything began
            return failure(error, Status.USAGE, self.service.serving_words(), "")

    def _refuse(self, verb: str, admission: Admission) -> Event:
        current = self.stopping or self.operation
        if admission is Admission.NOTHING or current is None:
            return result(
                admission.status, f"cannot {verb}: no operation is under way that could be ended", serving=self.service.serving_words()
            )
        return result(
            admission.status,
            f"cannot {verb}: {current.verb} {current.number} by {current.by} is under way "
            f"({current.phase or 'beginning'}, {current.seconds:.1f}s)",
            operation={"verb": current.verb, "number": current.number, "by": current.by, "phase": current.phase},
            serving=self.service.serving_words(),
            next="wait for it (ctl status), or end it (ctl abort)",
        )

    async def _status(self, arguments: dict[str, Any], by: str) -> Event:
        return status.snapshot(self)

    async def _history(self, arguments: dict[str, Any], by: str) -> Event:
        limit = arguments.get("limit")
        entries = self.service.history.entries(limit if isinstance(limit, int) else None)
        return result(Status.DONE, f"{len(entries)} attempts", entries=entries, pending=self.service.history.pending)

    async def _check(self, arguments: dict[str, Any], by: str) -> Event:
        """What an upgrade would start from, without starting anything."""
        try:
            target = await from_configuration(self.service, self.service.configuration)()
        except ConfigError as error:
            return result(Status.USAGE, str(error), step="configuration", reason=str(error), serving=self.service.serving_words())
        except StepFailed as error:
            return failure(error, Status.FAILED, self.service.serving_words(), "mend it; nothing was touched")
        target.listeners.abandon()
        pin = target.pin
        return result(Status.DONE, f"an upgrade would start {pin.app} in {pin.resolved} with {pin.python} (Python {pin.python_version})")

    async def _upgrade(self, arguments: dict[str, Any], by: str) -> Operation:
        configuration = self.service.configuration
        chosen = {key: str(arguments[key]) for key in ("directory", "python") if arguments.get(key)}
        if chosen:
            configuration = configuration.changed(**chosen)
        dry = bool(arguments.get("dry_run"))
        return self._begin("upgrade", by, self._rehearsal_work(configuration) if dry else self._upgrade_work(configuration), dry=dry)

    async def _reload(self, arguments: dict[str, Any], by: str) -> Operation:
        async def work(operation: Operation) -> str:
            generation = await reload(self.service, operation, self.service.configuration)
            fresh = sum(worker.revision == generation.revision for worker in generation.workers.values())
            return f"reloaded: generation {generation.number} has {fresh} new workers"

        return self._begin("reload", by, work)

    async def _rollback(self, arguments: dict[str, Any], by: str) -> Operation | Event:
        trial = self.operation if self.service.on_trial else None
        if trial is not None:
            trial.interrupt(f"rollback by {by}")
            await trial.finished.wait()
            back = not self.service.on_trial and "rollback" not in self.service.degraded
            return result(Status.DONE if back else Status.DEGRADED, f"ended {trial.verb} {trial.number}: {self.service.serving_words()}")

        async def work(operation: Operation) -> str:
            if self.service.standby is not None:
                generation = await rollback(self.service, operation)
            else:
                generation = await upgrade(self.service, operation, from_history(self.service))
            return f"rolled back: generation {generation.number} serves {generation.pin.resolved}"

        return self._begin("rollback", by, work)

    async def _scale(self, arguments: dict[str, Any], by: str) -> Operation:
        reset = bool(arguments.get("reset"))
        number = scaling.wanted(self.service, arguments.get("workers"), reset)

        async def work(operation: Operation) -> str:
            await scaling.scale(self.service, operation, number, reset)
            return f"{number} workers" + ("" if reset else ", until a reload or ctl scale --reset")

        return self._begin("scale", by, work)

    async def _abort(self, arguments: dict[str, Any], by: str) -> Event:
        operation = self.operation
        if operation is None or not operation.interrupt(f"aborted by {by}"):
            verb = "nothing" if operation is None else f"{operation.verb} {operation.number}"
            return result(Status.USAGE, f"cannot abort {verb}: it is committed", serving=self.service.serving_words())
        await operation.finished.wait()
        return result(Status.DONE, f"aborted {operation.verb} {operation.number}", serving=self.service.serving_words())

    async def _stop(self, arguments: dict[str, Any], by: str) -> Operation:
        now = bool(arguments.get("now"))
        if self.stopping is None:
            self.stopping = operation = Operation("stop", by)
            log.info("Stopping, asked by %s", by)
            operation.task = asyncio.get_running_loop().create_task(self._stop_task(operation, now))
        elif now:
            for generation in self.service.generations():
                generation.dismiss(_NOW_DRAIN_S)
        return self.stopping

    _VERBS: dict[str, Callable[[Supervisor, dict[str, Any], str], Awaitable[Operation | Event]]] = {
        "status": _status,
        "history": _history,
        "check": _check,
        "upgrade": _upgrade,
        "reload": _reload,
        "rollback": _rollback,
        "scale": _scale,
        "abort": _abort,
        "stop": _stop,
    }

    # ---------------------------------------------------------------- operations

    def _upgrade_work(self, configuration: Configuration, *, standby: bool = True, settle: bool = True) -> Work:
        async def work(operation: Operation) -> str:
            choose = from_configuration(self.service, configuration)
            new = await upgrade(self.service, operation, choose, standby=standby, settle=settle, judged=standby)
            return f"generation {new.number} serves {new.pin.resolved}"

        return work

    def _start_work(self) -> Work:
        async def work(operation: Operation) -> str:
            new = await upgrade(self.service, operation, from_cold(self.service, operation), standby=False)
            if self.service.passed_over:
                self.service.degraded["start"] = self.service.passed_over
            return f"generation {new.number} serves {new.pin.resolved}"

        return work

    def _adoption_work(self, adopted: list[adoption.Adopted]) -> Work:
        async def work(operation: Operation) -> str:
            return await adoption.settle(self.service, operation, adopted)

        return work

    def _rehearsal_work(self, configuration: Configuration) -> Work:
        async def work(operation: Operation) -> str:
            new = await rehearse(self.service, operation, from_configuration(self.service, configuration))
            return f"would serve {new.pin.resolved} with {new.pin.python} (Python {new.pin.python_version}); nothing was touched"

        return work

    def _begin(self, verb: str, by: str, work: Work, *, dry: bool = False) -> Operation:
        operation = Operation(verb, by, dry=dry)
        operation.told = partial(self._tell_systemd, operation)
        self.operation = operation
        self._pulse.extend()
        if self.service.active is not None:
            self.service.notifier.reloading(f"{verb} {operation.number} begins; {self.service.serving_words()}")
        operation.task = asyncio.get_running_loop().create_task(self._perform(operation, work))
        return operation

    async def _perform(self, operation: Operation, work: Work) -> None:
        """Run an operation to its outcome, whatever happens."""
        service = self.service
        before = service.describe(service.active)
        attempt: int | None = None
        log.info("%s %d begins, asked by %s", operation.verb, operation.number, operation.by)
        outcome: Event
        try:
            attempt = self._record(operation, before)
            if attempt is not None:
                operation.record = partial(service.history.note, attempt)
                operation.emit({"event": "attempt", "attempt": attempt})
            message = await work(operation)
            done = Status.DEGRADED if service.degraded else Status.DONE
            outcome = result(done, message, degraded=list(service.degraded.values()))
        except ConfigError as error:
            reason = str(error)
            outcome = result(
                Status.USAGE,
                reason,
                step="configuration",
                reason=reason,
                serving=service.serving_words(),
                next="mend the file and try again",
            )
        except RolledBack as error:
            outcome = failure(error, Status.ROLLED_BACK, service.serving_words(), _NEXT[operation.verb])
            outcome["evidence"] = error.evidence
        except StepFailed as error:
            outcome = failure(error, Status.FAILED, service.serving_words(), _NEXT[operation.verb])
        except asyncio.CancelledError:
            ended = StepFailed(operation.phase, f"{operation.verb} {operation.number} was ended: {operation.stop_reason}")
            outcome = failure(ended, Status.ROLLED_BACK if operation.switched else Status.FAILED, service.serving_words(), "")
            outcome["aborted"] = True
        except Exception as error:
            log.exception("%s %d failed in a way nobody foresaw", operation.verb, operation.number)
            outcome = result(Status.UNEXPECTED, f"unexpected error: {error!r}; the log has the traceback", serving=service.serving_words())
        outcome.update(
            verb=operation.verb,
            operation=operation.number,
            generation=service.active.number if service.active else None,
            seconds=operation.seconds,
            phases=operation.times,
            notes=operation.notes,
            figures=operation.figures,
        )
        self._log_outcome(operation, outcome)
        if attempt is not None:
            evidence = {key: outcome[key] for key in EVIDENCE if outcome.get(key)}
            words = "aborted" if outcome.get("aborted") else OUTCOMES.get(outcome["status"], "failed")
            if operation.dry and words == "done":
                words = "dry run"
            service.history.finish(attempt, words, to=service.describe(service.active), **evidence)
        self.operation = None
        if self.stopping is None:
            service.announce()
        if operation.verb == "upgrade":  # what ExecReload= does
            service.hide_guard()
        operation.finish(outcome)
        if self.stopping is None:
            service.mistaken_until = asyncio.get_running_loop().time() + MISTAKEN_S
            asyncio.get_running_loop().call_later(GUARD_HIDDEN_S, self._show_guard)
            self._watching.follow()
            self._recover()
            self._flush_history()

    def _show_guard(self) -> None:
        if self.operation is None and self.stopping is None:
            self.service.notifier.main_pid(os.getpid())
            self.service.name_guard()

    def _tell_systemd(self, operation: Operation, phase: str) -> None:
        self.service.notifier.status(f"{operation.verb} {operation.number}: {phase}; {self.service.serving_words()}")

    def _record(self, operation: Operation, before: dict[str, Any] | None) -> int | None:
        entry = {"verb": operation.verb, "by": operation.by, "from": before}
        try:
            # What changes the release is refused when it cannot be recorded; what rescues never waits for the disk.
            return self.service.history.begin(entry, rescue=operation.verb != "upgrade")
        except HistoryError as error:
            raise StepFailed("record", str(error)) from error

    def _log_outcome(self, operation: Operation, outcome: Event) -> None:
        if outcome["status"] in (Status.DONE, Status.DEGRADED):
            log.info("%s %d done in %.2fs: %s", operation.verb, operation.number, operation.seconds, outcome["message"])
            return
        log.error("%s %d failed: %s; %s", operation.verb, operation.number, outcome["message"], outcome.get("serving", ""))
        if outcome.get("traceback"):
            log.error("%s", outcome["traceback"])

    # ---------------------------------------------------------------- what comes by itself

    def _on_signal(self, name: str, verb: str, arguments: dict[str, Any]) -> None:
        async def act() -> None:
            answer = await self.ask(verb, arguments, name)
            if not isinstance(answer, Operation) and answer["status"] != Status.DONE:
                log.warning("%s: %s", name, answer["message"])

        task = asyncio.get_running_loop().create_task(act())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reap_orphans(self) -> None:
        known = {worker.pid for generation in self.service.generations() for worker in generation.workers.values()}
        for pid, ended in system.reap_orphans(known):
            log.debug("reaped pid %d, which %s", pid, system.describe_status(ended))

    def _sample(self) -> None:
        """Remember what the generation in service has answered: the next one is compared with its last minute."""
        if self.service.active is not None:
            self.service.active.traffic.sample()
        if not self._ended.is_set():
            asyncio.get_running_loop().call_later(SAMPLE_S, self._sample)

    def _upgrade_for_watch(self, code: bool) -> bool:
        """An upgrade because files changed; False when it has to wait."""
        if admit("upgrade", self.state) is not Admission.RUN:
            return False
        self._begin("upgrade", "watch", self._upgrade_work(self.service.configuration, standby=not code, settle=not code))
        return True

    def _recover(self) -> None:
        """Find a successor for a generation in service that lost its master."""
        active = self.service.active
        if active is None or not (active.orphaned or active.state is GenerationState.GONE):
            self._recover_delay_s = _RECOVER_FIRST_S
            return
        if self.operation is None and self.stopping is None:
            asyncio.get_running_loop().call_later(self._recover_delay_s, self._recover_now, active)
            self._recover_delay_s = min(self._recover_delay_s * 2, _RECOVER_LAST_S)

    def _flush_history(self) -> None:
        """What a rescue could not wait to write, until the disk takes it."""
        history = self.service.history
        if history.pending and not history.flush() and self.stopping is None:
            log.warning("the history waits for the disk: %s", history.trouble)
            asyncio.get_running_loop().call_later(_FLUSH_S, self._flush_history)

    def _recover_now(self, lost: Generation) -> None:
        if self.service.active is not lost or self.operation is not None or self.stopping is not None:
            return

        async def work(operation: Operation) -> str:
            new = await upgrade(self.service, operation, from_generation(self.service, lost), standby=False, judged=False)
            return f"generation {new.number} follows generation {lost.number}, from the same release"

        self._begin("recover", "supervisor", work)

    # ---------------------------------------------------------------- the end

    async def _stop_task(self, operation: Operation, now: bool) -> None:
        service = self.service
        service.notifier.main_pid(os.getpid())
        service.notifier.stopping()
        attempt = service.history.begin({"verb": "stop", "by": operation.by, "from": service.describe(service.active)}, rescue=True)
        current = self.operation
        if current is not None:
            current.interrupt("the service is being stopped")
            await current.finished.wait()
        timeouts = service.loaded.settings.timeouts
        operation.phase = "drain"
        await self._end_everything(_NOW_DRAIN_S if now else timeouts.drain, None if now else timeouts.linger)
        service.history.finish(attempt, "done")
        log.info("Stopped")
        operation.finish(result(Status.DONE, "stopped", verb="stop", operation=operation.number, seconds=operation.seconds))
        self._ended.set()

    async def _end_everything(self, drain_s: float, linger_s: float | None) -> None:
        generations = self.service.generations()
        for generation in generations:
            generation.dismiss(drain_s, linger_s)
        self.service.close_listeners()  # each worker accepts what is queued before it closes its own
        for generation in generations:
            await generation.ended.wait()


def run(configuration: Configuration) -> int:
    """Be the supervisor of a service until it is stopped; returns the exit status of ``releve``.

    Raises ConfigError (the settings), InstanceError and LockError (the folders).
    """
    lived = revival.folders(os.environ)
    try:
        loaded, broken = configuration.read(), None
    except ConfigError as error:
        if lived is None:
            raise
        loaded, broken = Loaded(Settings(), configuration.path), error  # what runs is adopted all the same, with its own settings
    setup(loaded.settings.log.level)
    if faults.trouble():
        raise ConfigError([Problem(Place("the environment"), faults.trouble())])
    for key, source in loaded.sources.items():
        log.info("%s comes from %s", key, source)
    for note in loaded.notes:
        log.warning("%s", note)
    runtime = lived.runtime if lived else configuration.runtime_directory(loaded.settings.runtime_directory)
    state = lived.state if lived else configuration.state_directory(loaded.settings.state_directory)
    lock = RuntimeLock.acquire(str(runtime))
    try:
        system.become_subreaper()

        async def main() -> int:
            service = Service(configuration, loaded, History(str(state)), Notifier(os.environ), runtime)
            return await Supervisor(service, runtime, broken).main()

        return asyncio.run(main())
    finally:
        lock.release()


__all__ = ["SIGNALS", "LockError", "Supervisor", "run"]
