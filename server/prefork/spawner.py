"""The spawner: where workers are forked, with exactly what each may hold."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from releve.server.prefork import snapshot
from releve.server.prefork.boot import Boot, Revision
from releve.server.prefork.fork import fork
from releve.server.prefork.outbox import Outbox
from releve.server.prefork.workers import Worker, Workers
from releve.server.process import output, stacks
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.shared import system
from releve.server.shared.link import Link, pair
from releve.server.shared.lost_lines import lost
from releve.server.shared.native import os, signal
from releve.server.worker.setup import WorkerSetup
from releve.server.worker.worker import run_worker
from releve.server.wsgi.application import Application

MIXED_FILES_MAX = 5
IGNORED = (*system.SUPERVISOR_SIGNALS, signal.SIGQUIT)

log = logging.getLogger("releve.master")


class Spawner:
    """Forks the workers of one master, and closes in every child what is not the child's."""

    def __init__(self, boot: Boot, outbox: Outbox, workers: Workers) -> None:
        self._boot = boot
        self._outbox = outbox
        self._workers = workers
        self._board = Scoreboard(boot.board)
        lost.tell(self._board.lose)
        self._source: snapshot.Snapshot | None = None
        self._forking = False
        self._left = False  # this process is a child of the master's
        self.application: Application | None = None
        self.load: Callable[[], Application]
        self.astray: Callable[[], list[str]] = list
        # threads that this process had before it imported anything of the application's
        self.early: tuple[str, ...] = ()
        self.workers: Callable[[Revision], int] = lambda revision: revision.settings.workers  # how many it is to have
        self.wakeups: tuple[int, ...] = ()  # the pipe that signals are written to
        self.disown: Callable[[], None] = lambda: None  # closes in a child what else is the master's
        self.diversion = -1  # send end of another generation's exchange, kept for those that are forked during a canary
        self.revisions: list[Revision] = [boot.revision]  # whose listeners are open here
        os.register_at_fork(after_in_child=self._after_fork)

    def remember_source(self) -> None:
        """Take the snapshot that later forks are compared with, for workers that import by themselves."""
        self._source = snapshot.take(self._boot.directory)

    def mixed(self) -> list[str]:
        """Files that have changed since the boot, of which a worker forked now would import some; at most a few."""
        if self._source is None or self.application is not None:
            return []
        return snapshot.changed(self._source, snapshot.take(self._boot.directory))[:MIXED_FILES_MAX]

    def spawn(self, revision: Revision) -> Worker:
        """Fork a worker of a revision. Raises OSError, with nothing left behind."""
        slot = self._workers.take_slot()
        number = self._workers.next_number()
        try:
            ours, theirs = pair()
        except OSError:
            self._workers.free_slot(slot)
            raise
        self._forking = True
        try:
            pid, pidfd = fork(partial(self._live, revision, number, slot, ours, theirs))
        except OSError:
            ours.close()
            self._workers.free_slot(slot)
            raise
        finally:
            self._forking = False
            theirs.close()
        worker = Worker(number, slot, revision.number, pid, pidfd, ours)
        self._workers.add(worker)
        return worker

    def close(self, revision: Revision) -> None:
        """Close the listeners of a revision that no worker is forked for any more."""
        if revision in self.revisions:
            self.revisions.remove(revision)
            revision.close()

    def _live(self, revision: Revision, number: int, slot: int, ours: Link, theirs: Link) -> None:
        """In the worker: from the fork on, signals blocked; never returns."""
        self._left = True
        ours.close()
        for other in self.revisions:
            if other is not revision:
                other.close()
        self._shed()
        output.standard.lead(revision.log)
        if revision.log >= 0:
            os.close(revision.log)
        run_worker(
            WorkerSetup(
                number=number,
                slot=slot,
                generation=self._boot.generation,
                revision=revision.number,
                settings=replace(revision.settings, workers=self.workers(revision)),
                listeners=revision.listeners,
                exchange_receive=self._boot.exchange_receive,
                exchange_send=self._boot.exchange_send,
                board=self._board,
                control=theirs,
                application=self.application,
                load=self.load,
                astray=self.astray,
                early=self.early,
                access=output.standard.output if revision.access == output.STANDARD_OUTPUT else revision.access,
                release=self._boot.directory,
                service=self._boot.service,
            )
        )

    def _after_fork(self) -> None:
        """In a child that the application's import forked in the master: hold nothing of ours, be told nothing.

        Else a long-lived child would keep addresses connectable and links open after our death.
        """
        if self._forking or self._left:
            return
        self._left = True
        system.forget_signals((signal.SIGTERM, *IGNORED))
        stacks.disarm()
        for revision in self.revisions:
            revision.close()
        for fd in (self._boot.exchange_receive, self._boot.exchange_send):
            os.close(fd)
        self._shed()

    def _shed(self) -> None:
        """In a child: close the link, the signal pipe and everything of the other workers."""
        self._outbox.close()
        self.disown()
        if self.wakeups:
            signal.set_wakeup_fd(-1)
        boot = self._boot
        for fd in (*self.wakeups, boot.board, boot.door, boot.keepsake, self.diversion):
            if fd >= 0:
                os.close(fd)
        for worker in self._workers:
            worker.close()
