"""What is degraded of a service, and for how long it is said."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from harness.generations import Bare
from harness.pins import PIN
from releve.config.settings.log import Log
from releve.supervisor.condition.condition import Condition, Subject
from releve.supervisor.generation.states import GenerationState


class Service:
    """What a condition is told of one."""

    def __init__(self) -> None:
        self.active: Bare | None = None
        self.candidate: Bare | None = None
        self.wanted = 0

    def subject(self) -> Subject:
        return Subject(self.active, self.candidate, Log(), self.wanted)


def test_too_few_workers_are_degraded_until_as_many_serve_as_are_wanted() -> None:
    async def run() -> None:
        service = Service()
        condition, changes = Condition(service.subject), []
        condition.on_change = lambda: changes.append(condition.words)
        condition.judge()
        assert condition.degraded == {} and condition.words == "", "before anything serves"
        service.active, service.wanted = Bare(1), 2
        condition.judge()
        assert condition.degraded == {"workers": "0 of 2 workers"} and changes == ["degraded: 0 of 2 workers"]
        service.candidate = Bare(2, GenerationState.ATTENDING)
        service.wanted = 5
        condition.judge()
        assert condition.degraded == {"workers": "0 of 2 workers"}, "a canary has some of them"
        service.candidate.end()
        service.wanted = 0
        condition.judge()
        assert condition.degraded == {} and condition.words, "that it is over is said for a while"
        condition.begin_anew(service.active)
        assert condition.words == ""
        service.active.end()

    asyncio.run(run())


def test_an_operation_may_be_why_workers_are_missing() -> None:
    async def run() -> None:
        service = Service()
        condition = Condition(service.subject)
        condition.planned = lambda: True
        service.active, service.wanted = Bare(1), 2
        condition.judge()
        assert condition.degraded == {}
        service.active.end()

    asyncio.run(run())


def test_a_lost_master_is_said_for_as_long_as_its_generation_serves() -> None:
    async def run() -> None:
        service = Service()
        condition = Condition(service.subject)
        lost, other = Bare(1), Bare(2)
        service.active = lost
        lost.life.orphaned, lost.life.fate = True, "its master was killed"
        condition.lose_master(lost)
        condition.judge()
        assert condition.degraded == {"master": "generation 1 lost its master and all its workers"}
        service.active = other
        condition.begin_anew(other)
        assert condition.degraded == {}
        condition.begin_anew(lost)
        assert "master" in condition.degraded, "it has ended while it was switched to"
        lost.end()
        other.end()

    asyncio.run(run())


def test_code_that_may_be_of_two_releases_is_said(tmp_path: Path) -> None:
    async def run() -> None:
        service = Service()
        condition = Condition(service.subject)
        (tmp_path / "one").mkdir()
        (tmp_path / "now").symlink_to("one")
        pin = dataclasses.replace(PIN, directory=str(tmp_path / "now"), resolved=str(tmp_path / "one"))
        service.active = Bare(1, pin=pin)
        service.active.news.astray = ["now/app.py"]
        condition.judge()
        assert "code" not in condition.degraded, "the link leads to where it did"
        (tmp_path / "now").unlink()
        (tmp_path / "now").symlink_to("two")
        condition.judge()
        assert "may import code of another release" in condition.degraded["code"]
        service.active.news.mixed = ["app.py"]
        condition.judge()
        assert "started from changed files" in condition.degraded["code"]
        service.active.news.mixed = service.active.news.astray = []
        condition.judge()
        assert condition.degraded == {}
        service.active.end()

    asyncio.run(run())
