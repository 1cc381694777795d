"""The supervisor: takes verbs from signals, ``ctl`` and watchdog, and runs one operation at a time.

Single-threaded asyncio (watchdog's observer apart). It never imports application
code and never serves. ``states.VERBS`` says what becomes of a verb; an operation
runs as one task; its outcome is kept, recorded and told to everybody who waits.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from releve.config.errors import ConfigError, Place, Problem
from releve.config.load import Loaded
from releve.config.settings import Log, Settings
from releve.instance import instances
from releve.instance.instances import InstanceError
from releve.instance.protocol import SOCKET_NAME, Event, Status, result
from releve.server.shared import faults
from releve.supervisor.channels.door import doors
from releve.supervisor.generation.states import Admission, ServiceState, admit
from releve.supervisor.generation.traffic import EVERY_S as SAMPLE_S
from releve.supervisor.host import system
from releve.supervisor.host.identity import Identity, IdentityError, identify
from releve.supervisor.keepsake import revival
from releve.supervisor.listeners import listener as listening
from releve.supervisor.operations.attempt import perform
from releve.supervisor.operations.hooks import end_left_over
from releve.supervisor.operations.reopen import Rotations
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.history import History
from releve.supervisor.reporting.log import log, own
from releve.supervisor.reporting.operation import Operation, failure
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.lock import LockError, LockHeld, RuntimeLock
from releve.supervisor.service.sentry_process import Post
from releve.supervisor.service.service import MISTAKEN_S, Service
from releve.supervisor.systemd.notify import Notifier
from releve.supervisor.systemd.watchdog import Pulse
from releve.supervisor.takeover import adoption, reexec, refusal, succession
from releve.supervisor.takeover.inventory import Adopted
from releve.supervisor.takeover.succession import Succession, SuccessionError
from releve.supervisor.verbs import work
from releve.supervisor.verbs.autoupgrade import Watching
from releve.supervisor.verbs.control_server import ControlServer
from releve.supervisor.verbs.permit import Permit, permit
from releve.supervisor.verbs.recovery import Recovery
from releve.supervisor.verbs.stop import Stop, dismiss_all, end_all
from releve.supervisor.verbs.upkeep import Upkeep
from releve.supervisor.verbs.verbs import VERBS
from releve.supervisor.verbs.work import Work

SIGNALS: dict[signal.Signals, tuple[str, dict[str, Any]]] = {
    signal.SIGUSR2: ("upgrade", {}),
    signal.SIGHUP: ("reload", {}),
    signal.SIGTERM: ("stop", {"hurry": True, "signalled": True}),
    signal.SIGQUIT: ("stop", {"hurry": True, "signalled": True}),
    signal.SIGINT: ("stop", {"now": True, "signalled": True}),
    signal.SIGUSR1: ("reopen", {}),
    signal.SIGTTIN: ("scale", {"workers": "+1"}),
    signal.SIGTTOU: ("scale", {"workers": "-1"}),
}

FOLLOW_S = 10.0  # how long an upgrade waits for a recovery to come to its end
_FIRST = (Admission.INTERRUPT, Admission.FOLLOW)
# systemd reads PIDFile= after each reload, and would take the guard that is named there for the main process: for a moment when
# a reload may end the supervisor itself is named there, and then systemd is told again who the main process is.
STAND_IN_S = 1.0
ASSURE_EVERY_S = 5.0
SILENCE_S = 20.0  # well below WatchdogSec= of the units: a supervisor that hangs is followed, not the whole service started anew
DESCRIPTORS = 8192  # four for each worker that masters can tell us of, as many as a scoreboard has slots, of a few generations
_FLUSH_S = 10.0


class Supervisor:
    """One service's supervisor, from its start to its stop."""

    def __init__(
        self,
        service: Service,
        runtime: Path,
        lock: RuntimeLock,
        permit: Permit,
        broken: ConfigError | None = None,
        arrived: Succession | None = None,
    ) -> None:
        """``broken``: what is wrong with the configuration of a supervisor that goes on all the same; ``arrived``: what it takes over."""
        self.service = service
        self._broken = broken
        self._arrived = arrived
        self.lock = lock
        self.runtime = runtime
        self.operation: Operation | None = None
        self.exit_status = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop holds tasks weakly
        self.holding = asyncio.Event()  # what there was is taken over, and the first operation begun
        listening = None if arrived is None else socket.socket(fileno=arrived.bequest.control)
        self.control = ControlServer(runtime / SOCKET_NAME, self, permit, listening)
        self.stop = Stop(self)
        self._recovery = Recovery(self)
        self._pulse = Pulse(service.notifier, os.environ, os.getpid(), lambda: not self.idle)
        self._watching = Watching(service, self._upgrade_for_watch)
        self._rotations = Rotations(service)
        self.card = service.configuration.card(runtime)
        self._upkeep = Upkeep(self)
        service.on_lost = lambda generation: self._recovery.look()
        service.condition.planned = lambda: self.operation is not None
        service.condition.on_change = self._tell_health
        service.on_terminated = lambda: self._on_signal("SIGTERM", "stop", {"signalled": True})

    async def main(self) -> int:
        """Run until stopped; returns the exit status of ``releve``."""
        loop = asyncio.get_running_loop()
        for number, (verb, arguments) in SIGNALS.items():
            loop.add_signal_handler(number, self._on_signal, number.name, verb, arguments)
        loop.add_signal_handler(signal.SIGCHLD, self._reap_orphans)
        end_left_over(self.runtime)
        adopted = await self._take_over()
        if self._broken is not None:
            if not adopted and self._arrived is None:
                raise self._broken
            log.error("%s; what runs goes on with the settings that it has", self._broken)
        await self.control.start()
        instances.write_card(self.runtime, self.card)
        self._pulse.start()
        self._sample()
        self._assure()
        if self.service.history.trouble:
            log.warning("the history is in trouble, upgrades will be refused: %s", self.service.history.trouble)
        for name in listening.unclaimed(self.service.loaded.settings.listen, self.service.inherited):
            log.warning(
                "nothing listens on the inherited socket %s: its clients wait for ever; add fd:%s to listen, or drop it", name, name
            )
        try:
            start = await self._begin_first(adopted)
            self.holding.set()
            await start.finished.wait()
            refusal.dismiss(self.service)
            assert start.outcome is not None
            if start.verb == "start" and start.outcome["status"] not in (Status.DONE, Status.DEGRADED) and self.stopping is None:
                self.exit_status = int(start.outcome["status"])
                if own.path is not None:
                    print(f"releve: {start.outcome['message']}; the log is in {own.path}", file=sys.stderr)
                await end_all(self.service, dismiss_all(self.service))
            else:
                await self.stop.ended.wait()
            await refusal.settled()
        finally:
            self._watching.stop()
            self._upkeep.end()
            self.service.close_listeners()
            await self.control.close()
            instances.remove_card(self.runtime)
            self.service.guard_file.remove()
            self._pulse.stop()
        return self.exit_status

    async def _take_over(self) -> list[Adopted]:
        """What was handed over in this process; else whatever generations can be found. Raises SuccessionError."""
        if self._arrived is None:
            return await adoption.adopt(self.service, None if self._broken is not None else _configured(self.service.loaded.settings))
        succession.restore(self.service, self._arrived)
        system.let_signals_in()
        return []

    async def _begin_first(self, adopted: list[Adopted]) -> Operation:
        """The operation by which this program comes to hold a service."""
        if self._arrived is not None:
            said = self._arrived.bequest
            operation = Operation.continued("reexec", said.by, said.number, said.attempt, said.began)
            operation.times.update(said.times)
            await self.control.go_on(operation, said.conversations)
            return self._start(operation, work.following(self.service, self._arrived.releve))
        if adopted:
            return self.begin("adopt", "guard" if revival.VARIABLE in os.environ else "releve", work.adopting(self.service, adopted))
        return self.begin("start", "releve", work.starting(self.service))

    # ---------------------------------------------------------------- verbs

    @property
    def stopping(self) -> Operation | None:
        """The stop, once it has been asked for."""
        return self.stop.operation

    @property
    def idle(self) -> bool:
        """Whether no operation is under way, nor the stop."""
        return self.operation is None and self.stopping is None

    @property
    def state(self) -> ServiceState:
        """What the service as a whole is doing."""
        if self.stopping is not None:
            return ServiceState.STOPPING
        if self.service.active is None:
            return ServiceState.STARTING
        if self.operation is None:
            return ServiceState.SERVING
        if self.service.tried:
            return ServiceState.TRIAL
        return ServiceState.RECOVERING if self.operation.verb == "recover" else ServiceState.OPERATING

    @property
    def syntax_errors(self) -> list[str]:
        """What keeps ``watch: code`` from upgrading, if anything does."""
        return self._watching.syntax_errors

    async def ask(self, verb: str, arguments: dict[str, Any], by: str) -> Operation | Event:
        """Carry out a verb: the operation it began or joined, or a result where there is nothing to wait for."""
        dry = bool(arguments.get("dry_run"))
        while (admission := admit(verb, self.state, dry=dry)) in _FIRST and verb != "stop":  # which interrupts for itself
            current = self.operation
            assert current is not None
            if admission is Admission.FOLLOW:
                log.info("%s, asked by %s, waits for %s %d", verb, by, current.verb, current.number)
                with suppress(TimeoutError):
                    async with asyncio.timeout(FOLLOW_S):
                        await current.finished.wait()
            current.interrupt(f"{verb} by {by} goes first")
            await current.finished.wait()
        if admission in (Admission.BUSY, Admission.NOTHING):
            return self._refuse(verb, admission)
        try:
            return await VERBS[verb](self, arguments, by)
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

    # ---------------------------------------------------------------- operations

    def begin(self, verb: str, by: str, does: Work, *, dry: bool = False) -> Operation:
        """Start an operation; the caller has asked whether it may run."""
        return self._start(Operation(verb, by, self.service.history.reserve(), dry=dry), does)

    def _start(self, operation: Operation, does: Work) -> Operation:
        self._upkeep.look()
        operation.told = partial(self._tell_systemd, operation)
        self.operation = operation
        self._pulse.extend()
        if self.service.active is not None:
            self.service.notifier.reloading(f"{operation.verb} {operation.number} begins; {self.service.serving_words()}")
        operation.task = asyncio.get_running_loop().create_task(self._run(operation, does))
        return operation

    async def _run(self, operation: Operation, does: Work) -> None:
        service = self.service
        outcome = await perform(service, operation, does)
        self.operation = None
        if self.stopping is None:
            service.announce()
        if operation.verb == "upgrade":  # what ExecReload= does
            service.guard_file.stand_in()  # for STAND_IN_S
        service.assure(SILENCE_S)
        operation.finish(outcome)
        if self.stopping is None:
            service.mistaken_until = asyncio.get_running_loop().time() + MISTAKEN_S
            asyncio.get_running_loop().call_later(STAND_IN_S, self._show_guard)
            self._watching.follow()
            self._recovery.look()
            self._flush_history()

    def _show_guard(self) -> None:
        if self.idle:
            self.service.notifier.main_pid(os.getpid())
            self.service.name_guard()

    def _tell_systemd(self, operation: Operation, phase: str) -> None:
        self.service.notifier.status(f"{operation.verb} {operation.number}: {phase}; {self.service.serving_words()}")

    def _tell_health(self) -> None:
        if self.idle:  # else the phase is shown
            self.service.notifier.status(self.service.state_words())

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

    def _assure(self) -> None:
        """Tell every master that we do not hang: the one in service would end us, and start another one."""
        self.service.assure(SILENCE_S)
        self._upkeep.look()
        if not self.stop.ended.is_set():
            asyncio.get_running_loop().call_later(ASSURE_EVERY_S, self._assure)

    def _sample(self) -> None:
        """Remember what the generation in service has answered: the next one is compared with its last minute. See where the logs are."""
        self._rotations.look()
        self.service.condition.judge_logs()
        if self.service.active is not None:
            self.service.active.traffic.sample()
        if not self.stop.ended.is_set():
            asyncio.get_running_loop().call_later(SAMPLE_S, self._sample)

    def _upgrade_for_watch(self, code: bool) -> bool:
        """An upgrade because files changed; False when it has to wait."""
        if admit("upgrade", self.state) is not Admission.RUN:
            return False
        self.begin("upgrade", "watch", work.upgrading(self.service, self.service.configuration, standby=not code, settle=not code))
        return True

    def _flush_history(self) -> None:
        """What a rescue could not wait to write, until the disk takes it."""
        history = self.service.history
        if history.pending and not history.flush() and self.stopping is None:
            log.warning("the history waits for the disk: %s", history.trouble)
            asyncio.get_running_loop().call_later(_FLUSH_S, self._flush_history)


def run(configuration: Configuration) -> int:
    """Be the supervisor of a service until it is stopped; returns the exit status of ``releve``.

    Raises ConfigError (the settings), InstanceError and LockError (the folders).
    """
    system.fill_standard()
    system.raise_descriptor_limit(DESCRIPTORS)
    try:
        arrived = reexec.arrived(os.environ)
    except SuccessionError as error:
        raise InstanceError(str(error)) from error
    lived = (
        revival.folders(os.environ)
        if arrived is None
        else revival.Folders(Path(arrived.bequest.runtime), Path(arrived.bequest.state), arrived.bequest.control_group)
    )
    try:
        loaded, broken = configuration.read(), None
    except ConfigError as error:
        if lived is None:
            raise
        loaded, broken = Loaded(Settings(), configuration.path), error  # what runs is taken over all the same, with its own settings
    _begin_log(configuration, loaded.settings.log, new=lived is None)
    if faults.trouble():
        raise ConfigError([Problem(Place("the environment"), faults.trouble())])
    for key, source in loaded.sources.items():
        log.info("%s comes from %s", key, source)
    for note in loaded.notes:
        log.warning("%s", note)
    runtime = lived.runtime if lived else configuration.runtime_directory(loaded.settings.runtime_directory)
    state = lived.state if lived else configuration.state_directory(loaded.settings.state_directory)
    group = lived.control_group if lived else loaded.settings.control_group
    allowed = permit(group, revived=lived is not None)
    post = Post()
    post.take_over(os.environ)
    try:
        if arrived is None:
            lock = RuntimeLock.acquire(runtime, allowed.folder)
        else:
            lock = RuntimeLock.held(runtime, arrived.bequest.lock, allowed.folder)
    except LockHeld as error:
        post.leave()
        if lived is None:
            raise
        log.info("not needed: the supervisor with pid %s has taken over", error.pid)  # several guards may each have started one
        return Status.DONE
    if lived is not None and arrived is None and not (runtime / instances.CARD_NAME).exists() and not any(doors(runtime)):
        log.info("not needed: the service was stopped meanwhile")  # in order: one that is killed leaves its card behind
        post.leave()
        lock.release()
        return Status.DONE
    try:
        allowed.warn(runtime)
        if instances.is_temporary(state, os.geteuid()):
            log.warning("the history is kept in %s, which may not outlive a boot or a container: set state_directory to keep it", state)
        system.become_subreaper()

        async def main() -> int:
            history = History(str(state), None if arrived is None else arrived.going_on)
            inherited = None if arrived is None else succession.inherited(arrived)
            service = Service(configuration, loaded, history, Notifier(os.environ), runtime, inherited, post)
            service.control_group = group
            status = await Supervisor(service, runtime, lock, allowed, broken, arrived).main()
            post.leave(ending=True)
            system.hold_signals()  # the loop's handlers go with it: another SIGTERM would be the exit status of a stop that is over
            return status

        return asyncio.run(main())
    except SuccessionError as error:
        log.error("%s; the guard starts another supervisor", error)
        os._exit(Status.UNEXPECTED)  # nothing that we hold may be tidied up: it serves
    finally:
        lock.release()


def _configured(settings: Settings) -> Identity | None:
    """Whom releases shall run as; None if that cannot be found out."""
    try:
        return identify(settings.user, settings.group, settings.umask)
    except IdentityError as error:
        log.error("%s", error)
        return None


def _begin_log(configuration: Configuration, settings: Log, *, new: bool) -> None:
    """Raises ConfigError if the file cannot be opened; a supervisor that follows another one does without."""
    try:
        own.follow(settings)
    except StepFailed as error:
        if new:
            raise ConfigError([Problem(Place(str(configuration.path or "the command line")), error.reason)]) from error
        own.follow(dataclasses.replace(settings, file="-"))
        log.error("%s", error.reason)


__all__ = ["SIGNALS", "LockError", "Supervisor", "run"]
