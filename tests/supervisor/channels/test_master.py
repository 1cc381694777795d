"""The master process as the supervisor holds it: orders and their answers, reports, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from harness.descriptors import descriptors, only_open
from harness.pins import PIN
from releve.server.shared.link import Link, Message, pair
from releve.server.shared.noise import Noise
from releve.supervisor.channels.master import OWED_MAX, REASON_MAX, SILENT, Master, Reached
from releve.supervisor.host import children
from releve.supervisor.reporting.failure import StepFailed

TEN_S = 10.0


class Told:
    """What a master of a test tells, in turn."""

    def __init__(self) -> None:
        self.reports: list[Message] = []
        self.spoilt: list[str] = []
        self.ends: asyncio.Queue[int] = asyncio.Queue()
        self.quiet = asyncio.Event()

    def hear(self, message: Message, fds: list[int]) -> None:
        self.reports.append(message)

    async def read(self) -> None:
        """Until what was sent so far has been read."""
        self.quiet.clear()
        async with asyncio.timeout(TEN_S):
            await self.quiet.wait()


def held(process: subprocess.Popen[bytes]) -> tuple[Master, Told, Link]:
    """The master of that process, what it tells, and the other end of its link."""
    told, (ours, theirs) = Told(), pair()
    master = Master(3, os.geteuid(), told.hear, told.quiet.set, told.ends.put_nowait, told.spoilt.append)
    master.take_over(Reached(process.pid, os.pidfd_open(process.pid), ours))
    return master, told, theirs


def with_one(story: Callable[[Master, Told, Link, subprocess.Popen[bytes]], Coroutine[Any, Any, None]]) -> None:
    """In a loop of its own, with a process that sleeps; nothing stays open."""

    async def whole() -> None:
        before = descriptors()
        process = subprocess.Popen(["sleep", "60"], start_new_session=True)
        master, told, theirs = held(process)
        try:
            await story(master, told, theirs, process)
        finally:
            end(master)
            theirs.close()
        assert not master.running and process.pid not in children.started()
        process.returncode = 0  # it was reaped here
        await only_open(before)

    asyncio.run(whole())


def end(master: Master) -> None:
    """Kill it, and reap it once it has ended."""
    master.signal(signal.SIGKILL)
    os.waitid(os.P_PID, master.pid, os.WEXITED | os.WNOWAIT)
    master.reap()


async def asked(theirs: Link) -> Message:
    """The next message that came for the master."""
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(theirs.fileno(), readable.set)
    try:
        async with asyncio.timeout(TEN_S):
            await readable.wait()
    finally:
        loop.remove_reader(theirs.fileno())
    received = theirs.receive()
    assert received is not None
    return received[0]


def test_an_order_waits_for_its_own_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        first = asyncio.create_task(master.order("pause", to=4))
        second = asyncio.create_task(master.order("resume"))
        orders = {order["type"]: order for order in (await asked(theirs), await asked(theirs))}
        assert orders["pause"]["to"] == 4 and orders["pause"]["id"] != orders["resume"]["id"]
        theirs.send({"type": "done", "id": orders["resume"]["id"], "late": [1]})
        theirs.send({"type": "ready"})
        await told.read()
        assert [report["type"] for report in told.reports] == ["done", "ready"]
        master.answer(told.reports[0], None)
        assert (await second)["late"] == [1] and not first.done()
        master.answer({"type": "failed", "id": orders["pause"]["id"]}, StepFailed("pause", "it cannot"))
        with pytest.raises(StepFailed, match="it cannot"):
            await first
        assert not caplog.messages, "whoever waits says it"

    with_one(story)


def test_a_failure_that_nobody_waits_for_is_logged_once_and_shortened(caplog: pytest.LogCaptureFixture) -> None:
    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        master.tell("reopen")
        told_number = (await asked(theirs))["id"]
        with pytest.raises(StepFailed):
            await master.order("pause", timeout_s=0.01)
        late_number = (await asked(theirs))["id"]
        for number, why in ((told_number, "x" * 5000), (late_number, "it cannot pause")):
            assert master.answer({"type": "failed", "id": number}, StepFailed("order", why))
            assert not master.answer({"type": "failed", "id": number}, StepFailed("order", "once more"))
        assert caplog.messages == ["…" + "x" * REASON_MAX, "it cannot pause"]

    with_one(story)


def test_answers_to_what_was_not_ordered_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        for number in (0, 7, 99):
            assert not master.answer({"type": "failed", "id": number}, StepFailed("order", "a line for the log"))
            assert not master.answer({"type": "done", "id": number}, None)
        for _ in range(OWED_MAX + 1):
            master.tell("keep")
            last = (await asked(theirs))["id"]
        oldest = last - OWED_MAX
        assert not master.answer({"type": "failed", "id": oldest}, StepFailed("order", "long ago"))
        assert master.answer({"type": "done", "id": last}, None)
        assert not caplog.messages

    with_one(story)


def test_an_order_that_is_not_answered_in_time_names_the_master() -> None:
    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        with pytest.raises(
            StepFailed, match=r"cannot resume generation 3: its master did not answer within 0\.01 s"
        ) as late:
            await master.order("resume", timeout_s=0.01)
        assert late.value.step == SILENT

    with_one(story)


def test_orders_fail_when_it_ends_and_its_last_words_are_read_before() -> None:
    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        waiting = asyncio.create_task(master.order("resume"))
        await asked(theirs)
        asyncio.get_running_loop().remove_reader(master.fileno())  # as if it had no turn any more
        theirs.send({"type": "failed", "step": "import", "reason": "no such module"})
        assert not master.has_ended
        master.signal(signal.SIGKILL)
        async with asyncio.timeout(TEN_S):
            assert await told.ends.get() == -signal.SIGKILL
        assert [report["reason"] for report in told.reports] == ["no such module"]
        assert master.has_ended and master.running  # nobody has reaped it: its number is its own
        assert master.fileno() == -1
        master.fail(StepFailed("boot", "it has ended"))
        with pytest.raises(StepFailed, match="it has ended"):
            await waiting
        with pytest.raises(StepFailed, match="cannot pause generation 3: its master exited"):
            master.tell("pause")
        master.assure(1.0)  # is not our trouble

    with_one(story)


def test_what_it_has_started_ends_with_it() -> None:
    async def story() -> None:
        code = "sleep 60 & echo $!; exec sleep 60"
        with subprocess.Popen(["/bin/sh", "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            pidfd = os.pidfd_open(int(process.stdout.readline()))
            master, _, theirs = held(process)
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(pidfd, gone.set)
            end(master)
            async with asyncio.timeout(TEN_S):
                await gone.wait()
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
            theirs.close()
            process.returncode = 0

    asyncio.run(story())


def test_an_interpreter_that_is_not_there_is_no_process() -> None:
    async def story() -> None:
        before = descriptors()
        told = Told()
        master = Master(3, os.geteuid(), told.hear, told.quiet.set, told.ends.put_nowait)
        with pytest.raises(StepFailed, match="cannot start /nowhere/python: No such file or directory") as caught:
            master.spawn(replace(PIN, python="/nowhere/python", resolved="/"), {})
        assert caught.value.step == "spawn" and not master.running
        await only_open(before)

    asyncio.run(story())


def test_one_that_ended_before_anybody_held_it_tells_so_at_once() -> None:
    async def story() -> None:
        told, (ours, theirs) = Told(), pair()
        master = Master(3, os.geteuid(), told.hear, told.quiet.set, told.ends.put_nowait)
        master.take_over(Reached(2**22 + 1, -1, ours))
        async with asyncio.timeout(TEN_S):
            assert await told.ends.get() == children.UNSEEN
        assert master.has_ended and not master.running
        theirs.close()

    asyncio.run(story())


def test_a_link_that_is_closed_by_a_master_that_lives_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("releve.supervisor.channels.master.ENDING_S", 0.0)

    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        theirs.close()
        await told.read()
        async with asyncio.timeout(TEN_S):
            while not told.spoilt:
                await asyncio.sleep(0)
        assert told.spoilt == ["its link is closed, but it is still running"]
        assert master.fileno() == -1 and not master.has_ended

    with_one(story)


def test_who_sends_only_garbage_has_its_slice_of_a_turn_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    hear = Noise.hear

    def count(noise: Noise, what: str) -> None:
        heard.append(what)
        hear(noise, what)

    monkeypatch.setattr(Noise, "hear", count)
    monkeypatch.setattr("releve.server.shared.noise.TOO_MUCH", 2)

    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        for _ in range(4):
            theirs.socket.send(b"[{},{}]")
        for read in (1, 2, 3):
            assert not told.spoilt
            master._read(within_s=0.0)  # a slice that is over when the first packet has been read
            assert len(heard) == read
        assert told.spoilt == ["its link carries only invalid messages"] and master.fileno() == -1

    with_one(story)


def test_the_last_words_of_a_master_are_bounded_where_they_are_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(Noise, "hear", lambda noise, what: heard.append(what))
    monkeypatch.setattr("releve.supervisor.channels.master.LAST_WORDS_S", 0.0)

    async def story(master: Master, told: Told, theirs: Link, process: subprocess.Popen[bytes]) -> None:
        asyncio.get_running_loop().remove_reader(master.fileno())  # as if it had no turn any more
        for _ in range(4):
            theirs.socket.send(b"[{},{}]")
        master.signal(signal.SIGKILL)
        async with asyncio.timeout(TEN_S):
            await told.ends.get()
        assert len(heard) == 1

    with_one(story)
