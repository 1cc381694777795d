"""A rehearsal leaves nothing behind, whenever somebody asks for its end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor.operations import upgrade
from releve.supervisor.operations.hooks import Hooks
from releve.supervisor.reporting.operation import Operation


def test_a_rehearsal_that_is_aborted_on_its_way_back_closes_what_it_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port would stay bound, and its clients would wait for ever."""

    async def run() -> None:
        ended, abandoned, dropped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        new: Any = SimpleNamespace(revision=1, state=None, kill=lambda: None, ended=ended)
        new.settings = SimpleNamespace(upgrade=SimpleNamespace(check=None))
        service: Any = SimpleNamespace(active=None, workers_for=lambda settings: 1, drop_candidate=dropped.set)
        target: Any = SimpleNamespace(
            pin=None, settings=SimpleNamespace(hooks=None), listeners=SimpleNamespace(abandon=abandoned.set)
        )

        async def gives(*arguments: Any, **keys: Any) -> Any:
            return new

        async def choose() -> Any:
            return target

        monkeypatch.setattr(upgrade, "start", gives)
        monkeypatch.setattr(upgrade, "prove", gives)
        monkeypatch.setattr(Hooks, "left_out", lambda hooks, commands: None)
        operation = Operation("upgrade", "a test", 1, dry=True)
        operation.begun = True
        operation.task = task = asyncio.create_task(upgrade.rehearse(service, operation, choose))  # type: ignore[assignment]
        while "check" not in operation.times:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # it waits for the end of the generation now
        assert not operation.interrupt("aborted by a test")
        ended.set()
        assert await task is new
        assert abandoned.is_set() and dropped.is_set()

    asyncio.run(asyncio.wait_for(run(), 20))
