"""The master's books: workers' states, which order is legal when, and the queue of the link."""

from __future__ import annotations

import itertools
import os
import signal

import pytest

from releve.server.master.orders import TABLE, Change, Posture, objection
from releve.server.prefork.fork import fork
from releve.server.prefork.workers import NEXT, IllegalTransition, Worker, Workers
from releve.server.shared import native
from releve.server.shared.link import EXIT_INTERNAL, pair
from releve.server.shared.states import WorkerState


def worker(state: WorkerState = WorkerState.BOOTING, number: int = 1) -> Worker:
    one = Worker(number, 0, 1, 0, -1, pair()[0])
    one.state = state
    return one


@pytest.mark.parametrize(("before", "after"), list(itertools.product(WorkerState, WorkerState)))
def test_transitions(before: WorkerState, after: WorkerState) -> None:
    one = worker(before)
    if after in NEXT[before]:
        one.become(after)
        assert one.state is after
    else:
        with pytest.raises(IllegalTransition, match=f"cannot become {after.value}: it is {before.value}"):
            one.become(after)
        assert one.state is before


def test_every_state_but_the_last_can_end() -> None:
    assert set(NEXT) == set(WorkerState)
    assert all(WorkerState.GONE in after for state, after in NEXT.items() if state is not WorkerState.GONE)


def test_slots_and_numbers() -> None:
    crew = Workers(slots=2)
    assert [crew.next_number(), crew.next_number()] == [1, 2]
    assert [crew.take_slot(), crew.take_slot()] == [0, 1]
    with pytest.raises(OSError, match="slot"):
        crew.take_slot()
    crew.free_slot(0)
    assert crew.take_slot() == 0


def test_a_dead_workers_slot_is_not_the_next_ones() -> None:
    """The supervisor reads there what it did last."""
    crew = Workers()
    taken = [crew.take_slot() for _ in range(3)]
    for slot in taken:
        crew.free_slot(slot)
    assert [crew.take_slot() for _ in range(3)] == [3, 4, 5]
    for slot in range(3, 12):
        crew.free_slot(slot)
    assert crew.take_slot() == 0


def test_standing_workers_are_of_the_revision_and_not_on_their_way_out() -> None:
    crew = Workers()
    for number, state in enumerate(WorkerState, 1):
        crew.add(worker(state, number))
    assert [w.state for w in crew.standing(1)] == [
        WorkerState.BOOTING,
        WorkerState.READY,
        WorkerState.ATTENDING,
        WorkerState.SERVING,
        WorkerState.PAUSED,
        WorkerState.GONE,
    ]
    assert [w.state for w in crew.up(1)] == [
        WorkerState.READY,
        WorkerState.ATTENDING,
        WorkerState.SERVING,
        WorkerState.PAUSED,
    ]
    assert crew.up(2) == []


@pytest.mark.parametrize(
    ("verb", "posture", "change", "why"),
    [
        ("dance", Posture.READY, Change.NONE, "cannot dance: this release does not know that order"),
        ("resume", Posture.BOOTING, Change.NONE, "cannot resume: the generation is booting"),
        ("resume", Posture.LEAVING, Change.NONE, "cannot resume: the generation is leaving"),
        ("pause", Posture.PAUSING, Change.NONE, "cannot pause: the generation is pausing"),
        (
            "scale",
            Posture.RESUMED,
            Change.PREPARED,
            "cannot scale: the generation is in the middle of holding a prepared reload",
        ),
        ("reload", Posture.RESUMED, Change.SCALING, "cannot reload: the generation is in the middle of scaling"),
        ("switch", Posture.PAUSED, Change.PREPARED, "cannot switch: the generation is paused"),
        ("switch", Posture.RESUMED, Change.NONE, "cannot switch: no reload is prepared"),
        ("cancel", Posture.RESUMED, Change.NONE, "cannot cancel: no reload is prepared"),
        ("attend", Posture.PAUSED, Change.NONE, "cannot attend: the generation is paused"),
        ("divert", Posture.PAUSED, Change.NONE, "cannot divert: the generation is paused"),
        ("divert", Posture.RESUMED, Change.SWITCHING, "cannot divert: the generation is in the middle of switching"),
        ("scale", Posture.ATTENDING, Change.NONE, "cannot scale: the generation is attending"),
        ("attend", Posture.READY, Change.NONE, None),
        ("divert", Posture.RESUMED, Change.SCALING, None),
        ("resume", Posture.ATTENDING, Change.NONE, None),
        ("pause", Posture.ATTENDING, Change.NONE, None),
        ("resume", Posture.PAUSED, Change.NONE, None),
        ("pause", Posture.RESUMED, Change.PREPARED, None),
        ("resume", Posture.PAUSING, Change.NONE, None),
        ("switch", Posture.RESUMED, Change.PREPARED, None),
    ],
)
def test_objections(verb: str, posture: Posture, change: Change, why: str | None) -> None:
    assert objection(verb, posture, change) == why


@pytest.mark.parametrize("verb", ["quit", "keep", "reopen"])
def test_some_orders_are_always_legal(verb: str) -> None:
    assert all(objection(verb, *where) is None for where in itertools.product(Posture, Change))
    crew = {"attend", "divert", "resume", "pause", "scale", "reload", "replace", "switch", "cancel"}
    assert set(TABLE) == {"quit", "keep", "door", "reopen", "stacks", *crew}


def test_whatever_the_child_does_ends_the_child() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    for child, status in ((lambda: None, 0), (fail, EXIT_INTERNAL)):
        pid, pidfd = fork(child)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
        os.close(pidfd)


def test_a_fork_without_a_pidfd_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    def full(pid: int) -> int:
        pids.append(pid)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(native.os, "pidfd_open", full)
    with pytest.raises(OSError, match="Too many"):
        fork(signal.pause)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
