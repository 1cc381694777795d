"""A boot: what the master is told, in which words it shows its work, and how it ends; what hangs writes its stack."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.server.shared.link import LINK_VERSION, pair
from releve.supervisor.channels.master import Master
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.boot import Boot, abort_hung, order
from releve.supervisor.generation.life import Life
from releve.supervisor.generation.roster import Roster
from releve.supervisor.reporting.failure import StepFailed, UnsafePreload


def run(story: Callable[[Boot], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(Boot("shop:app"))

    asyncio.run(main())


def test_the_order_has_the_release_its_settings_and_so_many_workers() -> None:
    said = order(PIN, Settings(app="shop:app"), 7, 2, 5, [])
    assert (said["type"], said["link"], said["generation"], said["revision"]) == ("boot", LINK_VERSION, 7, 2)
    assert (said["app"], said["directory"], said["preload"]) == ("shop:app", PIN.resolved, PIN.preload)
    assert said["settings"]["workers"] == 5 and said["listeners"] == []


def test_what_the_master_does_is_shown_in_words() -> None:
    async def story(boot: Boot) -> None:
        shown: list[str] = []
        boot.on_phase = shown.append
        assert boot.doing == "starting"
        for phase in ("import", "workers", "a phase of a newer release"):
            boot.enter(phase)
        assert shown == ["importing shop:app", "starting its workers", "a phase of a newer release"]

    run(story)


def test_the_first_word_of_each_kind_counts() -> None:
    async def story(boot: Boot) -> None:
        assert boot.hello == {}
        for releve in ("1.0", "2.0"):
            boot.greet({"releve": releve})
            boot.complete()
        boot.fail(StepFailed("boot", "too late"))
        boot.unsafe(["a thread"])
        assert await boot.greeted() == boot.hello == {"releve": "1.0"}
        await boot.ready()

    run(story)


def test_a_failure_is_told_to_whoever_waits_and_is_nobodys_mistake_where_none_does() -> None:
    async def story(boot: Boot) -> None:
        boot.fail(StepFailed("boot", "it exited"))
        for waited in (boot.greeted(), boot.ready()):
            with pytest.raises(StepFailed, match="it exited"):
                await waited

    run(story)


def test_an_unsafe_import_is_a_failure_of_its_own() -> None:
    async def story(boot: Boot) -> None:
        boot.unsafe(["a thread"])
        with pytest.raises(UnsafePreload):
            await boot.ready()

    run(story)


class Hung:
    """A generation that boots, whose processes end when they are aborted."""

    def __init__(self, *states: str) -> None:
        self.life = Life(1)
        self.aborted: list[Any] = []
        self.roster = Roster("gen=1", lambda process: True)
        self.has_ended = False
        self.master = cast(Master, SimpleNamespace(running=True, has_ended=False, signal=self.end_master))
        for number, state in enumerate(states, 1):
            ours, theirs = pair()
            theirs.close()
            worker = Worker(number, os.getpid(), number, 1, ours, os.pidfd_open(os.getpid()), state)
            worker.kill = lambda signal, one=worker: self.end(one, signal)  # type: ignore[method-assign, misc]
            self.roster.workers[number] = worker

    def end(self, worker: Worker, number: int) -> None:
        assert number == signal.SIGABRT
        self.aborted.append(worker.number)
        self.roster.workers.pop(worker.number).close()
        self.life.notice()

    def end_master(self, number: int) -> None:
        assert number == signal.SIGABRT
        self.aborted.append("master")
        self.life.orphaned = True
        self.life.notice()


@pytest.mark.parametrize(
    ("states", "aborted"),
    [((), ["master"]), (("ready",), ["master"]), (("ready", "booting", "booting"), [2, 3])],
)
def test_it_is_the_workers_that_boot_or_else_the_master_that_hangs(states: tuple[str, ...], aborted: list[Any]) -> None:
    async def story() -> None:
        hung = Hung(*states)
        await abort_hung(hung.life, hung.master, hung.roster)
        assert hung.aborted == aborted
        for worker in hung.roster.workers.values():
            worker.close()

    asyncio.run(story())
