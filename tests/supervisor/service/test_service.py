"""Who serves, stands by and retires, and what each change of that makes of listeners and of what masters keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from harness.generations import Bare
from releve.config.settings.address import Address
from releve.config.settings.settings import Settings
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.history import History
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.sentry_process import SentryProcess
from releve.supervisor.service.service import Service
from releve.supervisor.systemd.notify import Notifier

SERVING, STANDBY = GenerationState.SERVING, GenerationState.STANDBY
Scene = Callable[[Service, Path], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scene], None]:
    """Run a scene with a service that has nothing yet."""

    async def run(scene: Scene) -> None:
        history = History(str(tmp_path))
        configuration = Configuration(None, tmp_path)
        folders = Folders(tmp_path, tmp_path)
        service = Service(configuration, Settings(), history, Notifier({}), folders, {}, SentryProcess())
        try:
            await asyncio.wait_for(scene(service, tmp_path), 20)
        finally:
            for one in service.generations():
                one.kill()
            service.listeners.close()

    return lambda scene: asyncio.run(run(scene))


def opened(service: Service, *paths: Path) -> list[Listener]:
    """Those that are held, as far as they are, and new ones."""
    return service.listeners.plan([Address("unix", path=str(path)) for path in paths], 10).all


def roles(*generations: Bare) -> list[Role | None]:
    """What each has last heard that it is."""
    return [one.kept[-1].role if one.kept else None for one in generations]


def test_a_commit_has_the_old_one_stand_by_and_every_master_know(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service, folder: Path) -> None:
        first = Bare(1, listeners=opened(service, folder / "a", folder / "b"))
        service.commit(first, first.listeners, standby_s=None)
        assert service.active is first and roles(first) == [Role.ACTIVE]
        first.life.state = STANDBY
        second = Bare(2, listeners=opened(service, folder / "b"))
        service.begin_trial(second)
        assert service.serving is second and service.tried and roles(first, second) == [Role.ACTIVE, Role.TRIAL]
        assert [role for _, role in service.standing().roles] == [Role.TRIAL, Role.ACTIVE], "who serves goes first"
        service.commit(second, second.listeners, standby_s=60)
        assert service.standby is first and service.serving is second and not service.tried
        assert roles(first, second) == [Role.STANDBY, Role.ACTIVE] and first.kept[-1].standby_until is not None
        assert service.generations() == [first, second]
        assert not (folder / "a").exists() and (folder / "b").exists(), "nobody connects to what nobody accepts from"
        assert [one.name for one in service.listeners.aside(first)] == [f"unix:{folder}/a"]

    play(scene)


@pytest.mark.parametrize("why", ["it was not wanted", "it has lost its master", "it is no standby"])
def test_what_cannot_be_relied_on_does_not_stand_by(why: str, play: Callable[[Scene], None]) -> None:
    async def scene(service: Service, folder: Path) -> None:
        first, second = Bare(1), Bare(2)
        service.commit(first, [], standby_s=None)
        first.life.state = SERVING if why == "it is no standby" else STANDBY
        first.life.orphaned = why == "it has lost its master"
        service.commit(second, [], standby_s=None if why == "it was not wanted" else 60)
        assert service.standby is None and service.retiring == [first]
        first.kill()
        await asyncio.sleep(0)
        while service.retiring:
            await asyncio.sleep(0)
        assert service.generations() == [second]

    play(scene)


def test_a_rollback_opens_what_was_put_aside_and_sends_the_other_one_away(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service, folder: Path) -> None:
        first = Bare(1, listeners=opened(service, folder / "a"))
        service.commit(first, first.listeners, standby_s=None)
        first.life.state = STANDBY
        second = Bare(2, listeners=opened(service, folder / "b"))
        service.commit(second, second.listeners, standby_s=60)
        service.call_back()
        service.listeners.bring_back(first, 10)
        first.life.state = SERVING
        service.commit_rollback()
        assert service.active is first and service.standby is None and service.retiring == [second]
        assert (folder / "a").exists() and not (folder / "b").exists()
        assert roles(first) == [Role.ACTIVE] and service.listeners.in_service == first.listeners

    play(scene)


def test_a_rollback_that_fails_leaves_things_as_they_were(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service, folder: Path) -> None:
        first = Bare(1, listeners=opened(service, folder / "a"))
        service.commit(first, first.listeners, standby_s=None)
        first.life.state = STANDBY
        second = Bare(2)
        service.commit(second, [], standby_s=60)
        service.call_back()
        service.listeners.bring_back(first, 10)
        service.send_back()
        assert service.standby is first and not (folder / "a").exists()
        service.call_back()
        first.life.fate = "it has died"
        first.life.orphaned = True
        service.send_back()
        assert service.standby is None and service.retiring == [first]

    play(scene)


def test_a_reload_keeps_what_a_rollback_goes_back_to_and_closes_the_rest(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service, folder: Path) -> None:
        first = Bare(1, listeners=opened(service, folder / "a"))
        service.commit(first, first.listeners, standby_s=None)
        first.life.state = STANDBY
        second = Bare(2, listeners=opened(service, folder / "a", folder / "b"))
        service.commit(second, second.listeners, standby_s=60)
        kept, closed = second.listeners
        second.reload(2, Settings(workers=3), [])
        service.commit_reload(second)
        assert service.listeners.aside(first) == [kept] and closed.socket.fileno() < 0
        assert service.wanted_workers == 3 and second.kept[-1].revision == 2

    play(scene)


def test_a_standby_that_loses_its_master_retires_unless_a_rollback_sees_to_it(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service, folder: Path) -> None:
        first = Bare(1, STANDBY)
        lost: list[Any] = []
        service.on_lost = lost.append
        active = service.new_generation(first.pin, Settings(), [])
        active.life.state = SERVING
        service.restore(active, first, None, [], 7)
        service.restore_standby(first, 60, [])
        service.call_back()
        first.on_lost(first)
        assert service.standby is first
        service.send_back()
        first.on_lost(first)
        assert service.standby is None and service.retiring == [first] and not lost
        active.on_lost(active)
        assert lost == [active] and "lost its master" in service.condition.degraded["master"]
        assert service.new_generation(first.pin, Settings(), []).number == 8, "no number comes twice"

    play(scene)


def test_what_serves_is_said_in_words(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service, folder: Path) -> None:
        assert service.serving_words() == "nothing is serving" and service.describe(None) is None
        first = Bare(1)
        service.commit(first, [], standby_s=None)
        assert service.serving_words() == f"generation 1 is serving {first.pin.resolved} with 0 workers"
        service.drain.begin()
        assert "drained since" in service.serving_words()
        service.scaled = 5
        described = service.describe(first)
        assert described is not None and described["workers"] == 5 and described["generation"] == 1

    play(scene)
