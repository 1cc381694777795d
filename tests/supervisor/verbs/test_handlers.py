"""What becomes of an operation that somebody ends, by what has become of it already."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.instance.protocol import LINE_MAX_BYTES, Event, Status, encode
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.verbs import handlers


def a_context(operation: Operation | None, *, degraded: tuple[str, ...] = (), on_trial: bool = False) -> Any:
    """Verbs are asked while this operation is under way."""
    service = SimpleNamespace(
        tried=True,
        on_trial=on_trial,
        condition=SimpleNamespace(degraded=dict.fromkeys(degraded, "it is bad")),
        serving_words=lambda: "generation 1 is serving",
    )
    return SimpleNamespace(service=service, dispatcher=SimpleNamespace(operation=operation))


async def under_way(**what: Any) -> Operation:
    """An upgrade that ends as soon as it is interrupted."""
    operation = Operation("upgrade", "somebody", 4, dry=what.pop("dry", False))

    async def run() -> None:
        operation.begun = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            operation.committed = operation.committed or what.get("no_way_back", False)
            operation.finished.set()

    operation.task = asyncio.create_task(run())
    await asyncio.sleep(0)
    for name in ("committed", "undoing", "stop_reason"):
        setattr(operation, name, what.get(name, getattr(operation, name)))
    if operation.undoing or operation.stop_reason:
        asyncio.get_running_loop().call_soon(operation.finished.set)
    return operation


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ({}, Status.DONE, "aborted upgrade 4"),
        ({"committed": True}, Status.USAGE, "cannot abort upgrade 4: it is committed"),
        ({"stop_reason": "the other one"}, Status.DONE, "upgrade 4 was already ending: the other one"),
        ({"undoing": True}, Status.DONE, "upgrade 4 was already ending: it failed and is being undone"),
        ({"undoing": True, "dry": True}, Status.DONE, "upgrade 4 was already ending: it is being undone"),
        (
            {"no_way_back": True},
            Status.DEGRADED,
            "aborted upgrade 4, but could not go back: generation 1 is serving",
        ),
    ],
)
def test_abort(what: dict[str, Any], status: Status, words: str) -> None:
    async def story() -> Event:
        operation = await under_way(**what)
        said = await handlers.abort(a_context(operation, degraded=("rollback",)), {}, "ann (pid 1)")
        operation.task.cancel()  # type: ignore[union-attr]
        return said

    said = asyncio.run(asyncio.wait_for(story(), 20))
    assert (said["status"], said["message"]) == (status, words)
    assert said["serving"] == "generation 1 is serving"


def test_nothing_to_abort() -> None:
    said = asyncio.run(handlers.abort(a_context(None), {}, "ann (pid 1)"))
    assert said["status"] == Status.USAGE and "no operation is under way" in said["message"]


@pytest.mark.parametrize(
    ("degraded", "on_trial", "status"),
    [((), False, Status.DONE), (("rollback",), False, Status.DEGRADED), ((), True, Status.DEGRADED)],
)
def test_a_rollback_of_what_is_on_trial_ends_that(degraded: tuple[str, ...], on_trial: bool, status: Status) -> None:
    """It is done if the one before serves again."""

    async def story() -> tuple[Operation, Event]:
        operation = await under_way()
        context = a_context(operation, degraded=degraded, on_trial=on_trial)
        said = await handlers.rollback(context, {}, "ann (pid 1)")
        assert not isinstance(said, Operation)
        return operation, said

    operation, said = asyncio.run(asyncio.wait_for(story(), 20))
    assert operation.stop_reason == "rollback by ann (pid 1)"
    assert (said["status"], said["message"]) == (status, "ended upgrade 4: generation 1 is serving")


@pytest.mark.parametrize(("kept", "limit", "least", "cut"), [(30, 20, 20, False), (2000, None, 900, True)])
def test_a_history_that_is_too_long_for_one_answer(kept: int, limit: int | None, least: int, cut: bool) -> None:
    attempts = [{"id": number, "reason": "x" * 1000} for number in range(kept)]

    def entries(limit: int | None) -> list[dict[str, Any]]:
        return attempts if limit is None else attempts[-limit:]

    context: Any = SimpleNamespace(service=SimpleNamespace(history=SimpleNamespace(entries=entries, pending=0)))
    answer = asyncio.run(handlers.history(context, {} if limit is None else {"limit": limit}, "somebody"))
    assert len(encode(answer)) < LINE_MAX_BYTES
    assert answer["entries"] == attempts[-len(answer["entries"]) :] and len(answer["entries"]) >= least
    assert answer.get("left_out") == (kept - len(answer["entries"]) if cut else None)


@pytest.mark.parametrize(
    ("attempts", "number", "status", "found"),
    [
        ([3, 4, 5], 4, Status.DONE, [4]),
        ([3, 4, 5], 2, Status.USAGE, "cannot show #2: the history has #3 to #5; `ctl history` lists the last ones"),
        ([], 1, Status.USAGE, "cannot show #1: the history has no attempts; `ctl history` lists the last ones"),
    ],
)
def test_one_attempt_is_told_in_full(attempts: list[int], number: int, status: Status, found: Any) -> None:
    kept = [{"id": one, "evidence": {"failures": [{"trace": "KeyError"}]}} for one in attempts]
    context: Any = SimpleNamespace(service=SimpleNamespace(history=SimpleNamespace(entries=lambda: kept)))
    answer = asyncio.run(handlers.history(context, {"attempt": number}, "somebody"))
    assert answer["status"] == status
    shown = [one["id"] for one in answer["entries"] if one["evidence"]] if status == Status.DONE else answer["message"]
    assert shown == found
