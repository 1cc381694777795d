"""In the master: what can be done to workers, whatever the reason: fork, pause, dismiss, and kill the overdue.

Knows no posture of the generation and no order: those are in ``server/master/``.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Sequence

from releve.server.prefork.boot import Boot, Revision
from releve.server.prefork.outbox import Outbox
from releve.server.prefork.spawner import Spawner
from releve.server.prefork.workers import Worker, Workers
from releve.server.process import children
from releve.server.shared import system
from releve.server.shared.link import LOST_TERM_S, LOST_WORDS
from releve.server.shared.native import signal
from releve.server.shared.states import UP, WorkerState

KILL_MARGIN_S = 1.0  # between a deadline and SIGKILL

log = logging.getLogger("releve.master")


class Lifecycle:
    """Does it to the workers of one master."""

    def __init__(
        self, boot: Boot, workers: Workers, spawner: Spawner, outbox: Outbox, now: Callable[[], float]
    ) -> None:
        self._boot = boot
        self._workers = workers
        self._spawner = spawner
        self._outbox = outbox
        self._now = now

    def spawn(
        self, revision: Revision, number: int, *, first: bool = False, failed: Sequence[int] = ()
    ) -> tuple[list[Worker], str]:
        """Fork some workers and report each; returns those forked, and why they are fewer if they are.

        ``first``: at the boot of the generation, which the supervisor bounds; later each has ``timeouts.boot`` to be
        ready. ``failed``: for each, how many boots in its place have failed in a row; none, if that is empty: then
        they replace nobody that has ended.
        """
        files = self._spawner.mixed() if number and not first else []
        new: list[Worker] = []
        for failures in failed or (0,) * number:
            try:
                worker = self._spawner.spawn(revision)
            except OSError as error:
                more = f"; {system.MORE_TASKS}" if error.errno == errno.EAGAIN else ""
                return new, f"cannot fork a worker: {error.strerror or error}{more}"
            new.append(worker)
            worker.failed_before = failures
            if not first:
                worker.ready_by = self._now() + revision.settings.timeouts.boot
            self.report(worker, replaces=bool(failed))
        if files:
            log.warning("mixed code: %s started after %s changed on disk", names(new), ", ".join(files))
            self._outbox.send({"type": "mixed", "files": files})
        return new, ""

    def report(self, worker: Worker, *, replaces: bool = False) -> None:
        """Tell the supervisor of a worker, and hand it a duplicate of the control end and of the pidfd.

        ``replaces``: it was forked for the place of one that had ended.
        """
        message = {
            "type": "worker",
            "worker": worker.number,
            "pid": worker.pid,
            "slot": worker.slot,
            "revision": worker.revision,
            "replaces": replaces,
        }
        self._outbox.send(message, (worker.control.fileno(), worker.pidfd))

    def pause(self, workers: Iterable[Worker], to: object, fds: tuple[int, ...]) -> set[int]:
        """Have workers pause to the exchange of a generation (or to none); returns those to wait for."""
        waiting = set()
        for worker in workers:
            worker.order({"type": "pause", "to": to}, WorkerState.PAUSED, fds)
            waiting.add(worker.number)
        return waiting

    def give_up(self, workers: list[Worker]) -> set[int]:
        """Have workers pause to the generation's own exchange; returns those to wait for.

        One that is booting is killed.
        """
        for worker in workers:
            if worker.state is WorkerState.BOOTING:
                worker.signal(signal.SIGKILL)
        up = [worker for worker in workers if worker.state in UP]
        return self.pause(up, self._boot.generation, (self._boot.exchange_send,))

    def dismiss(self, worker: Worker, deadline_s: float, linger_s: float | None, *, serve_on: bool = False) -> None:
        """Have a worker finish and go. One that is booting holds nothing and could not hear it.

        ``serve_on``: it says ``spent`` when it has finished what it has now, and accepts until it is dismissed again,
        without that.
        """
        worker.dismissed, worker.serves_on = True, serve_on
        if worker.state is WorkerState.BOOTING:
            worker.signal(signal.SIGKILL)
            return
        more = {"serve_on": True} if serve_on else {}
        worker.order({"type": "quit", "deadline_s": deadline_s, "linger_s": linger_s, **more}, WorkerState.LEAVING)
        kill_at = self._now() + deadline_s + KILL_MARGIN_S
        # as the worker itself: the earlier one
        worker.kill_at = kill_at if worker.kill_at is None else min(worker.kill_at, kill_at)

    def keep(self, boot_limit_s: float) -> None:
        """What is due by the clock: end those that were not ready in time, and those that did not leave in time."""
        now = self._now()
        for worker in self._workers:
            if worker.ready_by is not None and worker.ready_by <= now and worker.failure is None:
                worker.failure = {
                    "step": "workers",
                    "reason": f"{worker} was not ready within {boot_limit_s:g} s (timeouts.boot)",
                }
                worker.signal(signal.SIGABRT)  # faulthandler writes where it hangs
                worker.kill_at = now + KILL_MARGIN_S
            if worker.lost_at is not None and worker.lost_at <= now:
                worker.lost_at = None
                log.error("%s %s", worker, LOST_WORDS)
                worker.signal(signal.SIGTERM)
                worker.kill_at = min(now + LOST_TERM_S, now + LOST_TERM_S if worker.kill_at is None else worker.kill_at)
            if worker.kill_at is not None and worker.kill_at <= now:
                worker.kill_at = None
                found = children.find(worker.pid)
                worker.signal(signal.SIGKILL)
                children.kill(found, str(worker))

    def deadlines(self) -> list[float]:
        """When ``keep`` is due (monotonic)."""
        dues = [worker.lost_at for worker in self._workers if worker.lost_at is not None]
        dues += [worker.kill_at for worker in self._workers if worker.kill_at is not None]
        return dues + [
            worker.ready_by for worker in self._workers if worker.ready_by is not None and worker.failure is None
        ]


def names(workers: Iterable[Worker]) -> str:
    """Some workers, in words."""
    return ", ".join(map(str, workers))
