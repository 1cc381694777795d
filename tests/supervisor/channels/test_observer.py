"""The observer of a worker: its answers are those of its own questions, and nothing that a worker says harms
who asks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from releve.server.process import stacks
from releve.server.shared.link import STACKS_SIGNAL, Link
from releve.supervisor.channels.observer import TEXT_MAX, Observer, known_signal


def observed(test: Callable[[Observer, Link], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        observer = Observer()
        theirs = Link(socket.socket(fileno=os.dup(observer.theirs.fileno())))
        observer.theirs.close()
        try:
            await asyncio.wait_for(test(observer, theirs), 30)
        finally:
            observer.close()
            theirs.close()

    asyncio.run(run())


def test_a_thread_answers_with_where_all_others_are() -> None:
    async def test(observer: Observer, theirs: Link) -> None:
        stacks.answer(Link(theirs.socket.dup()))
        for _ in range(2):
            text = await observer.ask(20)
            assert "in test_a_thread_answers_with_where_all_others_are\n" in text and "in _answer\n" not in text
            assert text.startswith("Thread 0x") and "most recent call first" in text

    observed(test)


def test_a_long_answer_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = "\n".join(f"line {number} é" for number in range(50_000))
    monkeypatch.setattr(stacks, "text", lambda without: whole)

    async def test(observer: Observer, theirs: Link) -> None:
        stacks.answer(Link(theirs.socket.dup()))
        assert await observer.ask(20) == whole

    observed(test)


def test_an_answer_that_comes_late_is_not_taken_for_the_next_one() -> None:
    async def test(observer: Observer, theirs: Link) -> None:
        assert await observer.ask(0.01) == ""
        theirs.send({"type": "stacks", "id": 1, "text": "late", "more": False})
        theirs.send({"type": "stacks", "id": 2, "text": "in ", "more": True})
        theirs.send({"type": "stacks", "id": 2, "text": "time", "more": False})
        assert await observer.ask(20) == "in time"

    observed(test)


def test_a_worker_that_says_nonsense_is_not_believed() -> None:
    async def test(observer: Observer, theirs: Link) -> None:
        theirs.send({"type": "observed", "signal": int(signal.SIGKILL)}, [theirs.fileno()])
        theirs.send({"type": "stacks", "id": 1, "text": "x" * 100_000, "more": True})
        flood = asyncio.create_task(_flood(theirs))
        assert len(await observer.ask(0.2)) <= TEXT_MAX
        flood.cancel()
        assert observer.signal == 0

    observed(test)


async def _flood(theirs: Link) -> None:
    while True:
        try:
            theirs.send({"type": "stacks", "id": 1, "text": "x" * 100_000, "more": True})
        except Exception:  # it is full
            pass
        await asyncio.sleep(0)


def test_a_worker_that_can_start_no_thread_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(stacks, "start_new_thread", refuses)

    async def test(observer: Observer, theirs: Link) -> None:
        stacks.answer(theirs)
        assert await observer.ask(20) == "" and theirs.fileno() == -1

    observed(test)


def test_an_end_is_no_answer() -> None:
    async def test(observer: Observer, theirs: Link) -> None:
        theirs.close()
        assert await observer.ask(20) == ""
        observer.close()
        assert await observer.ask(20) == ""

    observed(test)


@pytest.mark.parametrize("number", [9, 15, 0, -1, 65, 10**9, "50", None, True, 50.0])
def test_only_a_real_time_signal_can_be_named(number: object) -> None:
    assert known_signal(number) == 0
    assert known_signal(STACKS_SIGNAL) == STACKS_SIGNAL
