"""How a worker leaves: at which deadline, who is served until then, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from releve.config.settings.timeouts import Timeouts
from releve.server.loop.connection import State
from releve.server.shared.link import ORPHAN_S, Message
from releve.server.shared.states import WorkerState
from releve.server.worker.leaving import SHUT_S, Leaving
from releve.server.worker.orders import AFTER, IllegalOrder


class Connection:
    """All that is asked of one."""

    state = State.IDLE


class Worker:
    """A loop whose timers the test fires, and a traffic that notes what it is asked for."""

    def __init__(self, state: WorkerState) -> None:
        self.now = 100.0
        self.timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self.said: list[Message] = []
        self.done: list[str] = []
        self.state = state
        self.polite_at = float("inf")
        self.table: dict[int, Any] = {}
        loop: Any = SimpleNamespace(
            now=lambda: self.now,
            at=lambda name, due, action: self.timers.__setitem__(name, (due, action)),
            cancel=lambda name: self.timers.pop(name, None),
            stop=lambda: self.done.append("stop"),
            executor=SimpleNamespace(busy=0),
            connections=SimpleNamespace(table=self.table, shorten_idle=lambda idle_s: self.done.append("shorten")),
        )
        self.pause_hooks = SimpleNamespace(leave=lambda: None)
        traffic: Any = self
        self.leaving = Leaving(loop, traffic, Timeouts(drain=30.0, linger=2.0), self.said.append)

    def order(self, verb: str) -> WorkerState:
        if (self.state, verb) not in AFTER:
            raise IllegalOrder(verb)
        before, self.state = self.state, AFTER[self.state, verb]
        return before

    def send_state(self) -> None:
        self.done.append("state")

    def sweep(self, before: WorkerState) -> None:
        self.done.append(f"sweep {before}")

    def close(self) -> None:
        self.done.append("close")

    def connect(self) -> Connection:
        connection = Connection()
        self.table[id(connection)] = connection
        return connection


@pytest.fixture
def worker() -> Worker:
    return Worker(WorkerState.SERVING)


def test_after_connections_were_given_away_nothing_is_swept(worker: Worker) -> None:
    worker.leaving.quit({"deadline_s": 10.0, "linger_s": None})
    assert worker.done == ["close"]
    assert (worker.leaving.due, worker.polite_at) == (110.0, 105.0)
    worker.leaving.step()
    assert worker.done == ["close", "stop"]


def test_a_stop_serves_who_is_queued_and_whoever_is_idle_for_a_moment(worker: Worker) -> None:
    worker.connect()
    worker.leaving.quit({"deadline_s": 10.0, "linger_s": 1.0})
    assert worker.done == ["sweep serving", "close", "shorten"]
    worker.leaving.step()
    assert "stop" not in worker.done, "a connection is left"
    worker.timers["quit"][1]()
    assert worker.done[-1] == "stop"


def test_of_two_deadlines_the_earlier_one_counts(worker: Worker) -> None:
    worker.leaving.quit({"deadline_s": 10.0, "linger_s": None})
    worker.leaving.quit({"deadline_s": 60.0, "linger_s": None})
    assert worker.leaving.due == 110.0
    assert worker.timers["quit"][0] == 110.0
    assert worker.done == ["close"], "once"


def test_who_serves_on_says_once_that_what_it_had_is_done(worker: Worker) -> None:
    had = worker.connect()
    worker.leaving.quit({"deadline_s": 10.0, "linger_s": 1.0, "serve_on": True})
    assert worker.done == ["state", "shorten"], "it accepts"
    worker.leaving.step()
    assert worker.said == []
    had.state = State.CLOSED
    worker.connect()
    worker.leaving.step()
    worker.leaving.step()
    assert worker.said == [{"type": "spent"}]
    worker.leaving.quit({"deadline_s": 10.0, "linger_s": 1.0})
    assert "close" in worker.done
    assert "shut" not in worker.timers


def test_who_serves_on_accepts_no_more_shortly_before_the_deadline(worker: Worker) -> None:
    worker.leaving.quit({"deadline_s": 10.0, "linger_s": 1.0, "serve_on": True})
    due, shut = worker.timers["shut"]
    assert due == 110.0 - SHUT_S
    shut()
    assert worker.done[-1] == "close"


@pytest.mark.parametrize(
    ("state", "wait_s"), [(WorkerState.SERVING, ORPHAN_S), (WorkerState.ATTENDING, ORPHAN_S), (WorkerState.PAUSED, 0.0)]
)
def test_whom_nobody_commands_leaves_after_a_while_if_it_has_clients(state: WorkerState, wait_s: float) -> None:
    worker = Worker(state)
    worker.leaving.orphan()
    due, leave = worker.timers["orphan"]
    assert due == 100.0 + wait_s
    leave()
    assert worker.state is WorkerState.LEAVING
    assert worker.leaving.due == 130.0


def test_whom_nobody_commands_does_not_serve_on(worker: Worker) -> None:
    worker.leaving.quit({"deadline_s": 10.0, "linger_s": 1.0, "serve_on": True})
    worker.leaving.orphan()
    assert worker.done[-1] == "close"
    assert "orphan" not in worker.timers
