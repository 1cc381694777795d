"""A worker as the supervisor holds it: told, counted, signalled and forgotten."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from harness.descriptors import descriptors, only_open
from releve.server.shared.link import Link, pair
from releve.server.shared.states import WorkerState
from releve.supervisor.channels import worker as workers
from releve.supervisor.channels.worker import Worker


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as one:
        yield one
        one.kill()


def held(process: subprocess.Popen[bytes]) -> tuple[Worker, Link]:
    """A worker of that process, and the other end of its control pair."""
    ours, theirs = pair()
    return Worker(2, process.pid, 5, 1, ours, os.pidfd_open(process.pid)), theirs


def test_what_it_is_told_comes_whole_with_its_descriptors(process: subprocess.Popen[bytes]) -> None:
    async def story() -> None:
        before = descriptors()
        one, theirs = held(process)
        assert one.state == WorkerState.BOOTING and not one.spent
        read_end, write_end = os.pipe()
        assert one.tell("reopen", (write_end,), id=4)
        received = theirs.receive()
        assert received is not None
        message, fds = received
        assert message == {"type": "reopen", "id": 4}
        assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(write_end).st_ino]
        for fd in (read_end, write_end, *fds):
            os.close(fd)
        theirs.close()
        assert not one.tell("resume")  # it has gone
        one.close()
        await only_open(before)

    asyncio.run(story())


def test_it_gets_its_end_of_an_observer(process: subprocess.Popen[bytes]) -> None:
    async def story() -> None:
        before = descriptors()
        one, theirs = held(process)
        one.observe()
        received = theirs.receive()
        assert received is not None and received[0] == {"type": "observe"} and one.observer is not None
        with socket.socket(fileno=received[1][0]) as end:
            answer = asyncio.create_task(one.observer.ask(10.0))
            link = Link(end)
            while True:
                try:
                    asked = link.receive()
                    break
                except BlockingIOError:
                    await asyncio.sleep(0)
            assert asked is not None
            link.send({"type": "stacks", "id": asked[0]["id"], "text": "Thread 1"})
            assert await answer == "Thread 1"
        one.close()
        theirs.close()
        await only_open(before)

    asyncio.run(story())


def test_without_a_descriptor_for_it_nobody_observes_it(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    async def story() -> None:
        one, theirs = held(process)
        monkeypatch.setattr(workers, "Observer", none_left)
        one.observe()
        assert one.observer is None
        with pytest.raises(BlockingIOError):
            theirs.receive()
        one.close()
        theirs.close()

    asyncio.run(story())


def test_it_is_signalled_by_what_stands_for_it_alone(process: subprocess.Popen[bytes]) -> None:
    async def story() -> None:
        one, theirs = held(process)
        one.kill(signal.SIGTERM)
        poll = select.poll()
        poll.register(one.pidfd, select.POLLIN)
        assert poll.poll(10_000)
        assert process.wait() == -signal.SIGTERM
        one.kill(signal.SIGKILL)  # its number may be another one's by now
        one.close()
        theirs.close()

    asyncio.run(story())
