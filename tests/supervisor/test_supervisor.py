"""The supervisor: what it does again and again goes on, though it has failed once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor import supervisor as module
from releve.supervisor.supervisor import Supervisor


@pytest.mark.parametrize("name", ["_sample", "_assure"])
def test_what_has_failed_once_is_done_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log rotation, the health of the logs and the signs of life stopped so, and nobody was told."""
    monkeypatch.setattr(module, "SAMPLE_S", 0.0)
    monkeypatch.setattr(module, "ASSURE_EVERY_S", 0.0)
    failures: list[dict[str, Any]] = []

    async def story() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda loop, context: failures.append(context))

        def act(*arguments: object) -> None:
            if not failures:
                raise OSError("the disk is full")
            ended.set()

        def nothing(*arguments: object) -> None:
            pass

        one: Any = object.__new__(Supervisor)
        one.stop = SimpleNamespace(ended=ended)
        one._rotations, one._upkeep = SimpleNamespace(look=act), SimpleNamespace(look=nothing)
        one.service = SimpleNamespace(
            active=None,
            condition=SimpleNamespace(judge_logs=nothing),
            continuity=SimpleNamespace(assure=act),
            cpu=SimpleNamespace(sample=nothing),
            generations=list,
            saturated=nothing,
            failing=nothing,
        )
        loop.call_soon(getattr(one, name))
        async with asyncio.timeout(20):
            await ended.wait()

    asyncio.run(story())
    assert [str(failure["exception"]) for failure in failures] == ["the disk is full"]
