"""In the worker: the lead. Which thread runs the loop, and which run the application.

One thread, the leader, runs the loop and calls the application inline: a fast
request changes no thread and takes no lock. Before a call the leader puts a token
on a deque, after it takes it back. A call that lasts longer than a tick loses the
token to the monitor, and a parked follower becomes the leader; so does a call that
says it is about to block (``give_up``). Whoever finishes a call without the lead gives
the connection back through a deque and an eventfd, takes the next request that
waits for a thread, and parks.

``threads`` requests are in the application at any moment, never one more: people size
database pools by it. The leader's own call is one of them. If ``threads`` calls last,
the next leader only does the I/O, and queues complete requests: so there is one
thread more than ``threads``. With
more than one thread the main thread is the monitor and never runs the application;
it sleeps while no call is out. With one, the application runs in the main thread
only (people of pre-forked servers count on it: signals, asyncio, sqlite), a spare
thread leads for ever, and each request is handed over.

Taking a token, counting who is out, and parking happen under one mutex; the way of
a fast request does not come there.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import NoReturn

from releve.server.loop.connection import Connection, shown_client, shown_peer, shown_request
from releve.server.loop.executor import Overrun, Task
from releve.server.scoreboard.inflight import LEADER, Inflight
from releve.server.shared import system
from releve.server.shared.link import EXIT_INTERNAL
from releve.server.shared.native import OURS, Lock, get_ident, os, start_thread, time

TICK_S = 0.005  # a call that is seen at two ticks in a row has overrun
SHORT_TICK_S = 0.001  # the same, where others have overrun of late: each holds up everybody for a tick
SHORT_TICKS = 1000  # after the last of them
QUIET_TICKS = 20  # without any call; then the monitor sleeps

log = logging.getLogger("releve.worker")


class Runner:
    """One thread: parked, leading, or in the application."""

    __slots__ = ("task", "job", "leads", "number", "thread", "wake")

    def __init__(self, number: int) -> None:
        self.number = number
        self.wake = Lock()
        self.wake.acquire()
        self.leads = False
        self.job: Connection | None = None
        self.task: Task | None = None
        self.thread = 0  # its identifier


class Threads:
    """The threads of one worker: an ``Executor``.

    ``free``, ``call``, ``queue``, ``returned`` belong to the leader; ``give_up`` to whoever is in a call.
    """

    waits_for_bodies = False

    def __init__(
        self, threads: int, call: Callable[[Connection], None], turn: Callable[[], None], inflight: Inflight
    ) -> None:
        """``call`` answers the request of a connection.

        ``turn`` runs the loop until the lead is lost, or stepped aside from.
        """
        self.most = threads  # that may be in the application
        self.inline = threads > 1
        self.out = 0  # threads in the application, but for a leader that is there
        self.open = self.inline  # whether the leader may call the application: fewer than `most` are in it
        self.answered = 0  # connections that have come back, or never went; counted by the leader
        self.wakeup = system.wakeup()  # readable when a connection has come back
        self.overruns: dict[Connection, Overrun] = {}  # calls that last
        self.forked = False  # this process is a child that the application forked
        self.token: deque[Connection] = deque()  # holds the connection that the leader answers
        self.calls = 0  # begun by the leader
        self.finished: deque[Connection] = deque()  # those to give back
        self.resting = False  # the monitor
        self.tasks = 0  # given to threads, and not done yet
        self._runners: list[Runner] = []  # all that run the application
        self._leads: Runner | None = None  # of them, the one that runs the loop
        self._tasks: deque[Task] = deque()  # for whichever thread has time first
        self._last: Task | None = None  # for the monitor
        self._leader = 0  # the identifier of its thread
        self._leader_number = LEADER
        self._inflight = inflight
        self._call = call
        self._turn = turn
        self._mutex = Lock()
        self._parked: list[Runner] = []  # last in, first out: database connections stay few
        self._waiting: deque[Connection] = deque()
        self._woken = False
        self._alarm = Lock()
        self._alarm.acquire()
        self._start = Lock()  # held until the loop may turn in a thread that does nothing else
        self._start.acquire()

    @property
    def free(self) -> int:
        """Threads that could take a request now."""
        return max(0, self.most - self.out)

    @property
    def busy(self) -> int:
        """Requests that are with the threads, or wait for one."""
        return self.out + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return len(self._waiting)

    # The threads

    def prepare(self) -> None:
        """In the main thread: start the others, which wait. Raises RuntimeError if the system gives no more threads."""
        if not self.inline:
            main = Runner(1)
            main.thread = get_ident()  # before the loop can hand it a request
            self._runners.append(main)
            self._parked.append(main)
            start_thread(f"{OURS}loop", self._lead_for_ever)
            return
        runners = [Runner(number) for number in range(1, self.most + 2)]
        self._runners = runners
        self._parked.extend(reversed(runners[1:]))
        for runner in runners:
            start_thread(f"{OURS}{runner.number}", self._work, runner, calls=True)

    def start(self) -> NoReturn:
        """In the main thread, after ``prepare``: let the loop turn, and never return."""
        first = self._runners[0]
        if not self.inline:
            self._start.release()
            self._work(first)
        first.leads = True
        first.wake.release()
        self._monitor()

    def finish(self, last: Task, then: Callable[[], NoReturn]) -> NoReturn:
        """In the leader, when nothing is left for it: have the main thread do the one, as soon as it has nothing else
        to do, and do the other here.
        """
        if self.inline:
            self._last = last
            self.rouse()
        else:
            self.run(last, everywhere=False)
        then()

    def _lead_for_ever(self) -> NoReturn:
        self._start.acquire()
        self._leader = get_ident()
        self._inflight.assign(LEADER, self._leader)
        while True:
            self._turn()

    def _work(self, runner: Runner) -> NoReturn:
        runner.thread = get_ident()
        self._inflight.assign(runner.number, runner.thread)
        while True:
            runner.wake.acquire()
            connection, runner.job = runner.job, None
            if runner.leads:
                runner.leads = False
                self._leader, self._leader_number = runner.thread, runner.number
                self._inflight.assign(LEADER, runner.thread)
                self._leads = runner
                self._turn()  # returns when the lead is lost and its call is over
            while True:
                if connection is not None:
                    self._answer(connection, runner.number)
                with self._mutex:
                    connection = self._waiting.popleft() if self._waiting else None
                    task = None if connection is not None else self._next_task(runner)
                    if connection is not None:
                        self.overruns[connection] = Overrun(runner.thread, time.monotonic(), runner.number)
                    elif task is None:
                        self._count(-1)
                        self._parked.append(runner)
                self._wake()  # now, since the leader looks at `free` when it takes the connection back
                if task is not None:
                    self._do(task)
                elif connection is None:
                    break

    def _monitor(self) -> NoReturn:
        short = 0
        while True:
            self.resting = True
            if not self.token:
                self._alarm.acquire()
            self.resting = False
            quiet, seen = 0, -1
            while quiet < QUIET_TICKS:
                if self._last is not None:
                    self._last()
                    self._last = None
                time.sleep(SHORT_TICK_S if short else TICK_S)
                short = max(0, short - 1)
                if self.calls != seen:
                    seen, quiet = self.calls, 0
                elif self.token:
                    self._take_over(None)
                    short = SHORT_TICKS
                else:
                    quiet += 1

    def _take_over(self, connection: Connection | None) -> None:
        """Take the token, if it is still there (and that connection's), and let a follower lead."""
        with self._mutex:
            try:
                if connection is None:
                    connection = self.token.pop()
                else:
                    self.token.remove(connection)
            except (IndexError, ValueError):
                return
            self.overruns[connection] = Overrun(self._leader, time.monotonic(), self._leader_number)
            self._inflight.hand_over(self._leader_number, shown_client(connection))
            self._count(1)
            follower = self._parked.pop()
            follower.leads = True
            follower.wake.release()

    # Tasks

    def run(self, task: Task, everywhere: bool) -> None:
        """In the leader: have one thread do this as soon as it has nothing else to do, or every thread that runs the
        application.

        Threads that are on a task count as out. What it raises is logged.
        """
        with self._mutex:
            if everywhere:
                for runner in self._runners:
                    runner.task = task
                self.tasks += len(self._runners)
            else:
                self._tasks.append(task)
                self.tasks += 1
            wanted = len(self._parked) if everywhere else 1
            for _ in range(min(wanted, len(self._parked))):
                self._count(1)
                self._parked.pop().wake.release()

    def step_aside(self) -> bool:
        """In the leader, outside of a call: whether somebody else leads from here on, so that it can go on a task of
        its own.
        """
        leads = self._leads
        if leads is None or leads.task is None:
            return False
        with self._mutex:
            if not self._parked:
                return False
            self._count(1)
            follower = self._parked.pop()
            follower.leads = True
            follower.wake.release()
        return True

    def _next_task(self, runner: Runner) -> Task | None:
        """Under the mutex: a task that waits for this thread, or for whichever has time first; None: there is none."""
        task, runner.task = runner.task, None
        return self._tasks.popleft() if task is None and self._tasks else task

    def _do(self, task: Task) -> None:
        try:
            Context().run(task)
        except BaseException:
            log.exception("internal error in %s; requests are not affected", getattr(task, "__qualname__", task))
        if self.forked:
            self.end_child()
        with self._mutex:
            self.tasks -= 1

    # Calls

    def call(self, connection: Connection) -> bool:
        """In the leader, with ``free`` threads: answer a request inline.

        False: the lead is lost, and the connection given back.
        """
        token = self.token
        self._inflight.begin(LEADER, time.monotonic(), shown_peer(connection), shown_request(connection))
        self.calls += 1
        token.append(connection)
        if self.resting:
            self.rouse()
        self._call(connection)
        if self.forked:
            self.end_child()
        try:
            token.remove(connection)
        except ValueError:
            self.lose(connection)
            return False
        return True

    def lose(self, connection: Connection) -> None:
        """In a thread whose call is over, and whose token is gone: give the connection back."""
        with self._mutex:  # whoever has taken the token may be about to note that
            overrun = self.overruns.pop(connection, None)
            if overrun is not None:
                self._inflight.end(overrun.number)
        self.finished.append(connection)

    def queue(self, connection: Connection) -> bool:
        """In the leader, without a free thread: have one answer a request as soon as it can.

        False: one is free now, ``call``.
        """
        with self._mutex:
            if self.out >= self.most:
                self._waiting.append(connection)
            elif self.inline:
                return False
            else:  # handed over
                self._count(1)
                runner = self._parked.pop()
                runner.job = connection
                # now, so that the loop reckons with it
                self.overruns[connection] = Overrun(runner.thread, time.monotonic(), runner.number)
                runner.wake.release()
        return True

    def give_up(self, connection: Connection) -> None:
        """In the thread that answers it, before it blocks: let somebody else lead, if this one does."""
        if self.inline:
            self._take_over(connection)

    def returned(self) -> Iterator[Connection]:
        """In the leader: the connections that have come back. They are the loop's from now on."""
        system.clear_wakeup(self.wakeup)
        self._woken = False  # before the deque is emptied: who appends later wakes the loop again
        while self.finished:
            self.answered += 1
            yield self.finished.popleft()

    def end_child(self) -> NoReturn:
        """In a child that the application forked, which has come back from the view: it is no worker."""
        os._exit(EXIT_INTERNAL)

    def stack(self, connection: Connection, overrun: Overrun) -> str:
        """Where a call is that lasts."""
        frame = sys._current_frames().get(overrun.thread)
        return "".join(traceback.format_stack(frame)) if frame is not None else "(its thread exited)"

    def _answer(self, connection: Connection, number: int) -> None:
        self._inflight.begin(number, time.monotonic(), shown_peer(connection), shown_request(connection))
        self._call(connection)
        if self.forked:
            self.end_child()
        self.lose(connection)

    def _count(self, change: int) -> None:
        """Under the mutex: a thread goes into the application, or comes out."""
        self.out += change
        self.open = self.inline and self.out < self.most

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            system.wake(self.wakeup)

    def rouse(self) -> None:
        """In the leader, in a call while the monitor is ``resting``: have it watch."""
        self.resting = False
        try:
            self._alarm.release()
        except RuntimeError:
            pass  # roused already
