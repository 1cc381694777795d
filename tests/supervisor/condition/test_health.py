"""What is said of the workers in service: when it begins, in which words, and when it is over."""

from __future__ import annotations

import asyncio
import logging

import pytest

from releve.supervisor.condition.health import GRACE_S, Health
from releve.supervisor.generation.losses import Losses


class Clock:
    """One that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Case:
    """A service of four workers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.losses = Losses(self.clock)
        self.health = Health(self.clock)

    def look(self, serving: int, *, planned: bool = False) -> str:
        return self.health.look(serving, 4, self.losses, planned=planned)

    def crash(self, number: int = 1, *, booted: bool = True) -> None:
        for _ in range(number):
            self.losses.note(booted=booted)


@pytest.fixture
def case(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Case:
    caplog.set_level(logging.INFO, "releve.supervisor")
    monkeypatch.setattr(Health, "_later", lambda self, seconds: None)
    return Case()


@pytest.mark.parametrize(
    ("crashes", "boots", "trouble", "words"),
    [
        (0, 0, "", ""),
        (1, 0, "", "1 crash in 30 s"),
        (11, 0, "", "11 crashes in 30 s"),
        (0, 1, "", "1 failed boot in 30 s"),
        (2, 3, "", "2 crashes and 3 failed boots in 30 s"),
        (
            1,
            0,
            "cannot fork a worker: Cannot allocate memory",
            "1 crash in 30 s, cannot fork a worker: Cannot allocate memory",
        ),
    ],
)
def test_words(case: Case, crashes: int, boots: int, trouble: str, words: str) -> None:
    case.crash(crashes)
    case.crash(boots, booted=False)
    case.losses.trouble = trouble
    assert case.losses.words() == words


def test_what_is_older_than_half_a_minute_is_forgotten(case: Case) -> None:
    case.crash(3)
    case.clock.now += 20
    case.crash(2)
    case.clock.now += 10
    assert case.losses.words() == "2 crashes in 30 s"


def test_a_crash_that_is_made_good_within_a_second_is_nothing(case: Case) -> None:
    case.crash()
    assert case.look(3) == ""
    case.clock.now += 0.9
    assert case.look(3) == "" and case.look(4) == ""
    case.clock.now += 5
    case.losses.note(booted=True)
    assert case.look(3) == "3 of 4 workers, 2 crashes in 30 s"  # the second one


@pytest.mark.parametrize("serving", [0, 3])
def test_what_is_not_made_good(case: Case, serving: int) -> None:
    case.crash()
    assert bool(case.look(serving)) is not serving
    case.clock.now += 1
    assert case.look(serving) == f"{serving} of 4 workers, 1 crash in 30 s"
    case.clock.now += 60
    assert case.look(serving) == f"{serving} of 4 workers"


@pytest.mark.parametrize("planned", [False, True])
def test_fewer_workers_in_an_operation_are_not_news(case: Case, planned: bool) -> None:
    case.look(3, planned=planned)
    case.clock.now += 2
    assert bool(case.look(3, planned=planned)) is not planned


def test_the_log_says_once_that_it_begins_and_once_that_it_is_over(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        case.crash()
        case.look(3)
        case.clock.now += 0.5
        case.look(4)
        case.clock.now += 0.5
    assert case.health.words == "" and case.health.summary == "4 of 4 workers, 10 crashes in 30 s"
    assert [record.getMessage() for record in caplog.records] == ["degraded: 3 of 4 workers, 2 crashes in 30 s"]
    case.clock.now += 10
    assert case.look(4) == "" == case.health.summary
    case.clock.now += 60
    case.look(4)
    assert [record.getMessage() for record in caplog.records][1:] == [
        "no longer degraded: 4 of 4 workers, 10 crashes in 30 s"
    ]


def test_another_generation_begins_anew(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.crash(2)
    assert case.look(2)
    case.health.forget()
    assert (case.health.words, case.health.summary, case.look(4)) == ("", "", "")
    assert caplog.records[-1].getMessage() == "no longer degraded: another generation serves"


def test_it_looks_again_by_itself() -> None:
    """Where nothing happens: a worker whose boot takes long is missing, and nobody says anything."""

    async def main() -> str:
        health, losses, again = Health(), Losses(), asyncio.Event()
        health.again = again.set
        losses.note(booted=True)
        assert health.look(3, 4, losses, planned=False) == ""
        async with asyncio.timeout(20):
            await again.wait()
        return health.look(3, 4, losses, planned=False)

    assert asyncio.run(main()) == "3 of 4 workers, 1 crash in 30 s"


def test_it_looks_again_in_time_also_where_it_was_to_look_later() -> None:
    """All served again, which is looked at after ten seconds; then one is missing, whose boot hangs."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        health, losses = Health(loop.time), Losses(loop.time)
        losses.trouble = "cannot fork"
        assert health.look(3, 4, losses, planned=False)
        losses.trouble = ""
        for serving in (4, 3):
            health.look(serving, 4, losses, planned=False)
        assert health._timer is not None and health._timer.when() <= loop.time() + GRACE_S + 0.1

    asyncio.run(main())
