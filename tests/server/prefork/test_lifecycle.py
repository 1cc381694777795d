"""What a master does to its workers: what each is told, and who is ended when it does not come or does not go."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from unittest import mock

import pytest

from harness.crew import Crew
from releve.server.prefork.lifecycle import KILL_MARGIN_S
from releve.server.prefork.workers import Worker
from releve.server.process import children
from releve.server.shared.link import LOST_TERM_S
from releve.server.shared.states import WorkerState


@pytest.fixture
def sent() -> Iterator[list[tuple[Worker, int]]]:
    """The signals that workers get."""
    signals: list[tuple[Worker, int]] = []
    with (
        mock.patch.object(Worker, "signal", lambda worker, number: signals.append((worker, number))),
        mock.patch.object(children, "find", lambda pid: []),
    ):
        yield signals


def test_a_fork_that_fails_leaves_those_before_it(crew: Crew) -> None:
    crew.lifecycle.spawn(crew.plan.current, 1)
    crew.refuses = True
    new, trouble = crew.lifecycle.spawn(crew.plan.current, 2)
    assert new == []
    assert trouble.startswith("cannot fork a worker: ")
    assert len(crew.workers) == 1


def test_at_the_boot_of_the_generation_no_worker_has_a_time_of_its_own(crew: Crew) -> None:
    (first,), _ = crew.lifecycle.spawn(crew.plan.current, 1, first=True)
    (later,), _ = crew.lifecycle.spawn(crew.plan.current, 1, failed=[3])
    assert first.ready_by is None
    assert later.ready_by == crew.now + crew.plan.current.settings.timeouts.boot
    assert later.failed_before == 3
    assert [message["worker"] for message in crew.said] == [first.number, later.number], "each is reported"
    assert [message["replaces"] for message in crew.said] == [False, True]


def test_one_that_is_not_ready_in_time_says_where_it_hangs_and_is_killed(
    crew: Crew, sent: list[tuple[Worker, int]]
) -> None:
    (late,), _ = crew.lifecycle.spawn(crew.plan.current, 1)
    assert late.ready_by is not None
    crew.now = late.ready_by
    crew.lifecycle.keep(60.0)
    assert sent == [(late, signal.SIGABRT)]
    assert late.failure is not None
    assert late.failure["reason"] == f"{late} was not ready within 60 s (timeouts.boot)"
    crew.now += KILL_MARGIN_S
    crew.lifecycle.keep(60.0)
    assert sent[1:] == [(late, signal.SIGKILL)]
    assert crew.lifecycle.deadlines() == []


def test_one_that_closed_its_control_pair_is_asked_to_end_and_then_killed(
    crew: Crew, sent: list[tuple[Worker, int]]
) -> None:
    (lost,) = crew.up(WorkerState.SERVING, 1)
    lost.lost_at = crew.now
    crew.lifecycle.keep(60.0)
    crew.now += LOST_TERM_S
    crew.lifecycle.keep(60.0)
    assert sent == [(lost, signal.SIGTERM), (lost, signal.SIGKILL)]


def test_one_that_is_booting_holds_nothing_and_is_killed_at_once(crew: Crew, sent: list[tuple[Worker, int]]) -> None:
    (booting,), _ = crew.lifecycle.spawn(crew.plan.current, 1)
    crew.lifecycle.dismiss(booting, 30.0, None)
    assert sent == [(booting, signal.SIGKILL)]
    assert crew.told(booting) == []


def test_of_two_deadlines_the_earlier_one_counts(crew: Crew, sent: list[tuple[Worker, int]]) -> None:
    (one,) = crew.up(WorkerState.SERVING, 1)
    crew.lifecycle.dismiss(one, 30.0, None, serve_on=True)
    assert one.serves_on
    crew.lifecycle.dismiss(one, 60.0, None)
    assert not one.serves_on
    assert crew.told(one) == ["quit", "quit"]
    assert crew.lifecycle.deadlines() == [crew.now + 30.0 + KILL_MARGIN_S]


def test_who_is_given_up_gives_its_connections_to_its_siblings(crew: Crew, sent: list[tuple[Worker, int]]) -> None:
    (serves,) = crew.up(WorkerState.SERVING, 1)
    (booting,), _ = crew.lifecycle.spawn(crew.plan.current, 1)
    assert crew.lifecycle.give_up([serves, booting]) == {serves.number}
    assert crew.told(serves) == ["pause"]
    assert sent == [(booting, signal.SIGKILL)]
