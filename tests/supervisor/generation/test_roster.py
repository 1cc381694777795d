"""The roster: what the master reports of its workers, and how they are commanded once it has gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from releve.server.scoreboard.inflight import InflightCall
from releve.server.shared import noise
from releve.server.shared.link import Link, pair
from releve.server.shared.states import WorkerState
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation import roster as module
from releve.supervisor.generation.roster import Roster


class Crew:
    """A roster, with workers that are processes which sleep, and their ends of the control pairs."""

    def __init__(self, *states: str) -> None:
        self.crashed: list[str] = []
        self.calls: list[InflightCall] = []
        self.roster = Roster("gen=1", lambda process: True, lambda worker: self.calls, self.crashed.append)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.theirs: dict[int, Link] = {}
        self.changed = asyncio.Event()
        for number, state in enumerate(states, 1):
            process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)"])
            ours, self.theirs[number] = pair()
            pidfd = os.pidfd_open(process.pid)
            self.processes[number] = process
            self.roster.workers[number] = Worker(number, process.pid, number, 1, ours, pidfd, state)

    def adopt(self) -> None:
        self.roster.adopt(self.changed.set, "it was killed")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def heard(self, number: int) -> list[dict[str, object]]:
        """What a worker was told, all of it."""
        told: list[dict[str, object]] = []
        while True:
            try:
                received = self.theirs[number].receive()
            except BlockingIOError:
                return told
            if received is None:
                return told
            told.append(received[0])


@contextmanager
def crew(*states: str) -> Iterator[Crew]:
    one = Crew(*states)
    try:
        yield one
    finally:
        one.roster.close()
        for process in one.processes.values():
            process.kill()
            process.wait()
        for link in one.theirs.values():
            link.close()


def run(story: Callable[[Crew], Awaitable[None]], *states: str) -> None:
    async def main() -> None:
        with crew(*states) as one:
            await story(one)

    asyncio.run(main())


def test_who_is_on_its_way_out_has_come_to_every_state() -> None:
    async def story(one: Crew) -> None:
        assert one.roster.serving() == 1
        assert not one.roster.all_in(WorkerState.SERVING)
        one.roster.note_state({"worker": 2, "state": "leaving"}, [])
        assert one.roster.all_in(WorkerState.SERVING) and not one.roster.all_in(WorkerState.PAUSED)
        one.roster.note_state({"worker": 9, "state": "serving"}, [])  # it has gone
        assert sorted(one.roster.workers) == [1, 2]

    run(story, "serving", "paused")


def test_a_word_of_a_newer_release_is_kept_and_is_no_state_of_ours() -> None:
    async def story(one: Crew) -> None:
        one.roster.note_state({"worker": 1, "state": "dancing"}, [])
        assert one.roster.workers[1].state == "dancing"
        assert not any(one.roster.all_in(state) for state in WorkerState) and one.roster.serving() == 0

    run(story, "serving")


def test_the_workers_of_a_revision_are_told_and_no_others() -> None:
    async def story(one: Crew) -> None:
        one.roster.workers[2].revision = 2
        assert one.roster.revisions() == {1, 2}
        one.roster.dismiss(2)
        assert [worker.number for worker in one.roster.reopen(1, [], log=True)] == [1]
        assert one.heard(1) == [{"type": "reopen", "log": True}]
        assert one.heard(2) == [{"type": "quit", "deadline_s": 0.0, "linger_s": None}]

    run(story, "serving", "ready")


def test_orphans_are_heard_on_their_control_pairs(caplog: pytest.LogCaptureFixture) -> None:
    async def story(one: Crew) -> None:
        one.adopt()
        assert caplog.messages[0].startswith("it was killed; the supervisor commands its ")
        one.roster.tell("pause", to=2)
        assert one.heard(1) == [{"type": "pause", "to": 2}]
        worker = one.roster.workers[1]
        for said in ({"type": "state", "state": "paused"}, {"type": "spent"}, {"type": "reopened"}):
            one.theirs[1].send(said)
        await one.until(lambda: worker.reopened)
        assert worker.state == WorkerState.PAUSED and worker.spent
        assert one.roster.workers[2].state == WorkerState.SERVING

    run(story, "serving", "serving")


@pytest.mark.parametrize("said", [{"type": "state"}, {"type": "state", "state": 7}, {"type": "novelty"}])
def test_what_an_orphan_says_that_is_none_of_its_words_changes_nothing(said: dict[str, object]) -> None:
    async def story(one: Crew) -> None:
        one.adopt()
        one.theirs[1].send(said)
        one.theirs[1].send({"type": "spent"})
        await one.until(lambda: one.roster.workers[1].spent)
        assert one.roster.workers[1].state == WorkerState.SERVING

    run(story, "serving")


@pytest.mark.parametrize(
    ("state", "number", "lost", "crashed"),
    [
        ("serving", signal.SIGKILL, 1, 0),
        ("serving", signal.SIGSEGV, 1, 1),
        ("booting", signal.SIGKILL, 1, 0),
        ("leaving", signal.SIGKILL, 0, 0),
        ("leaving", signal.SIGABRT, 0, 1),
    ],
)
def test_the_end_of_an_orphan_is_a_loss_unless_it_was_leaving(state: str, number: int, lost: int, crashed: int) -> None:
    async def story(one: Crew) -> None:
        one.adopt()
        one.processes[1].send_signal(number)
        await one.until(lambda: not one.roster.workers)
        assert (len(one.roster.losses.of(1)), len(one.crashed)) == (lost, crashed)
        assert one.roster.losses.of(2) == []
        crashes, boots = one.roster.losses.count()
        assert (crashes, boots) == ((0, lost) if state == "booting" else (lost, 0))

    run(story, state)


def test_an_orphan_that_has_closed_its_control_pair_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(one: Crew) -> None:
        one.adopt()
        one.theirs[1].close()
        await one.until(lambda: not one.roster.workers)
        assert "SIGTERM" in one.roster.losses.of(1)[0]

    monkeypatch.setattr(module, "LOST_S", 0.0)
    run(story, "serving")


@pytest.mark.parametrize("led", [True, False])
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("number", "busy", "said"),
    [
        (signal.SIGKILL, True, "was killed at its deadline while serving GET /slow"),
        (signal.SIGKILL, False, ""),
        (signal.SIGSEGV, True, ""),
    ],
)
def test_an_end_is_judged_alike_with_and_without_a_master(
    led: bool, asked: bool, number: int, busy: bool, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(one: Crew) -> None:
        one.calls = [InflightCall(1, 7, 1.0, "GET", "/slow")] if busy else []
        if led:
            one.processes[1].send_signal(number)
            one.processes[1].wait()
            one.roster.leave({"type": "gone", "worker": 1, "status": -number, "expected": asked}, [])
        else:
            one.adopt()
            if asked:
                one.roster.tell("quit", deadline_s=0.0, linger_s=None)
            one.processes[1].send_signal(number)
            await one.until(lambda: not one.roster.workers)
        assert len(one.roster.losses.of(1)) == (not asked)
        assert len(one.crashed) == (number == signal.SIGSEGV)
        if asked:
            assert (said in caplog.text) if said else "deadline" not in caplog.text
        else:
            assert "deadline" not in caplog.text

    run(story, "serving")


def test_who_leaves_without_an_order_and_without_a_master_is_lost_if_it_does_not_come_to_its_end() -> None:
    async def story(one: Crew) -> None:
        one.adopt()
        worker = one.roster.workers[1]
        one.theirs[1].send({"type": "state", "state": "leaving"})  # somebody has sent it SIGTERM
        await one.until(lambda: worker.state == WorkerState.LEAVING)
        one.processes[1].kill()
        await one.until(lambda: not one.roster.workers)
        assert len(one.roster.losses.of(1)) == 1 and one.roster.losses.count() == (1, 0)

    run(story, "serving")


@pytest.mark.parametrize(("told", "when"), [(False, "with its generation"), (True, "at its deadline")])
def test_workers_that_are_ended_from_here_are_no_losses(
    told: bool, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(one: Crew) -> None:
        one.calls = [InflightCall(1, 7, 1.0, "GET", "/slow")]
        one.adopt()
        if told:
            one.roster.tell("quit", deadline_s=0.0, linger_s=None)
        one.roster.kill()
        await one.until(lambda: not one.roster.workers)
        assert one.roster.losses.of(1) == []
        assert f"was killed {when} while serving GET /slow" in caplog.text

    run(story, "serving")


def test_an_orphan_that_sends_only_garbage_is_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(one: Crew) -> None:
        one.adopt()
        for _ in range(4):
            one.theirs[1].socket.send(b"[{},{}]")
        one.theirs[2].socket.send(b"{")  # once is not enough, and the others' is not its
        await one.until(lambda: 1 not in one.roster.workers)
        assert "SIGTERM" in one.roster.losses.of(1)[0]
        assert "sends only invalid messages on its control pair; terminating it" in caplog.text
        one.theirs[2].send({"type": "spent"})
        await one.until(lambda: one.roster.workers[2].spent)
        assert one.processes[2].poll() is None

    monkeypatch.setattr(noise, "TOO_MUCH", 3)
    run(story, "serving", "serving")


def test_an_orphan_that_sends_garbage_has_its_slice_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(one: Crew) -> None:
        heard: list[str] = []
        counted = noise.Noise(heard.append, now=lambda: 20.0 * len(heard))  # each is a line of its own
        for _ in range(3):
            one.theirs[1].socket.send(b"[{},{}]")
        for read in (1, 2, 3):
            one.roster._read(one.roster.workers[1], counted)
            assert len(heard) == read

    monkeypatch.setattr(module, "SLICE_S", 0.0)
    run(story, "serving")


@pytest.mark.parametrize(
    ("said", "restarts"), [({"replaces": True}, 1), ({"replaces": False}, 0), ({}, 1)], ids=["yes", "no", "older"]
)
def test_only_a_worker_that_replaces_another_tells_how_that_ended(said: dict[str, object], restarts: int) -> None:
    async def story(one: Crew) -> None:
        one.processes[1].kill()
        one.processes[1].wait()
        one.roster.leave({"type": "gone", "worker": 1, "status": -signal.SIGKILL}, [])
        new, (ours, theirs) = one.processes[2], pair()
        one.roster.workers.pop(2).close()  # its process is another worker's from here on
        fds = [os.dup(ours.fileno()), os.pidfd_open(new.pid)]
        one.roster.enter({"type": "worker", "worker": 3, "pid": new.pid, "slot": 3, "revision": 1, **said}, fds)
        worker = one.roster.workers[3]
        assert worker.restarts == restarts and (worker.last_exit is not None) == bool(restarts)
        ours.close()
        theirs.close()

    run(story, "serving", "serving")
