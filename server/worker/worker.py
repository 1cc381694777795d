"""In the worker: its life from the fork to ``os._exit``, and the orders of whoever commands it.

The master calls ``run_worker`` in the forked child with a ``WorkerSetup``: everything the worker is given. It never
returns.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from releve.config.grammar import counted
from releve.server.handover.acceptor import Acceptor
from releve.server.http.forwarded import Trust
from releve.server.loop.connection import Connection, count_workers, peer_text, prepare
from releve.server.loop.handler import Handler
from releve.server.loop.loop import Loop
from releve.server.process import output, stacks
from releve.server.process.messages import MalformedOrder, read_files
from releve.server.shared import log as logs
from releve.server.shared import system
from releve.server.shared.faults import fault
from releve.server.shared.form import Unfit, is_packets
from releve.server.shared.link import EXIT_BOOT, EXIT_INTERNAL, Link, LinkError, Message
from releve.server.shared.log import Who
from releve.server.shared.lost_lines import lost
from releve.server.shared.native import os, signal, socket
from releve.server.shared.states import WorkerState
from releve.server.worker.exit import LEAST_S, LastSteps, end_after, end_process
from releve.server.worker.leaving import Leaving
from releve.server.worker.loading import load, report_failure
from releve.server.worker.log_lines import LogLines
from releve.server.worker.orders import IllegalOrder
from releve.server.worker.recycle import Recycling
from releve.server.worker.setup import Application, WorkerSetup
from releve.server.worker.traffic import Traffic
from releve.server.wsgi import access, hooks
from releve.server.wsgi.access import AccessLog
from releve.server.wsgi.application import BootError
from releve.server.wsgi.call import Call
from releve.server.wsgi.readiness import Readiness

EXIT_LEFT = 0  # gracefully
NAME = "releve-worker"  # of the process, in top

# Each system call gives the interpreter lock away and may wait this long per competing thread to get it back.
SWITCH_INTERVAL_S = 0.0005

log = logging.getLogger("releve.worker")


def run_worker(setup: WorkerSetup) -> NoReturn:
    """Serve until told to leave; ends in ``os._exit`` with one of the ``EXIT_`` statuses."""
    try:
        _live(setup)
    except BaseException:
        log.exception("exiting at once: internal error")
        end_process(EXIT_INTERNAL)


def _live(setup: WorkerSetup) -> NoReturn:
    settings = setup.settings
    system.settle_signals(system.SUPERVISOR_SIGNALS)
    if setup.application is None:
        system.show_command(NAME)  # until it is imported: it may look at the command line
    else:
        _set_title(setup)
    output.begin(settings.log, Who(setup.generation, setup.number, setup.release))
    recorder = setup.board.recorder(setup.slot, setup.number)
    if recorder is not None:
        Call.recorder = recorder
        output.keep(recorder.write)
    system.raise_descriptor_limit(settings.limits.descriptors + system.DESCRIPTORS_SPARE)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    application, functions = load(setup)
    _set_title(setup)
    logs.revive()
    worker = Worker(setup, application, functions)
    intake = worker.loop.connections.intake
    os.register_at_fork(before=intake.acquire, after_in_parent=intake.release, after_in_child=worker.disown)
    try:
        worker.loop.executor.prepare()  # before it says that it is ready
    except RuntimeError as error:
        reason = f"cannot start the {settings.threads + 1} threads of a worker: {error}; {system.MORE_TASKS}"
        report_failure(setup.control, BootError(reason, step="workers"))
        end_process(EXIT_BOOT)
    worker.start()


def _set_title(setup: WorkerSetup) -> None:
    system.set_title(f"releve: worker {setup.generation}.{setup.number} {setup.service}".rstrip(), NAME)


def _access_log(setup: WorkerSetup) -> AccessLog | None:
    if setup.access < 0:
        return None
    log = setup.settings.log
    connect = partial(access.stream, setup.access, log.format) if log.access == "-" else access.nowhere
    return AccessLog(setup.access, log.access_format, connect)


class Worker:
    """One worker, put together; reads its orders, and says what it has to say. Runs in the loop."""

    def __init__(self, setup: WorkerSetup, application: Application, functions: hooks.Functions) -> None:
        settings = setup.settings
        self._number = setup.number
        self._exit_s = settings.timeouts.exit
        self._control = setup.control
        self._observed: list[Link] = []  # a thread of its own answers on them
        self._access = _access_log(setup)
        tally = setup.board.tally(setup.slot)
        lost.tell(partial(tally.put, "lost"))
        answer = Handler(application, settings, access=self._access, readiness=Readiness(settings, setup.board))
        self.loop = Loop(settings, answer, tally)
        Connection.multithread = settings.threads > 1
        count_workers(settings.workers)
        Connection.trusted = Trust(settings.proxy.trusted)
        acceptor = Acceptor(
            self.loop,
            setup.listeners,
            setup.exchange_receive,
            settings.limits.connections,
            prefaced=settings.proxy.protocol,
        )
        acceptor.crowded = answer.crowded
        self.traffic = Traffic(setup, self.loop, acceptor, functions, self._tell)
        self.leaving = Leaving(self.loop, self.traffic, settings.timeouts, self._tell)
        answer.before_blocking = self.loop.executor.give_up
        answer.may_keep = self.traffic.may_keep
        self._lines = LogLines(self.loop)
        self._recycling = Recycling(settings.limits)
        self._asked = False  # to be replaced
        self._last_steps = LastSteps(functions.on_exit)
        self._signals = system.record_signal(signal.SIGTERM)
        self.loop.overdue = self._ask_recycle
        self.loop.after_turn = self._after_turn
        self.loop.ended = self._ended
        self.loop.failed = self._failed
        self.loop.watch(self._control.fileno(), self._on_control)
        self.loop.watch(self._signals[0], self._on_signal)

    def start(self) -> NoReturn:
        """Serve, until the process ends."""
        self.traffic.send_state()
        fault("worker_ready")
        self.loop.executor.start()

    def disown(self) -> None:
        """In a child that the application forked: close everything of ours, so that our end is seen as one, and hear
        signals again.
        """
        self.loop.connections.intake.release()  # acquired before the fork, by this very thread
        if self.loop.executor.forked:
            return  # a child of the child: nothing of ours is left, and the numbers are the application's
        system.forget_signals((signal.SIGTERM, *system.SUPERVISOR_SIGNALS))
        stacks.disarm()
        self.loop.disown()
        self.traffic.disown()
        for link in (self._control, *self._observed):
            link.close()
        for fd in self._signals:
            os.close(fd)

    # Orders

    def serve(self, message: Message, fds: list[int]) -> None:
        """Serve the connected socket in ``fds`` as a private connection, in whatever state."""
        if len(fds) != 1:
            raise IllegalOrder(f"cannot serve a private connection: {counted(len(fds), 'descriptor')}, not one")
        try:
            sock = socket.socket(fileno=fds[0])
        except OSError as error:
            raise IllegalOrder(f"cannot serve a private connection: {error.strerror}") from error
        fds.clear()  # the socket owns it now
        try:
            peer = peer_text(sock.getpeername())
        except OSError:  # it has gone again; the first read tells
            peer = ""
        prepare(sock)
        connection = Connection(sock, str(message.get("listener", "")), peer, private=True)
        self.loop.connections.adopt(connection)
        self.loop.connections.register(connection)

    def reopen(self, message: Message, fds: list[int]) -> None:
        """Go on in the log files in ``fds``: others have taken the place of those that are open."""
        files = read_files(message, fds)
        if "access" in files and self._access is not None:
            self._access.reopen(files["access"])
        if "log" in files:
            output.standard.lead(files["log"])
        self._tell({"type": "reopened", "id": message.get("id")})

    def observe(self, message: Message, fds: list[int]) -> None:
        """Have a thread answer for the stacks on the pair in ``fds``."""
        if len(fds) != 1 or not is_packets(fds[0]):
            raise IllegalOrder(f"cannot be observed: {counted(len(fds), 'descriptor')}, not one end of a pair")
        link = Link(socket.socket(fileno=fds[0]))
        fds.clear()  # the socket owns it now
        self._observed = [*(one for one in self._observed if one.fileno() >= 0), link]
        stacks.answer(link)

    def crew(self, message: Message, fds: list[int]) -> None:
        """Know how many workers the generation has."""
        self.traffic.workers = int(message["workers"])
        count_workers(self.traffic.workers, self.loop.connections.table.values())

    def ping(self, message: Message, fds: list[int]) -> None:
        """Nothing: the turn of the loop that reads this is the answer, by the heartbeat on the scoreboard."""

    ORDERS: dict[str, Callable[[Worker, Message, list[int]], None]] = {
        "resume": lambda self, message, fds: self.traffic.resume(),
        "attend": lambda self, message, fds: self.traffic.attend(),
        "divert": lambda self, message, fds: self.traffic.divert(message, fds),
        "pause": lambda self, message, fds: self.traffic.pause(message, fds),
        "quit": lambda self, message, fds: self.leaving.quit(message),
        "serve": serve,
        "reopen": reopen,
        "observe": observe,
        "crew": crew,
        "ping": ping,
    }

    def _on_control(self) -> None:
        for message, fds in self._control.messages(partial(log.error, "ignored an order: %s")):
            self._obey(message, fds)
        if self._control.ended:
            self.loop.unwatch(self._control.fileno())
            self.leaving.orphan()

    def _obey(self, message: Message, fds: list[int]) -> None:
        handler = self.ORDERS.get(str(message.get("type")))
        try:
            if handler is not None:  # one that a newer release knows is ignored
                handler(self, message, fds)
        except (IllegalOrder, MalformedOrder, Unfit, ValueError, OverflowError, TypeError, KeyError) as error:
            log.error("ignored an order: %s", error)
        finally:
            for fd in fds:  # those that the handler has not taken over
                os.close(fd)

    def _on_signal(self) -> None:
        if signal.SIGTERM in system.recorded_signals(self._signals[0]):
            self.leaving.terminate()

    # What the loop asks

    def _after_turn(self) -> bool:
        traffic = self.traffic
        hurry = traffic.step()
        if (
            traffic.state is WorkerState.SERVING
            and not self._asked
            and (reason := self._recycling.due(self.loop.executor.answered))
        ):
            self._ask_recycle(reason)
        if traffic.state is WorkerState.LEAVING:
            self.leaving.step()
        if lost.some or output.begun:
            self._lines.step()
        return hurry

    def _ask_recycle(self, reason: str) -> None:
        """Ask to be replaced, once; it goes on serving until it is told to leave."""
        if not self._asked:
            self._asked = True
            self._tell({"type": "recycle", "reason": reason})

    def _ended(self) -> NoReturn:
        if self._access is not None:
            self._access.close()
        limit_s, left_s = self._exit_s, max(LEAST_S, self.leaving.due - self.loop.now())
        why = "timeouts.exit" if limit_s <= left_s else "its deadline"
        end = partial(
            end_after, self._last_steps, self._number, min(limit_s, left_s), why, EXIT_LEFT, self.loop.tally.beat
        )
        self.loop.executor.finish(self._last_steps.run, end)

    def _failed(self) -> NoReturn:
        log.exception("exiting at once: internal error in the event loop")
        end_process(EXIT_INTERNAL)

    def _tell(self, message: Message) -> None:
        try:
            self._control.send(message)
        except LinkError as error:
            log.warning("%s", error)  # if nobody is there, the end of the control pair says so too
