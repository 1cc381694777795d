"""The master of one generation: imports the application, forks workers and commands them. Never serves.

One thread, one loop over the link, the control pairs, the pidfds, signals and the
clock. What the supervisor may order is in ``docs/protocol.md``, what is legal when
in ``orders.py``, how it is carried out in ``controller.py``.
"""

from __future__ import annotations

import gc
import logging
import math
import sys
from collections.abc import Sequence
from functools import partial

from releve.server.master.controller import Controller
from releve.server.master.orders import ESTABLISHED, Posture
from releve.server.prefork.boot import Boot, await_boot, hello, read_boot
from releve.server.prefork.outbox import RETRY_S, Outbox, send_failure
from releve.server.prefork.spawner import IGNORED, Spawner
from releve.server.prefork.words import WORDS
from releve.server.prefork.workers import IllegalTransition, Worker, Workers
from releve.server.process import buffered, hazards, output, reseed, stacks
from releve.server.process.messages import MalformedOrder
from releve.server.shared import form, system
from releve.server.shared import log as logs
from releve.server.shared.anchor import Anchor
from releve.server.shared.faults import fault
from releve.server.shared.form import Unfit
from releve.server.shared.link import Link, LinkError, clip, close_all
from releve.server.shared.log import Who
from releve.server.shared.lost_lines import lost
from releve.server.shared.native import os, select, signal, socket, time
from releve.server.wsgi import hooks
from releve.server.wsgi.application import Application, BootError, load
from releve.server.wsgi.mounts import broken

FLUSH_S = 2.0  # for the last messages, at the end
BATCH = 64  # messages of one worker read in one turn of the loop, in which the others have theirs
SLICE_S = 0.02  # and for how long: what is no message may be large
LAST_WORDS_MAX = 4096  # more than a socket holds
LAST_WORDS_S = 0.5  # and for how long: what it has started may hold its end, and say more and more

log = logging.getLogger("releve.master")


def run(link: Link, *, lent: bool, early: Sequence[str] = ()) -> int:
    """Be a master, from ``hello`` to the end of the last worker; returns the exit status. Takes the link over."""
    # They were blocked at our exec, lest one come before this. Nothing is served yet: SIGTERM may end us at once.
    system.settle_signals(IGNORED)
    system.die_with_parent(True)  # until it has served: an import that hangs would not see the end of the link
    try:
        # the supervisor may do more: what we hold of its is for nobody else's eyes
        if system.peer_user(link.fileno()) != os.geteuid():
            system.hide_from_equals()
        link.send(hello(lent))
        received = await_boot(link)
    except (LinkError, OSError) as error:
        print(f"releve.server: {error}", file=sys.stderr)
        return 1
    if received is None:
        return 0  # the supervisor thought better of it
    outbox = Outbox(link)
    try:
        boot = read_boot(*received)
    except MalformedOrder as error:
        send_failure(outbox, {"step": "boot", "reason": str(error)})
        return 1
    return Master(link, outbox, boot, lent=lent, early=early).run()


class Master:
    """One generation's master process, once it knows what to boot."""

    def __init__(self, link: Link, outbox: Outbox, boot: Boot, *, lent: bool, early: Sequence[str] = ()) -> None:
        """``early``: what this process had before it was told what to boot (``hazards.early``)."""
        self._link = link
        self._outbox = outbox
        self._boot = boot
        self._linked = True
        self._lent = lent
        self._door = socket.socket(fileno=boot.door) if boot.door >= 0 else None
        self._signals = -1
        self._workers = Workers()
        self._spawner = Spawner(boot, outbox, self._workers)
        self._anchor = Anchor(boot.revision.settings.directory, boot.directory)
        self._spawner.load = self._load
        self._early = early
        threads = hazards.threads()
        self._spawner.early = tuple(text for text in early if text in threads)
        self._spawner.astray = self._anchor.astray
        self._controller = Controller(boot, self._workers, self._spawner, outbox, time.monotonic)
        self._controller.guard.meet(link.fileno())

    def run(self) -> int:
        """Boot, then turn until everybody has left; returns the exit status."""
        settings = self._boot.revision.settings
        output.standard.lead(self._boot.revision.log)
        output.begin(settings.log, Who(self._boot.generation, release=self._boot.directory))
        if settings.user is not None and settings.no_new_privileges:
            system.refuse_new_privileges()
        fault("master_boot")
        for text in self._early:
            if text not in self._spawner.early:
                self._controller.remark(
                    f"{text} was opened before the import ({hazards.BEFORE}), and all workers share "
                    "it: open it in hooks.after_fork"
                )
        stacks.arm(self._boot.crash)  # a boot that hangs or crashes leaves them there
        self._anchor.drop()
        try:
            if self._boot.preload is False:
                self._spawner.remember_source()
            elif not self._preload():
                return 0
        except BootError as error:
            send_failure(self._outbox, {"step": error.step, "reason": error.reason, "traceback": error.traceback})
            self._flush()
            return 1
        fault("master_imported")
        # not before: the application may look at the command line
        system.set_title(f"releve: master gen {self._boot.generation} {self._boot.service}".rstrip(), "releve-master")
        self._hear_signals()
        self._controller.boot()
        fault("master_forked")
        while not self._controller.over:
            self._turn()
        self._controller.answer_quits()
        self._flush()
        return self._controller.exit_status

    def _preload(self) -> bool:
        """Import the application here, to fork it; False if it left what cannot be forked and ``preload`` is auto.

        Raises BootError.
        """
        self._outbox.send({"type": "phase", "phase": "import"})
        before, modules, started = hazards.take(), len(sys.modules), time.monotonic()
        with reseed.noted():
            self._spawner.application = self._load()
        found = hazards.find(before)
        if found and self._boot.preload is None:
            log.warning("not preloading: the import left %s", ", ".join(found))
            self._outbox.send({"type": "unsafe", "found": [clip(text, 200) for text in found[:20]]})
            self._flush()
            return False
        if found:
            log.warning(
                "preloaded because of preload: true, but the import left %s, which a fork breaks",
                ", ".join(found),
            )
        for text in hazards.patches(self._boot.revision.settings.threads):
            self._controller.remark(text)
        seconds = round(time.monotonic() - started, 3)
        if files := self._anchor.astray():
            self._outbox.send({"type": "mixed", "files": files, "astray": True})
        isolated = [clip(str(error), 300) for error in broken(self._spawner.application)[:20]]
        new = len(sys.modules) - modules
        report = {"type": "imported", "seconds": seconds, "modules": new, "preloaded": True, "broken": isolated}
        self._outbox.send({**report, "signal": stacks.armed()})
        gc.collect()
        buffered.remember()
        reseed.remember()
        gc.freeze()  # what is loaded now lives as long as the workers: a collection shall not copy its pages
        return True

    def _load(self) -> Application:
        """In the master or in the worker: import the application, and take back what its import took of ours.

        Raises BootError.
        """
        settings = self._boot.revision.settings
        isolate = settings.on_app_error == "isolate"
        try:
            more = [*settings.preload_modules, *hooks.modules(settings.hooks)]
            application = load(self._boot.app, self._boot.directory, more, settings.mounts, isolate=isolate)
        finally:
            output.drain()
            self._anchor.mend()
            logs.revive()
            stacks.arm(self._boot.crash)
        for error in broken(application):
            log.error("%s; it answers 503 (on_app_error: isolate)", error, exc_info=error.__cause__)
        return application

    # The loop

    def _turn(self) -> None:
        poll = select.poll()
        door = -1 if self._linked or self._door is None else self._door.fileno()
        for fd in (self._signals, self._link.fileno() if self._linked else -1, door):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        workers: dict[int, Worker] = {}
        for worker in self._workers:
            workers[worker.pidfd] = worker
            poll.register(worker.pidfd, select.POLLIN)
            if not worker.heard_out:
                workers[worker.control.fileno()] = worker
                poll.register(worker.control, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(self._wait_ms())}
        for worker in dict.fromkeys(workers[fd] for fd in ready if fd in workers):
            self._listen(worker)
            self._reap(worker)
        if self._signals in ready:
            self._obey_signals()
        if self._linked and self._link.fileno() in ready:
            self._read_link()
        elif door in ready:
            self._admit()
        self._controller.keep()
        self._outbox.flush()
        if lost.some:
            lost.retry()

    def _wait_ms(self) -> int | None:
        due = self._controller.next_due()
        wait_s = None if due is None else max(0.0, due - time.monotonic())
        if self._outbox.waiting or lost.some:
            wait_s = min(RETRY_S, RETRY_S if wait_s is None else wait_s)
        return None if wait_s is None else math.ceil(wait_s * 1000)

    def _listen(self, worker: Worker, most: int = BATCH, within_s: float = SLICE_S) -> None:
        """Take what a worker has said, as much of it as there is a turn for."""
        if worker.heard_out:
            return
        link, noise, until = worker.control, worker.noise, time.monotonic() + within_s
        for message, fds in link.messages(lambda error: noise.hear(str(error)), most, until):
            close_all(fds)  # none is expected
            try:
                word = form.read(WORDS, message, ())
                if word is not None:  # one that a newer release knows is ignored
                    self._controller.hear(worker, word)
            except (Unfit, IllegalTransition) as error:
                noise.hear(str(error))
                if noise.too_much:
                    break
        if link.trouble:
            log.error("lost the connection to %s: %s", worker, link.trouble)
        if link.ended or noise.too_much:
            worker.heard_out = True
            self._controller.miss(worker)

    def _reap(self, worker: Worker) -> None:
        status = worker.reap()
        if status is not None:
            self._listen(worker, LAST_WORDS_MAX, LAST_WORDS_S)  # what it said between the last look and its end
            self._controller.note_exit(worker, status)

    def _read_link(self) -> None:
        for message, fds in self._link.messages(partial(log.error, "ignored an order: %s")):
            try:
                self._controller.obey(message, fds)
            finally:
                close_all(fds)
        if self._link.trouble:
            log.error("%s", self._link.trouble)
        if self._link.ended:
            self._miss()

    # Without a supervisor

    def _miss(self) -> None:
        """The link has ended: without a goodbye, unless we are leaving.

        Who has served goes on and sees to it that there is another one.
        """
        self._linked = False
        self._outbox.close()
        if self._door is not None and self._controller.plan.posture in ESTABLISHED:
            log.warning("the supervisor exited; this generation keeps serving")
            self._controller.go_on_alone()
            return
        if self._controller.plan.posture is not Posture.LEAVING:
            log.warning("the supervisor exited; this generation stops")
        self._shut_door()
        self._leave()

    def _admit(self) -> None:
        """At the door: a supervisor that has come after the one that went."""
        assert self._door is not None
        try:
            sock, _ = self._door.accept()
        except OSError:  # it has gone again
            return
        uid = system.peer_user(sock.fileno())
        if uid not in (0, os.geteuid()):
            log.error("refused user %d at the door of this generation", uid)
            sock.close()
            return
        self._link, self._linked = Link(sock), True
        self._controller.guard.calm()
        self._controller.guard.meet(self._link.fileno())
        self._outbox.attach(self._link)
        self._outbox.send({**hello(self._lent), "adopted": True})
        self._controller.take_stock()
        log.info("a supervisor is connected again")

    def _shut_door(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None

    # The end

    def _leave(self) -> None:
        """Stop gracefully without an order, unless there was one."""
        self._controller.guard.calm()
        if self._controller.plan.posture is not Posture.LEAVING:
            timeouts = self._controller.plan.current.settings.timeouts
            self._controller.leave(timeouts.drain, timeouts.linger)

    def _flush(self) -> None:
        until = time.monotonic() + FLUSH_S
        while self._outbox.waiting and time.monotonic() < until:
            time.sleep(RETRY_S)
            self._outbox.flush()

    # Signals

    def _hear_signals(self) -> None:
        """None of them ends a master: it leaves when its supervisor says so, or is gone.

        Replaces what the application's import has set.
        """
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it were ignored, nobody could be waited for
        system.settle_signals(IGNORED)
        self._spawner.wakeups = system.record_signal(signal.SIGTERM)
        self._signals = self._spawner.wakeups[0]

    def _obey_signals(self) -> None:
        if signal.SIGTERM not in system.recorded_signals(self._signals):
            return
        if not self._linked:
            log.warning("received SIGTERM without a supervisor; this generation stops")
            self._shut_door()
            self._leave()
        else:
            self._outbox.send({"type": "terminated"})
            log.warning(
                "ignored SIGTERM: only the supervisor stops a generation in service; use ctl stop, or signal that one"
            )
