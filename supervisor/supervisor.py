"""The supervisor: one service from its start to its stop; takes verbs from signals, ``ctl`` and watched files.

Single-threaded asyncio (watchdog's observer apart). It never imports application code and
never serves. What may run, and runs, is the dispatcher's; here is what has to happen around it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from releve.config.errors import ConfigError
from releve.config.grammar import counted
from releve.config.settings.settings import Settings
from releve.instance import cards
from releve.instance.protocol import Status
from releve.server.shared.revive import REVIVED
from releve.server.shared.runtime import SOCKET_NAME
from releve.supervisor.generation.totals import EVERY_S as SAMPLE_S
from releve.supervisor.host import children, system
from releve.supervisor.host.identity import Identity, IdentityError, identify
from releve.supervisor.listeners.inherited import unclaimed
from releve.supervisor.listeners.listener import reached_at
from releve.supervisor.operations.hooks import end_left_over
from releve.supervisor.operations.reopen import Rotations
from releve.supervisor.reporting.log import log, own
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.lock import RuntimeLock
from releve.supervisor.service.service import Service
from releve.supervisor.systemd.watchdog import Watchdog
from releve.supervisor.takeover import succession
from releve.supervisor.takeover.adoption import Adoption
from releve.supervisor.takeover.reexec import Outgoing
from releve.supervisor.takeover.refusal import Refusals
from releve.supervisor.takeover.succession import Succession
from releve.supervisor.verbs import jobs, verbs
from releve.supervisor.verbs.admission import Admission
from releve.supervisor.verbs.autoupgrade import AutoUpgrade
from releve.supervisor.verbs.control_server import ControlServer
from releve.supervisor.verbs.dispatcher import Dispatcher
from releve.supervisor.verbs.handlers import Context
from releve.supervisor.verbs.permit import Permit
from releve.supervisor.verbs.recovery import Recovery
from releve.supervisor.verbs.stop import Stop, dismiss_all, end_all
from releve.supervisor.verbs.upkeep import Upkeep

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

# systemd reads PIDFile= after each reload, and would take the guard that is named there for the main process: for a
# moment when a reload may end the supervisor itself is named there, and then systemd is told again who the main process
# is.
STAND_IN_S = 1.0
ASSURE_EVERY_S = 5.0
# well below WatchdogSec= of the units: a supervisor that hangs is followed, not the whole service started anew
SILENCE_S = 20.0
_FLUSH_S = 10.0


class Supervisor:
    """One service's supervisor, from its start to its stop."""

    def __init__(
        self,
        service: Service,
        lock: RuntimeLock,
        permit: Permit,
        broken: ConfigError | None = None,
        arrived: Succession | None = None,
    ) -> None:
        """``broken``: what is wrong with the configuration of a supervisor that goes on all the same; ``arrived``: what
        it takes over.
        """
        self.service = service
        self._broken = broken
        self._arrived = arrived
        runtime = service.folders.runtime
        self._refusals = Refusals(service)
        self._adoption = Adoption(service, self._refusals)
        self._tasks: set[asyncio.Task[None]] = set()  # the loop holds tasks weakly
        self.dispatcher = dispatcher = Dispatcher(service)
        self.stop = Stop(dispatcher)
        self._autoupgrade = AutoUpgrade(service, self._upgrade_for_watch)
        self._context = Context(service, dispatcher, self.stop, self._autoupgrade, lambda: jobs.replacing(outgoing))
        listening = None if arrived is None else socket.socket(fileno=arrived.bequest.control)
        self.control = ControlServer(runtime / SOCKET_NAME, self._context, permit, listening)
        self._recovery = Recovery(dispatcher)
        self._watchdog = Watchdog(service.notifier, os.environ, os.getpid(), lambda: not dispatcher.idle)
        self._rotations = Rotations(service)
        self._card = service.configuration.card(runtime)
        self._upkeep = Upkeep(dispatcher, runtime, lock, self._card, self.control)
        outgoing = Outgoing(service, lock, self.control, lambda: dispatcher.stopping is not None)
        dispatcher.on_begun, dispatcher.on_done, dispatcher.on_idle = self._begun, self._done, self._now_idle
        service.on_lost = lambda generation: self._recovery.look()
        service.condition.planned = lambda: dispatcher.operation is not None
        service.condition.on_change = self._tell_condition
        service.continuity.on_terminated = lambda: self._on_signal("SIGTERM", "stop", {"signalled": True})

    async def main(self) -> int:
        """Run until stopped; returns the exit status of ``releve``. Raises ConfigError, SuccessionError."""
        runtime = self.service.folders.runtime
        self._handle_signals()
        end_left_over(runtime)
        await self._take_over()
        await self.control.start()
        cards.write_card(runtime, self._card)
        self._watchdog.start()
        self._sample()
        self._assure()
        self._tell_of_trouble()
        try:
            start = await self._begin_first()
            self.dispatcher.holding.set()
            await start.finished.wait()
            self._refusals.dismiss()
            status = await self._until_stopped(start)
            await self._refusals.settled()
        finally:
            self._autoupgrade.stop()
            self._upkeep.end()
            self.service.listeners.close()
            await self.control.close()
            cards.remove_card(runtime)
            self.service.continuity.guard_file.remove()
            self._watchdog.stop()
        return status

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number, (verb, arguments) in SIGNALS.items():
            loop.add_signal_handler(number, self._on_signal, number.name, verb, arguments)
        loop.add_signal_handler(signal.SIGCHLD, self._reap_orphans)

    async def _take_over(self) -> None:
        """What was handed over in this process; else whatever generations can be found.

        Raises SuccessionError; ConfigError if there is nothing, and the configuration says nothing that could start.
        """
        if self._arrived is not None:
            succession.restore(self.service, self._arrived)
            system.let_signals_in()
        else:
            await self._adoption.find(None if self._broken is not None else _configured(self.service.settings))
        if self._broken is not None:
            if not self._adoption.adopted and self._arrived is None:
                raise self._broken
            log.error("%s; what runs keeps its settings", self._broken)

    def _tell_of_trouble(self) -> None:
        """Say what is wrong from the start, and does not keep the service from being served."""
        if self.service.history.trouble:
            log.warning(
                "cannot write the history: %s; upgrades are refused until it can be written",
                self.service.history.trouble,
            )
        for name in unclaimed(self.service.settings.listen, self.service.listeners.inherited):
            log.warning(
                "no listener uses the inherited socket %s: its clients wait forever; add fd:%s to listen, or remove "
                "the "
                "socket",
                name,
                name,
            )

    async def _begin_first(self) -> Operation:
        """The operation by which this program comes to hold a service."""
        if self._arrived is not None:
            said = self._arrived.bequest
            operation = Operation.continued("reexec", said.by, said.number, said.attempt, said.began)
            operation.times.update(said.times)
            await self.control.go_on(operation, said.conversations)
            return self.dispatcher.start(operation, jobs.following(self.service, self._arrived.releve))
        if self._adoption.adopted:
            by = "guard" if REVIVED in os.environ else "releve"
            return self.dispatcher.begin(jobs.adopting(self.service, self._adoption), by)
        return self.dispatcher.begin(jobs.starting(self.service), "releve")

    async def _until_stopped(self, start: Operation) -> int:
        """Until the service has been stopped, or did not come to serve; returns the exit status.

        ``start``: the first operation, which has its outcome.
        """
        outcome = start.outcome
        assert outcome is not None
        serves = start.verb != "start" or outcome["status"] in (Status.DONE, Status.DEGRADED)
        if serves or self.dispatcher.stopping is not None:
            if start.verb == "start" and self.dispatcher.stopping is None:
                self._say_where()
            await self.stop.ended.wait()
            return int(Status.DONE)
        self.service.announcer.failed(start)
        if own.path is not None:
            print(f"releve: {outcome['message']}; the log is in {own.path}", file=sys.stderr)
        await end_all(self.service, dismiss_all(self.service))
        return int(outcome["status"])

    def _say_where(self) -> None:
        """Say where the service listens; on a terminal too where the log is a file."""
        serving = self.service.serving
        if serving is None:
            return
        where = ", ".join(map(reached_at, self.service.listeners.in_service))
        words = f"serving {where} ({counted(serving.roster.serving(), 'worker')}, generation {serving.number})"
        log.info("%s", words)
        if sys.stderr.isatty():
            own.aside("info", words)

    # ---------------------------------------------------------------- operations

    def _begun(self, operation: Operation) -> None:
        self._upkeep.look()
        self._watchdog.extend()
        self.service.announcer.follow(operation, reloads=self.service.active is not None)

    def _done(self, operation: Operation) -> None:
        generations = self.service.generations()
        if self.dispatcher.stopping is None:
            self.service.announce()
        if operation.verb == "upgrade":  # what ExecReload= does
            self.service.continuity.guard_file.stand_in()  # for STAND_IN_S
        self.service.continuity.assure(generations, SILENCE_S)

    def _now_idle(self) -> None:
        loop = asyncio.get_running_loop()
        self.service.continuity.may_be_mistaken()
        loop.call_later(STAND_IN_S, self._show_guard)
        self._autoupgrade.follow()
        self._recovery.look()
        self._flush_history()

    def _show_guard(self) -> None:
        if self.dispatcher.idle:
            self.service.notifier.main_pid(os.getpid())
            if self.service.serving is not None:
                self.service.continuity.name_guard(self.service.serving)

    def _tell_condition(self) -> None:
        if self.dispatcher.idle:  # else the phase is shown
            self.service.announcer.condition()

    # ---------------------------------------------------------------- what comes by itself

    def _on_signal(self, name: str, verb: str, arguments: dict[str, Any]) -> None:
        async def act() -> None:
            answer = await verbs.ask(self._context, verb, arguments, name)
            if not isinstance(answer, Operation) and answer["status"] != Status.DONE:
                log.warning("%s: %s", name, answer["message"])

        task = asyncio.get_running_loop().create_task(act())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reap_orphans(self) -> None:
        known = {worker.pid for generation in self.service.generations() for worker in generation.workers.values()}
        for pid, ended in children.reap_orphans(known):
            log.debug("reaped pid %d, which %s", pid, children.describe_status(ended))

    def _assure(self) -> None:
        """Tell every master that we do not hang: the one in service would end us, and start another one."""
        self._again_after(ASSURE_EVERY_S, self._assure)
        self.service.continuity.assure(self.service.generations(), SILENCE_S)
        self._upkeep.look()

    def _sample(self) -> None:
        """Remember what the generation in service has answered: the next one is compared with its last minute.

        See where the logs are, and whether the service is saturated or fails; remember what processor time its workers
        have had.
        """
        self._again_after(SAMPLE_S, self._sample)
        self._rotations.look()
        self.service.condition.judge_logs()
        if self.service.active is not None:
            self.service.active.traffic.sample()
        self.service.saturated()
        self.service.failing()
        self.service.cpu.sample(worker.pid for one in self.service.generations() for worker in one.workers.values())

    def _again_after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have what is done now be done again, also where it fails this time; until the service has stopped."""
        if not self.stop.ended.is_set():
            asyncio.get_running_loop().call_later(seconds, act)

    def _upgrade_for_watch(self, mode: str) -> bool:
        """An upgrade because files changed; False when it has to wait."""
        if verbs.admit("upgrade", self.dispatcher.state) is not Admission.RUN:
            return False
        self.dispatcher.begin(jobs.upgrading_by_watch(self.service, mode), "watch")
        return True

    def _flush_history(self) -> None:
        """What a rescue could not wait to write, until the disk takes it."""
        history = self.service.history
        if history.pending and not history.flush() and self.dispatcher.stopping is None:
            log.warning("cannot write the history yet: %s", history.trouble)
            asyncio.get_running_loop().call_later(_FLUSH_S, self._flush_history)


def _configured(settings: Settings) -> Identity | None:
    """Whom releases shall run as; None if that cannot be found out."""
    try:
        return identify(settings.user, settings.group, settings.umask)
    except IdentityError as error:
        log.error("%s", error)
        return None
