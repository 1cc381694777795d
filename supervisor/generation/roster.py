"""The roster: the workers of one generation, as their master reports them, or as their control pairs do.

While the master lives, it commands the workers and reports; the roster only
keeps the picture. When it is gone (`adopt`), the roster reads the control pairs
itself, waits for the processes, and gives the orders.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from releve.config.grammar import counted
from releve.server.scoreboard.inflight import InflightCall
from releve.server.shared import closing, form
from releve.server.shared.form import Unfit
from releve.server.shared.link import LOST_S, LOST_TERM_S, LOST_WORDS, Link, Message
from releve.server.shared.noise import Noise
from releve.server.shared.states import WorkerState
from releve.supervisor.channels import reports
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation import crash
from releve.supervisor.generation import inflight as serving
from releve.supervisor.generation.losses import Losses, Vacancies
from releve.supervisor.host import children, evidence
from releve.supervisor.host.evidence import Process
from releve.supervisor.host.oom import Oom
from releve.supervisor.reporting.log import log

BATCH = 64  # messages of a worker read in one turn of the loop
SLICE_S = 0.002  # and for how long, at which there may be hundreds of workers
NOISE_WORDS = "sends only invalid messages on its control pair; terminating it"


class Roster:
    """The workers of one generation. Lives in the supervisor's loop; owns their links and pidfds."""

    def __init__(
        self,
        who: str,
        ours: Callable[[Process], bool],
        calls: Callable[[Worker], list[InflightCall] | None] = lambda worker: None,
        crashed: Callable[[str], None] = lambda words: None,
    ) -> None:
        """``ours``: whether a process can be a worker: whatever is held here is signalled with all that we may.

        ``calls``: what the threads of a worker do, or did last; None: nobody knows.

        ``crashed`` hears of each one that a fatal signal has ended, in words.
        """
        self._crashed = crashed
        self.workers: dict[int, Worker] = {}
        self.slots: set[int] = set()  # of the scoreboard, that workers of this generation have written, living and dead
        self._commands = False  # whether workers are commanded from here: their master has gone
        self._who = {"who": who}
        self._calls = calls
        self._ours = ours
        self._oom = Oom()
        self.losses = Losses()
        self._vacancies = Vacancies()
        self._loop = asyncio.get_running_loop()
        self._on_change: Callable[[], None] = lambda: None

    def enter(self, message: Message, fds: list[int]) -> None:
        """``worker``: the master forked one.

        Takes the two descriptors. Raises Unfit for what is no worker of this generation.
        """
        number, slot, pid = message["worker"], message["slot"], message["pid"]
        living = self.workers.values()
        if number in self.workers or any(slot == one.slot for one in living):
            raise Unfit(f"worker {number}: its number or its slot {slot} is taken")
        found = self._vet(number, pid, fds[1])
        control, pidfd = fds[:2]
        del fds[:2]
        link = Link(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=control))
        self.losses.trouble = ""
        self.slots.add(slot)
        worker = self.workers[number] = Worker(number, pid, slot, message["revision"], link, pidfd)
        if found is not None:  # it may have lived under another supervisor
            worker.started = time.monotonic() - found.age_s
        if message.get("replaces", True):  # an older release does not say for whom it forks
            self._vacancies.fill(worker)

    def _vet(self, number: int, pid: int, pidfd: int) -> Process | None:
        """The process is what the message says, the master's and its user's: we signal it with all that we may.

        Raises Unfit.
        """
        if evidence.pid_of(pidfd) is None:
            return None  # it has ended and was waited for: the descriptor stands for nobody
        found = evidence.process(pidfd)
        if found is None and evidence.pid_of(pidfd) is None:
            return None  # meanwhile
        if found is None:
            raise Unfit(f"worker {number}: cannot read its process (is /proc mounted with hidepid?)")
        if found.pid != pid or any(found.pid == one.pid for one in self.workers.values()):
            raise Unfit(f"worker {number}: its process is {found.pid}, not {pid}, or belongs to another worker")
        if not self._ours(found):
            raise Unfit(f"worker {number}: process {pid} was not started by the master, or belongs to another user")
        return found

    def observe(self) -> None:
        """Have every worker that is not observed yet answer for the stacks of its threads."""
        for worker in self.workers.values():
            if worker.observer is None:
                worker.observe()

    def take_over(self, workers: Iterable[Worker], slots: Iterable[int]) -> None:
        """Hold what another roster has held."""
        self.workers.update((worker.number, worker) for worker in workers)
        self.slots.update(slots)

    def note_state(self, message: Message, fds: list[int]) -> None:
        """``state``: one changed its state."""
        worker = self.workers.get(message["worker"])
        if worker is not None:
            worker.state = message["state"]

    def lack(self, message: Message, fds: list[int]) -> None:
        """``unfilled``: the master cannot fork."""
        self.losses.trouble = message.get("reason", "")

    def leave(self, message: Message, fds: list[int]) -> None:
        """``gone``: the master reaped one. Raises Unfit if it lives."""
        worker = self.workers.get(message["worker"])
        if worker is not None:
            if evidence.pid_of(worker.pidfd) is not None and children.peek(worker.pidfd) is None:
                raise Unfit(f"the exit of worker {worker.number}, which is still running")
            del self.workers[worker.number]
            self._judge(worker, message.get("status", 0), asked=bool(message.get("expected")))
            worker.close()

    def serving(self) -> int:
        """How many accept."""
        return sum(worker.state == WorkerState.SERVING for worker in self.workers.values())

    def kill(self) -> None:
        """End every worker now."""
        for worker in self.workers.values():
            worker.killed, worker.dismissed = not worker.dismissed, True
            worker.kill(signal.SIGKILL)

    def close(self) -> None:
        """End what is left and forget it."""
        for worker in self.workers.values():
            if self._commands:
                self._stop_reading(worker)
            worker.kill(signal.SIGKILL)
            worker.close()
        self.workers.clear()

    # ---------------------------------------------------------------- without a master

    def adopt(self, on_change: Callable[[], None], fate: str) -> None:
        """The master is gone without a goodbye: from here on its workers are commanded from here.

        ``fate``: how it ended, in words; empty if that is not known.
        """
        workers = counted(len(self.workers), "worker")
        log.warning("%s; the supervisor commands its %s", fate or "the master exited", workers, extra=self._who)
        self._commands = True
        self._on_change = on_change
        for worker in self.workers.values():
            worker.dismissed = worker.dismissed or worker.state == WorkerState.LEAVING  # whoever told it has gone
            self._loop.add_reader(worker.pidfd, self._ended, worker)
            noise = Noise(partial(log.error, "from worker %d: %s", worker.number, extra=self._who))
            self._loop.add_reader(worker.control.fileno(), self._read, worker, noise)

    def tell(self, verb: str, fds: Sequence[int] = (), **keys: object) -> None:
        """Give every worker an order."""
        for worker in self.workers.values():
            worker.dismissed = worker.dismissed or verb == "quit"
            worker.tell(verb, tuple(fds), **keys)

    def dismiss(self, revision: int) -> None:
        """Have the workers of a revision that has not served leave."""
        for worker in self.workers.values():
            if worker.revision == revision:
                worker.dismissed = True
                worker.tell("quit", deadline_s=0.0, linger_s=None)

    def reopen(self, revision: int, fds: Sequence[int], **keys: object) -> list[Worker]:
        """Have the workers of a revision go on in other log files; those asked, who will say so."""
        asked = [worker for worker in self.workers.values() if worker.revision == revision]
        for worker in asked:
            worker.reopened = False
            worker.tell("reopen", tuple(fds), **keys)
        return asked

    def revisions(self) -> set[int]:
        """Those that have workers."""
        return {worker.revision for worker in self.workers.values()}

    def all_in(self, state: str) -> bool:
        """Whether every worker has come to a state, or is on its way out."""
        return all(worker.state in (state, WorkerState.LEAVING) for worker in self.workers.values())

    def _read(self, worker: Worker, noise: Noise) -> None:
        link, until = worker.control, time.monotonic() + SLICE_S
        for message, fds in link.messages(lambda error: noise.hear(str(error)), BATCH, until):
            closing.close(fds)
            try:
                self._hear(worker, form.read(reports.CONTROL, message, ()))
            except Unfit as error:
                noise.hear(str(error))
        if link.trouble:
            log.error("cannot follow worker %d: %s", worker.number, link.trouble, extra=self._who)
        if link.ended:
            self._loop.remove_reader(link.fileno())
            # it ends, or has become another program
            self._loop.call_later(LOST_S, self._end, worker, signal.SIGTERM, LOST_WORDS)
        elif noise.too_much:
            self._loop.remove_reader(link.fileno())
            self._end(worker, signal.SIGTERM, NOISE_WORDS)

    def _end(self, worker: Worker, number: int, why: str) -> None:
        if self.workers.get(worker.number) is not worker:
            return  # it has ended
        if number == signal.SIGTERM:
            log.error("worker %d (pid %d) %s", worker.number, worker.pid, why, extra=self._who)
            self._loop.call_later(LOST_TERM_S, self._end, worker, signal.SIGKILL, why)
        worker.kill(number)

    def _hear(self, worker: Worker, message: Message | None) -> None:
        if message is not None and message["type"] == "state":
            worker.state = message["state"]
            self._on_change()
        elif message is not None and message["type"] == "reopened":
            worker.reopened = True
            self._on_change()
        elif message is not None and message["type"] == "spent":
            worker.spent = True
            self._on_change()

    def _ended(self, worker: Worker) -> None:
        self._stop_reading(worker)
        status = children.reap(worker.pidfd, worker.pid)
        self._judge(worker, children.UNSEEN if status is None else status, asked=worker.dismissed)
        self.workers.pop(worker.number, None)
        worker.close()
        self._on_change()

    def _stop_reading(self, worker: Worker) -> None:
        self._loop.remove_reader(worker.pidfd)
        self._loop.remove_reader(worker.control.fileno())

    # ---------------------------------------------------------------- how they end

    def _judge(self, worker: Worker, status: int, *, asked: bool) -> None:
        """A worker has ended: it is lost, unless it was asked to leave; and even then it may not have come so far."""
        if not asked:
            self._lose(worker, status)
        elif -status in crash.SIGNALS:
            self._crashed(self._ending(worker, status))
        elif status < 0 and (cut := serving.words(self._calls(worker) or [], time.monotonic())) != serving.IDLE:
            when = "with its generation" if worker.killed else "at its deadline"
            log.warning("worker %d (pid %d) was killed %s %s", worker.number, worker.pid, when, cut, extra=self._who)

    def _ending(self, worker: Worker, status: int) -> str:
        how = (
            children.describe_status(status)
            if worker.state == WorkerState.BOOTING
            else serving.ending(status, self._calls(worker), self._oom)
        )
        return f"worker {worker.number} (pid {worker.pid}) {how}"

    def _lose(self, worker: Worker, status: int) -> None:
        booting = worker.state == WorkerState.BOOTING
        words = self._ending(worker, status)
        if -status in crash.SIGNALS:
            self._crashed(words)
        elif not booting:  # else whoever boots it says more
            log.warning("%s", words, extra=self._who)
        self._vacancies.leave(worker, words)
        self.losses.enter(worker.revision, words)
        if status or worker.state != WorkerState.LEAVING:  # who was sent SIGTERM, and finished, has not crashed
            self.losses.note(booted=not booting)
