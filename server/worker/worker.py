"""In the worker: its life from the fork to ``os._exit``, and the orders of whoever commands it.

The master calls ``run_worker`` in the forked child with a ``WorkerSetup``: everything
the worker is given. It never returns.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from releve.config.settings.settings import Settings
from releve.server.handover.acceptor import Acceptor, Width
from releve.server.handover.diversion import Diversion, Portion
from releve.server.handover.handover import Handover
from releve.server.handover.sharing import share
from releve.server.http.forwarded import Trust
from releve.server.loop.connection import Connection, State, count_workers, peer_text, prepare
from releve.server.loop.handler import Handler
from releve.server.loop.loop import Loop
from releve.server.process import hazards, output, reseed, stacks
from releve.server.process.messages import MalformedOrder, read_files
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.shared import log as logs
from releve.server.shared import system
from releve.server.shared.faults import fault
from releve.server.shared.form import Unfit, is_packets, seconds
from releve.server.shared.link import EXIT_BOOT, EXIT_INTERNAL, ORPHAN_S, Link, LinkError, Message, clip
from releve.server.shared.log import Who
from releve.server.shared.lost_lines import RETRY_S, lost
from releve.server.shared.native import os, signal, socket
from releve.server.shared.states import AT_WORK, WorkerState
from releve.server.worker.exit import LEAST_S, Farewell, end_process, inherit, leave_unbooted, part
from releve.server.worker.orders import AFTER, IllegalOrder
from releve.server.worker.pausing import Pausing
from releve.server.worker.recycle import Recycling
from releve.server.wsgi import django as databases
from releve.server.wsgi import hooks
from releve.server.wsgi.access import AccessLog
from releve.server.wsgi.application import BootError, traceback_text
from releve.server.wsgi.call import Call
from releve.server.wsgi.readiness import Readiness

Application = Callable[..., Iterable[bytes]]

EXIT_LEFT = 0  # gracefully

# Each system call gives the interpreter lock away and may wait this long per competing thread to get it back.
SWITCH_INTERVAL_S = 0.0005
SETTLE_S = 1.0  # so long a line that the application has begun waits for its end
UNBOOTED_S = 1.0  # for the end of a worker whose boot has failed
SHUT_S = 1.0  # before the deadline, who serves on accepts no more
DESCRIPTORS_SPARE = 1024  # beside the connections, for the application

log = logging.getLogger("releve.worker")


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker is given at its fork. It owns the descriptors from then on."""

    number: int  # within its generation, from 1, never reused
    slot: int  # of the scoreboard
    generation: int
    revision: int
    settings: Settings
    listeners: tuple[tuple[str, socket.socket], ...]  # name (str(Address)) and listening socket
    exchange_receive: int
    exchange_send: int
    board: Scoreboard
    control: Link
    application: Application | None  # None: the worker imports it
    load: Callable[[], Application]  # raises BootError
    early: tuple[str, ...] = ()  # threads that the master had before it imported anything of the application's
    astray: Callable[[], list[str]] = list  # files that ``load`` has loaded through a link that deploys move
    access: int = -1  # descriptor of the access log; -1: there is none
    release: str = ""  # its folder, for the log


def run_worker(setup: WorkerSetup) -> NoReturn:
    """Serve until told to leave; ends in ``os._exit`` with one of the ``EXIT_`` statuses."""
    try:
        _live(setup)
    except BaseException:
        log.exception("leaving at once: internal error")
        end_process(EXIT_INTERNAL)


def _live(setup: WorkerSetup) -> NoReturn:
    settings = setup.settings
    system.settle_signals(system.SUPERVISOR_SIGNALS)
    output.begin(settings.log, Who(setup.generation, setup.number, setup.release))
    recorder = setup.board.recorder(setup.slot, setup.number)
    if recorder is not None:
        Call.recorder = recorder
        output.keep(recorder.write)
    each = 1 if settings.limits.spool is None else 2  # its socket, and the file of its body
    system.raise_descriptor_limit(each * settings.limits.connections + DESCRIPTORS_SPARE)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        fault("worker_boot")
        system.die_with_parent(True)  # an import that hangs would not see the end of the control pair
        if setup.application is None:
            application = setup.load()
        else:
            application = setup.application
            inherit()
            reseed.sow()
        if setup.application is None and (files := setup.astray()):
            setup.control.send({"type": "mixed", "files": files, "astray": True})
        functions = hooks.find(settings.hooks)
        hooks.after_fork(functions)
        for text in (
            *hazards.missed(setup.early),
            *(hazards.patches(settings.threads) if setup.application is None else ()),
        ):
            setup.control.send({"type": "remark", "text": clip(text, 600)})
        if setup.application is None and databases.in_use():
            with contextlib.suppress(Exception):
                databases.close()  # what the import has opened in this thread, which may never need it again
        system.die_with_parent(False)
    except BaseException as error:
        _report_failure(setup.control, error)
        leave_unbooted(setup.number, min(settings.timeouts.exit, UNBOOTED_S), EXIT_BOOT)
    logs.revive()
    worker = Worker(setup, application, functions)
    intake = worker.loop.connections.intake
    os.register_at_fork(before=intake.acquire, after_in_parent=intake.release, after_in_child=worker.disown)
    try:
        worker.loop.threads.prepare()  # before it says that it is ready
    except RuntimeError as error:
        reason = f"cannot start the {settings.threads + 1} threads of a worker: {error}; {system.MORE_TASKS}"
        _report_failure(setup.control, BootError(reason, step="workers"))
        end_process(EXIT_BOOT)
    worker.start()


def _report_failure(control: Link, error: BaseException) -> None:
    if not isinstance(error, BootError):
        error = BootError(f"cannot import the application: {type(error).__name__}: {error}", traceback_text(error))
    with contextlib.suppress(LinkError):
        control.send(
            {"type": "failed", "step": error.step, "reason": clip(error.reason), "traceback": clip(error.traceback)}
        )


class Worker:
    """The state of one worker, and what each order does to loop, acceptor and handover.

    All but ``may_keep`` run in the loop.
    """

    def __init__(self, setup: WorkerSetup, application: Application, functions: hooks.Functions) -> None:
        self.state = WorkerState.READY
        self._access = AccessLog(setup.access, setup.settings.log.access_format) if setup.access >= 0 else None
        answer = self._answer = Handler(
            application, setup.settings, self.may_keep, self._access, Readiness(setup.settings, setup.board)
        )
        tally = setup.board.tally(setup.slot)
        lost.tell(partial(tally.put, "lost"))
        self.loop = Loop(setup.settings, answer, tally)
        self._connections = self.loop.connections
        answer.before_blocking = self.loop.threads.give_up
        Connection.multithread = setup.settings.threads > 1
        count_workers(setup.settings.workers)
        Connection.trusted = Trust(setup.settings.proxy.trusted)
        self.acceptor = Acceptor(
            self.loop,
            setup.listeners,
            setup.exchange_receive,
            setup.settings.limits.connections,
            prefaced=setup.settings.proxy.protocol,
        )
        self.acceptor.crowded = answer.crowded
        self._setup = setup
        self._control = setup.control
        self._workers = setup.settings.workers
        self._exchange_send = setup.exchange_send  # held so that the queue outlives other holders; -1: closed
        self._handover: Handover | None = None  # of the last pause, if it named a receiver
        self._pause_reported = True
        self._recycling = Recycling(setup.settings.limits)
        self._pausing = Pausing(functions, self.loop, self._accept)
        self._farewell = Farewell(functions.on_exit)
        self._asked = False  # to be replaced
        self._observed: list[Link] = []  # a thread of its own answers on them
        self._settling = False  # a line of the application's waits for its end
        self._retrying = False  # to write logs that have lost lines
        self._quit_at = float("inf")  # monotonic
        self._elders: set[Connection] | None = None  # while it serves on though it leaves: what it had when it was told
        self._spent = False  # it has said that none of them is left
        self._polite_at = float("inf")  # monotonic: who still pipelines requests then is told that it was the last
        self._signals = system.record_signal(signal.SIGTERM)
        self._review()
        self._connections.give = self._give
        self._connections.share = self._share
        self.loop.overdue = self.ask_recycle
        self.loop.after_turn = self._after_turn
        self.loop.ended = self._ended
        self.loop.failed = self._failed
        self.loop.watch(self._control.fileno(), self._on_control)
        self.loop.watch(self._signals[0], self._on_signal)

    def start(self) -> NoReturn:
        """Serve, until the process ends."""
        self._send_state()
        fault("worker_ready")
        self.loop.threads.start()

    def disown(self) -> None:
        """In a child that the application forked: close everything of ours, so that our end is seen as one, and hear
        signals again.
        """
        self._connections.intake.release()  # acquired before the fork, by this very thread
        if self.loop.threads.forked:
            return  # a child of the child: nothing of ours is left, and the numbers are the application's
        system.forget_signals((signal.SIGTERM, *system.SUPERVISOR_SIGNALS))
        stacks.disarm()
        self.loop.disown()
        self.acceptor.disown()
        if self._handover is not None:
            self._handover.disown()
        for link in (self._control, *self._observed):
            link.close()
        for fd in (*self._signals, self._exchange_send):
            if fd >= 0:
                os.close(fd)

    def may_keep(self, connection: Connection) -> bool:
        """In a thread: whether the connection may live on after the response that is about to be sent."""
        handover = self._handover  # the loop may change it meanwhile
        if connection.polite:
            return connection.has_more()
        if self.state is WorkerState.LEAVING:
            if handover is not None and handover.usable and not connection.private:
                return True
            return self.loop.now() < self._polite_at and connection.has_more()
        return handover is None or handover.usable or connection.private or connection.has_more()

    # Orders

    def order(self, verb: str) -> WorkerState:
        """Take the state that an order leads to; returns the one before. Raises IllegalOrder, and changes nothing."""
        after = AFTER.get((self.state, verb))
        if after is None:
            raise IllegalOrder(f"cannot {verb}: the worker is {self.state.value}")
        before, self.state = self.state, after
        self._review()
        return before

    def resume(self, message: Message, fds: list[int]) -> None:
        """Accept connections, from the listeners and from the own exchange."""
        fault("worker_resume")
        self.order("resume")
        self._end_handover()
        self._pause_reported = True  # a pause that was not complete never will be
        self._pausing.resume()

    def attend(self, message: Message, fds: list[int]) -> None:
        """Take connections from the own exchange, and accept none: others pass some of theirs on."""
        fault("worker_attend")
        self.order("attend")
        self.acceptor.resume(listeners=False)
        self._send_state()

    def divert(self, message: Message, fds: list[int]) -> None:
        """Pass a share of the new connections on to the exchange in ``fds``, or, without one, serve all of them
        again.
        """
        fault("worker_divert")
        if (message.get("to") is not None) != bool(fds):
            raise IllegalOrder("cannot divert: a receiver needs its exchange, and nothing else has one")
        portion = Portion(float(message["share"]), self._setup.number) if fds else None
        self.order("divert")
        self.acceptor.divert(None if portion is None else Diversion(self._connections, fds.pop(0), portion))
        if self.state is WorkerState.SERVING:
            self._send_state()

    def pause(self, message: Message, fds: list[int]) -> None:
        """Accept no more; give what is idle, and what becomes idle, to the exchange in ``fds``, if there is one."""
        fault("worker_pause")
        to = message.get("to")
        if (to is not None) != bool(fds):
            raise IllegalOrder("cannot pause: a receiver needs its exchange, and nothing else has one")
        before = self.order("pause")
        self._end_handover()
        self._pausing.pause()
        self.acceptor.shut()
        # What waits in the own exchange stays there if that is where it would be sent: a sibling takes it.
        own = to == self._setup.generation
        swept = (
            list(self.acceptor.sweep(listeners=before is WorkerState.SERVING, exchange=not own))
            if before in AT_WORK
            else []
        )
        self._pause_reported = False
        if fds:
            self._handover = Handover(self.loop, fds.pop(0))
            self._review()
            self._handover.add(self._connections.table.values())
        else:
            for connection in swept:
                self._connections.welcome(connection)

    def quit(self, message: Message, fds: list[int]) -> None:
        """Finish and leave: when no connection is left, or at the deadline."""
        fault("worker_quit")
        timeouts = self._setup.settings.timeouts
        linger_s, deadline_s = message.get("linger_s"), message.get("deadline_s")
        self.leave(
            timeouts.drain if deadline_s is None else seconds(deadline_s),
            None if linger_s is None else seconds(linger_s),
            serve_on=message.get("serve_on") is True,
        )

    def leave(self, deadline_s: float, linger_s: float | None, *, serve_on: bool = False) -> None:
        """``linger_s`` is None after connections were given away; else this is a stop, and whoever is queued is still
        served.

        ``serve_on``: accept until told again, without it, or shortly before the deadline. Somebody keeps the accept
        queue open beyond our end, so that its clients would wait.
        """
        before = self.order("quit")
        self._pausing.leave()
        self._quit_at = min(self._quit_at, self.loop.now() + deadline_s)
        self._polite_at = min(self._polite_at, self.loop.now() + deadline_s / 2)
        self.loop.at("quit", self._quit_at, self._overdue)
        if serve_on and before is WorkerState.SERVING:
            self._elders = set(self._connections.table.values())
            self.loop.at(
                "shut", self._quit_at - min(SHUT_S, deadline_s / 2), partial(self._shut, WorkerState.LEAVING, linger_s)
            )
            self._send_state()
        elif serve_on and self._elders is not None:
            self._spent = False  # perhaps another one commands, who has not heard it
        else:
            self._shut(before, linger_s)
        # else what is left was kept for a reason, and is closed by its next response or its own time
        if linger_s is not None:
            self._connections.hasten(linger_s)

    def _shut(self, before: WorkerState, linger_s: float | None) -> None:
        """Accept no more, ever."""
        first = before is not WorkerState.LEAVING or self._elders is not None
        self._elders = None
        self.loop.cancel("shut")
        if linger_s is not None:
            # What stands by does not answer for the generation in service, which sweeps the same queues.
            heir = self._handover is not None or before is WorkerState.READY
            self._end_handover()
            self.acceptor.shut()
            for connection in self.acceptor.sweep(listeners=before is not WorkerState.ATTENDING) if not heir else ():
                self._connections.welcome(connection)
        if first:
            self.acceptor.close()
            os.close(self._exchange_send)
            self._exchange_send = -1
            self._send_state()

    def _look_at_elders(self, elders: set[Connection]) -> None:
        """Leaving, and serving on: say once that nothing is left of what there was."""
        elders.difference_update([one for one in elders if one.state is State.CLOSED])
        if not elders and not self._spent:
            self._spent = True
            self._tell({"type": "spent"})

    def serve(self, message: Message, fds: list[int]) -> None:
        """Serve the connected socket in ``fds`` as a private connection, in whatever state."""
        if len(fds) != 1:
            raise IllegalOrder(f"cannot serve a private connection: {len(fds)} descriptors, not one")
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
        self._connections.adopt(connection)
        self._connections.register(connection)

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
            raise IllegalOrder(f"cannot be observed: {len(fds)} descriptors, not one; or it is no end of a pair")
        link = Link(socket.socket(fileno=fds[0]))
        fds.clear()  # the socket owns it now
        self._observed = [*(one for one in self._observed if one.fileno() >= 0), link]
        stacks.answer(link)

    def crew(self, message: Message, fds: list[int]) -> None:
        """Know how many workers the generation has."""
        self._workers = int(message["workers"])
        count_workers(self._workers, self._connections.table.values())

    def ping(self, message: Message, fds: list[int]) -> None:
        """Nothing: the turn of the loop that reads this is the answer, by the heartbeat on the scoreboard."""

    ORDERS: dict[str, Callable[[Worker, Message, list[int]], None]] = {
        "resume": resume,
        "attend": attend,
        "divert": divert,
        "pause": pause,
        "quit": quit,
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
            self._orphaned()

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

    def _orphaned(self) -> None:
        """Both master and supervisor held the other end: nobody will ever command this worker again.

        It serves on for a while.
        """
        self.loop.unwatch(self._control.fileno())
        if self.state is WorkerState.LEAVING:
            if self._elders is not None:
                self._shut(WorkerState.LEAVING, self._setup.settings.timeouts.linger)
            return
        log.warning("nobody commands this worker any more: it leaves in %g s", ORPHAN_S)
        timeouts = self._setup.settings.timeouts
        serving = self.state in AT_WORK  # the others have nothing that a client waits for, or pass it on
        self.loop.at(
            "orphan", self.loop.now() + ORPHAN_S * serving, lambda: self.leave(timeouts.drain, timeouts.linger)
        )

    def _on_signal(self) -> None:
        if signal.SIGTERM in system.recorded_signals(self._signals[0]):
            timeouts = self._setup.settings.timeouts
            self.leave(timeouts.drain, timeouts.linger)

    # What the loop asks

    def _give(self, connection: Connection) -> bool:
        return self._handover is not None and self._handover.offer(connection)

    def _share(self, connection: Connection, data: bytes) -> bool:
        alone = self._workers == 1 and not self._answer.crowded()
        if alone or self.state not in AT_WORK or self.loop.threads.free:
            return False
        return share(self._connections, connection, data, self._exchange_send)

    def _after_turn(self) -> bool:
        acceptor, handover = self.acceptor, self._handover
        if acceptor.resumed and acceptor.width is not Width.OPEN:
            acceptor.update()
            acceptor.glance()
        if handover is not None:
            handover.step()
        if not self._pause_reported and (handover is None or handover.done):
            self._report_pause()
        if self._pause_reported:
            self._pausing.step()
        if (
            self.state is WorkerState.SERVING
            and not self._asked
            and (reason := self._recycling.due(self.loop.threads.answered))
        ):
            self.ask_recycle(reason)
        if self._elders is not None:
            self._look_at_elders(self._elders)
        elif self.state is WorkerState.LEAVING and not self._connections.table:
            self.loop.stop()
        if lost.some and not self._retrying:
            self._retrying = True
            self.loop.at("logs", self.loop.now() + RETRY_S, self._retry_logs)
        if output.begun and not self._settling:
            self._settling = True
            self.loop.at("output", self.loop.now() + SETTLE_S, partial(self._settle, output.snapshot()))
        return handover is not None and handover.hurry

    def ask_recycle(self, reason: str) -> None:
        """Ask to be replaced, once; it goes on serving until it is told to leave."""
        if not self._asked:
            self._asked = True
            self._tell({"type": "recycle", "reason": reason})

    # Helpers

    def _accept(self) -> None:
        self.acceptor.resume()
        self._send_state()

    def _retry_logs(self) -> None:
        self._retrying = False
        lost.retry()

    def _settle(self, lines: dict[tuple[int, int], int]) -> None:
        self._settling = False
        output.settle(lines)

    def _ended(self) -> NoReturn:
        if self._access is not None:
            self._access.close()
        limit_s, left_s = self._setup.settings.timeouts.exit, max(LEAST_S, self._quit_at - self.loop.now())
        self.loop.threads.part(self._farewell.run)
        why = "timeouts.exit" if limit_s <= left_s else "its deadline"
        part(self._farewell, self._setup.number, min(limit_s, left_s), why, EXIT_LEFT, self.loop.tally.beat)

    def _failed(self) -> NoReturn:
        log.exception("leaving at once: internal error in the loop")
        end_process(EXIT_INTERNAL)

    def _overdue(self) -> None:
        unfinished = self.loop.threads.busy + sum(
            one.state in (State.COLLECTING, State.WRITING) for one in self._connections.table.values()
        )
        if unfinished:
            log.warning("leaving with %d requests unfinished: the deadline has passed", unfinished)
        self.loop.stop()

    def _end_handover(self) -> None:
        if self._handover is not None:
            self._handover.close()
            self._handover = None
            self._review()

    def _review(self) -> None:
        """Tell the loop what becomes of connections after their responses."""
        self._connections.giving = self._handover is not None
        self._connections.plain = self._handover is None and self.state is not WorkerState.LEAVING

    def _report_pause(self) -> None:
        fault("worker_paused")
        self._pause_reported = True
        if self._handover is not None:
            self._send_state(given=self._handover.given, kept=self._handover.kept)
        else:
            self._send_state(
                given=0, kept=sum(c.state is not State.BUSY and not c.private for c in self._connections.table.values())
            )

    def _send_state(self, **more: int) -> None:
        self._tell({"type": "state", "state": self.state.value, **more})

    def _tell(self, message: Message) -> None:
        try:
            self._control.send(message)
        except LinkError as error:
            log.warning("%s", error)  # if nobody is there, the end of the control pair says so too
